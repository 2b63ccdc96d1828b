//! `keys create`: the request, the output, and keys that cannot be delivered.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{deletes, keys, signed_in, signed_in_with};
use crate::given::{CONFIG, DATA, as_nobody, edit_profiles, plaintext, profile, says};
use crate::harness::cloud::{Cloud, Fault, Issued, api_key_like};
use crate::harness::cmd::{Output, PROGRAM, Sandbox};
use crate::harness::http::{Reply, Step};
use crate::harness::{tool, with_other_end};

/// The only key that was made.
#[track_caller]
fn only_key(cloud: &Cloud) -> Issued {
    let issued = cloud.issued();
    assert_eq!(issued.len(), 1, "{issued:?}");
    issued.into_iter().next().unwrap()
}

/// The key was made and revoked again, and the output says so without the key.
#[track_caller]
fn assert_revoked(cloud: &Cloud, sandbox: &Sandbox, output: &Output) {
    let issued = only_key(cloud);
    assert!(!issued.is_live(), "{}", output.snapshot());
    says(output, &[&issued.id, "was revoked"]);
    assert_eq!(output.stdout(), "");
    sandbox.assert_no_secret(&issued.key, &[output], &[]);
}

#[test]
fn only_the_key_is_on_stdout() {
    let (sandbox, cloud) = signed_in();
    let output = keys(&sandbox, &["create", "nightly report"]).expect_code(0);
    let issued = only_key(&cloud);
    assert_eq!(output.stdout(), format!("{}\n", issued.key));
    says(
        &output,
        &["nightly report", &issued.id, "inference, models:read", "models: all", "expires", "not shown again"],
    );
    assert_eq!(issued.item["scopes"], json!(["inference", "models:read"]));
    assert_eq!(issued.item["replaceable"], json!(true));
    let seconds = |name: &str| issued.item[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(seconds("expires_at") - seconds("created_at"), 90 * 86_400);
    sandbox.assert_no_secret(&issued.key, &[], &[]);
    assert!(!output.stderr().contains(&issued.key));
    // It opens the host at once.
    let run = sandbox.command(["run", "tiny", "hi", "--host", &cloud.url()]).env("OLLAMA_API_KEY", &issued.key).run();
    run.expect_code(0);
}

#[test]
fn the_request_matches_the_arguments() {
    // The device signs below a base path too.
    let (sandbox, cloud) = signed_in_with("plaintext", "/prefix");
    let args = [
        "create",
        " ci ",
        "--scope",
        "keys,inference",
        "--scope",
        "inference",
        "--model",
        "Tiny",
        "--model",
        "hf.co/**",
        "--expires",
        "never",
        "--env",
        "staging",
        "--no-replace",
        "--json",
    ];
    let output = keys(&sandbox, &args).expect_code(0);
    let (seen, issued) = (output.json(), only_key(&cloud));
    // Printed before the key exists, in case the command is killed in between.
    let event: Value = serde_json::from_str(output.stderr()).unwrap();
    assert_eq!(event, json!({ "event": "asking", "host": cloud.url(), "id": issued.id }));
    assert_eq!(seen["key"], json!(issued.key));
    assert_eq!(seen["store"], Value::Null);
    assert_eq!(seen["host"], json!(cloud.url()));
    for (name, value) in [
        ("id", json!(issued.id)),
        ("name", json!("ci")),
        ("environment", json!("staging")),
        ("scopes", json!(["inference", "keys"])),
        ("models", json!(["tiny:latest", "hf.co/**"])),
        ("expires_at", Value::Null),
        ("replaceable", json!(false)),
    ] {
        assert_eq!((&seen[name], &issued.item[name]), (&value, &value), "{name}");
    }
}

#[test]
fn invalid_key_options_are_exit_2() {
    let (sandbox, cloud) = signed_in();
    let before = cloud.server().requests().len();
    for args in [
        &["create"][..],
        &["create", " "],
        &["create", "two\nlines"],
        &["create", "key_0123456789"],
        &["create", "ci", "--scope", "everything"],
        &["create", "ci", "--expires", "0d"],
        &["create", "ci", "--expires", "soon"],
        &["create", "ci", "--model", "a//b"],
    ] {
        let output = keys(&sandbox, args).expect_code(2);
        assert_eq!(output.stdout(), "");
    }
    assert_eq!(cloud.server().requests().len(), before);
}

#[test]
fn rights_beyond_the_callers_are_exit_5() {
    let (sandbox, cloud) = signed_in();
    let output = keys(&sandbox, &["create", "ci", "--scope", "admin"]).expect_code(5);
    says(&output, &["does not have the scope admin", "narrow it"]);
    // A key without the scope `keys` makes none.
    let plain = cloud.issue(json!({}));
    let args = ["keys", "create", "ci", "--host", &cloud.url()];
    let output = sandbox.command(args).env("OLLAMA_API_KEY", &plain.key).run().expect_code(5);
    sandbox.assert_no_secret(&plain.key, &[&output], &[]);
    // One with it does.
    let manager = cloud.issue(json!({ "id": "key_managers00", "scopes": ["inference", "models:read", "keys"] }));
    sandbox.command(args).env("OLLAMA_API_KEY", &manager.key).run().expect_code(0);
    assert_eq!(cloud.issued().len(), 3);
    assert_eq!(deletes(&cloud), 0);
}

#[test]
fn a_taken_id_revokes_no_key() {
    let (sandbox, cloud) = signed_in();
    cloud.inject("/api/user/keys", Fault::Status(409));
    let output = keys(&sandbox, &["create", "ci"]).expect_code(1);
    says(&output, &["already has a key with the id key_", "a new id"]);
    assert_eq!(deletes(&cloud), 0);
    cloud.clear_faults();
    cloud.inject("/api/user/keys", Fault::Status(400));
    says(&keys(&sandbox, &["create", "ci"]).expect_code(2), &["rejected the key"]);
    assert_eq!(deletes(&cloud), 0);
}

type Change = fn(Value) -> Reply;

#[test]
fn a_key_from_an_unusable_response_is_revoked() {
    fn without(body: &mut Value, name: &str) {
        body.as_object_mut().unwrap().remove(name);
    }
    let cases: [(&str, i32, Change); 12] = [
        ("contains no key", 1, |mut body| {
            without(&mut body, "key");
            Reply::json(201, body)
        }),
        ("not a description of a key", 1, |mut body| {
            without(&mut body, "id");
            Reply::json(201, body)
        }),
        ("with the id key_someoneelses", 1, |mut body| {
            body["id"] = json!("key_someoneelses");
            Reply::json(201, body)
        }),
        // A host that puts things in the wrong places gets no secret out of us.
        ("without an id", 1, |mut body| {
            body["id"] = body["key"].clone();
            Reply::json(201, body)
        }),
        ("not a description of a key", 1, |mut body| {
            body["expires_at"] = body["key"].clone();
            Reply::json(201, body)
        }),
        ("not a description of a key", 1, |body| Reply::json(201, body["key"].clone())),
        ("checksum is wrong", 1, |mut body| {
            let key = body["key"].as_str().unwrap();
            body["key"] = json!(with_other_end(key));
            Reply::json(201, body)
        }),
        ("does not begin with olauth_", 1, |mut body| {
            body["key"] = json!("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_");
            Reply::json(201, body)
        }),
        ("not a description of a key", 1, |body| {
            let text = body.to_string();
            Reply::json(201, &text[..text.len() - 5])
        }),
        ("was cut off", 1, |body| {
            let text = body.to_string();
            Reply::sized(201, text.len(), [Step::Send(text.as_bytes()[..text.len() - 5].to_vec()), Step::Cut])
        }),
        ("more than", 1, |body| Reply::json(201, body.to_string() + &" ".repeat(9 << 20))),
        ("ended before an answer came", 6, |_| Reply::drop_connection()),
    ];
    for (words, code, change) in cases {
        let (sandbox, cloud) = signed_in();
        cloud.mangle_created(change);
        let output = keys(&sandbox, &["create", "ci", "-vv"]);
        assert_eq!(output.code(), code, "{words}: {}", output.snapshot());
        says(&output, &[words]);
        assert_revoked(&cloud, &sandbox, &output);
        assert_eq!(cloud.count("POST", "/api/user/keys"), 1, "it is asked for once: {words}");
    }
}

#[test]
fn a_new_key_that_cannot_be_revoked_is_named() {
    let (sandbox, cloud) = signed_in();
    // The host is in trouble from the answer on: even what it is cannot be found out.
    cloud.inject("/api/user/keys", Fault::Status(500)).inject_times("/api/me", 3, Fault::DateSkew(0));
    cloud.inject("/api/me", Fault::Status(500));
    let output = keys(&sandbox, &["create", "ci"]).expect_code(1);
    says(&output, &["answered 500", "may still be valid", "revoking it failed", "keys revoke key_", "--yes --host"]);
    assert_eq!(deletes(&cloud), 0);
    cloud.clear_faults();
    // A host that made none says so.
    cloud.inject("/api/user/keys", Fault::Drop);
    says(&keys(&sandbox, &["create", "ci"]).expect_code(6), &["has no key key_"]);
}

#[test]
fn a_key_with_other_rights_than_requested_is_reported() {
    let (sandbox, cloud) = signed_in();
    cloud.mangle_created(|mut body| {
        body["scopes"] = json!(["inference", "models:read", "\u{1b}[2Jkeys"]);
        body["expires_at"] = Value::Null;
        Reply::json(201, body)
    });
    let output = keys(&sandbox, &["create", "ci"]).expect_code(0);
    says(&output, &["other rights than requested", "^[[2Jkeys", "never expires"]);
}

#[test]
fn a_key_that_cannot_be_printed_is_revoked() {
    for (redirect, json) in [("> /dev/full", ""), ("> /dev/full", "--json"), ("| :", ""), ("| :", "--json")] {
        let (sandbox, cloud) = signed_in();
        // "| :" stands for a pipe whose reader has left before the key comes.
        let script = match redirect {
            "| :" => {
                let fifo = sandbox.path("fifo");
                let done = std::process::Command::new(tool("mkfifo")).arg(&fifo).status();
                assert!(done.unwrap().success());
                format!(
                    "exec 3<>'{0}'; exec 4>'{0}'; exec 3<&-; exec {PROGRAM} keys create ci {json} >&4",
                    fifo.display()
                )
            }
            _ => format!("exec {PROGRAM} keys create ci {json} {redirect}"),
        };
        let output = sandbox.program(tool("sh"), ["-c", &script]).run().expect_code(1);
        says(&output, &["could not be printed"]);
        assert_revoked(&cloud, &sandbox, &output);
    }
}

#[test]
fn no_key_is_created_when_stdout_discards_it() {
    let (sandbox, cloud) = signed_in();
    for redirect in [">&-", "> /dev/null"] {
        let script = format!("exec {PROGRAM} keys create ci {redirect}");
        let output = sandbox.program(tool("sh"), ["-c", &script]).run().expect_code(2);
        says(&output, &["is closed or /dev/null", "--save"]);
    }
    assert_eq!(cloud.count("POST", "/api/user/keys"), 0);
}

#[test]
fn a_saved_key_is_used_and_not_printed() {
    let (sandbox, cloud) = signed_in();
    let output = keys(&sandbox, &["create", "ci", "--save", "--env", "staging", "-vv"]).expect_code(0);
    let first = only_key(&cloud);
    assert_eq!(output.stdout(), "");
    says(&output, &[&first.id, "plaintext store", "now uses it"]);
    assert!(plaintext(&sandbox).contains(&first.key));
    let record = profile(&sandbox)["api_key"].clone();
    assert_eq!((&record["id"], &record["hint"]), (&json!(first.id), &first.item["hint"]));
    assert_eq!((&record["name"], &record["environment"]), (&json!("ci"), &json!("staging")));
    let shown = sandbox.command(["profile", "show"]).run().expect_code(0);
    assert!(["ci", "staging", &first.id].iter().all(|text| shown.stdout().contains(text)), "{}", shown.snapshot());
    let status = sandbox.command(["status", "--json"]).run().expect_code(0);
    assert_eq!(status.json()["credential"]["kind"], json!("api-key"));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    let listed = keys(&sandbox, &["list", "--json"]).expect_code(0);
    // It has no right to the list: it sees itself.
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(listed.json()["keys"][0]["kept_here"], json!(true));
    sandbox.assert_no_secret(&first.key, &[&output, &status, &listed], &[DATA]);

    // A second one takes its place, and the first is not forgotten silently. (It has to come from a key that may make keys.)
    let manager = cloud.issue(json!({ "scopes": ["inference", "models:read", "keys"] }));
    let args = ["keys", "create", "second", "--save", "--json", "--host", &cloud.url()];
    let output = sandbox.command(args).env("OLLAMA_API_KEY", &manager.key).run().expect_code(0);
    assert_eq!((&output.json()["key"], &output.json()["store"]), (&Value::Null, &json!("plaintext")));
    says(&output, &[&first.id, "stays valid at"]);
    sandbox.assert_no_secret(&first.key, &[&output], &[]);
    assert!(plaintext(&sandbox).contains(&cloud.issued()[2].key));
}

#[test]
fn a_broken_store_is_detected_before_a_key_is_created() {
    let (sandbox, cloud) = signed_in();
    for (store, words) in [("keyring", "keyring"), ("file", "passphrase")] {
        let output = keys(&sandbox, &["create", "ci", "--save", "--store", store]);
        assert_ne!(output.code(), 0, "{}", output.snapshot());
        says(&output, &[words]);
    }
    assert_eq!(cloud.count("POST", "/api/user/keys"), 0);
}

#[test]
fn a_key_that_cannot_be_saved_is_revoked() {
    // The store takes it, but its record cannot be written: the folder of profiles.json is locked while the host answers.
    let (sandbox, cloud) = signed_in();
    let config = sandbox.path(CONFIG);
    let before = plaintext(&sandbox);
    let folder = config.clone();
    cloud.mangle_created(move |body| {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        Reply::json(201, body)
    });
    let output = as_nobody(&sandbox, &["keys", "create", "ci", "--save"]).run().expect_code(1);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o700)).unwrap();
    says(&output, &["could not be stored"]);
    assert_revoked(&cloud, &sandbox, &output);
    assert_eq!(plaintext(&sandbox), before);
    assert_eq!(profile(&sandbox)["api_key"], Value::Null);
}

#[test]
fn a_profile_whose_host_changed_meanwhile_gets_no_key() {
    let (sandbox, cloud) = signed_in();
    let (root, other) = (sandbox.path(CONFIG).join("profiles.json"), "http://127.0.0.1:9");
    cloud.mangle_created(move |body| {
        let mut all: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["url"] = json!(other);
        fs::write(&root, all.to_string()).unwrap();
        Reply::json(201, body)
    });
    let output = keys(&sandbox, &["create", "ci", "--save"]).expect_code(1);
    says(&output, &["changed the profile"]);
    assert_revoked(&cloud, &sandbox, &output);
}

#[test]
fn records_of_older_versions_are_read() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "ci", "--save"]).expect_code(0);
    edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        let record = all["profiles"][&name]["api_key"].as_object_mut().unwrap();
        for member in ["id", "name", "environment"] {
            record.remove(member);
        }
    });
    sandbox.command(["status"]).run().expect_code(0);
    assert_eq!(only_key(&cloud).key, api_key_like(0));
}

#[test]
fn the_key_is_not_in_traces_or_arguments() {
    let (sandbox, cloud) = signed_in();
    let output = sandbox
        .command(["keys", "create", "ci", "-vv"])
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .run()
        .expect_code(0);
    let issued = only_key(&cloud);
    assert!(output.stderr().contains("/api/user/keys"), "-vv traces");
    assert!(!output.stderr().contains(&issued.key[7..]));
    sandbox.assert_no_secret(&issued.key, &[], &[]);
}

#[test]
fn an_interrupt_shows_the_key_id() {
    let (sandbox, cloud) = signed_in();
    cloud.inject("/api/user/keys", Fault::Hang);
    for more in [&[][..], &["--json"]] {
        let asked = cloud.server().requests().len();
        let child = sandbox.command([&["keys", "create", "ci"], more].concat()).spawn();
        // Three questions what the host is, and the request itself.
        let requests = cloud.server().wait_requests(asked + 4);
        child.interrupt();
        let output = child.finish().expect_code(130);
        let id = requests.last().unwrap().json()["id"].as_str().unwrap().to_owned();
        says(&output, &[&id]);
    }
}

#[test]
fn the_stored_key_to_be_replaced_is_named_first() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "first", "--save", "--scope", "inference,models:read,keys"]).expect_code(0);
    cloud.inject("/api/user/keys", Fault::Status(500));
    let output = keys(&sandbox, &["create", "second", "--save"]).expect_code(1);
    says(&output, &["replaces the stored API key \"first\"", "stays valid at"]);
    assert_eq!(profile(&sandbox)["api_key"]["name"], json!("first"));
}
