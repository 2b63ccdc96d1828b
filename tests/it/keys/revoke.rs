//! `keys revoke`: exactly the given key, only at a host with accounts, and only an unambiguous response counts.

use serde_json::{Value, json};

use super::{deletes, keys, signed_in};
use crate::given::{DATA, edit_profiles, plaintext, profile, says};
use crate::harness::cloud::{Cloud, Fault, api_key_like};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::{Expectation, Reply};
use crate::harness::pty::Terminal;
use crate::harness::with_other_end;

#[track_caller]
fn live(cloud: &Cloud, id: &str) -> bool {
    cloud.issued().iter().find(|issued| issued.id == id).unwrap().is_live()
}

fn by_stdin(sandbox: &Sandbox, cloud: &Cloud, key: &str) -> Output {
    sandbox.command(["keys", "revoke", "--key-stdin", "--yes", "--host", &cloud.url()]).stdin(format!("{key}\n")).run()
}

/// Where the request to revoke a key goes.
fn path(id: &str) -> String {
    use base64::Engine as _;
    format!("/api/user/keys/{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(id))
}

#[test]
fn a_key_is_revoked_by_name_by_id_and_twice() {
    let (sandbox, cloud) = signed_in();
    cloud.issue(json!({ "id": "key_first00000", "name": "ci" }));
    cloud.issue(json!({ "id": "key_second0000", "name": "CI" }));
    cloud.issue(json!({ "id": "key_third00000", "name": "third" }));
    let output = keys(&sandbox, &["revoke", "ci"]).expect_code(2);
    says(&output, &["this would revoke", "key_first00000", "--yes"]);
    assert_eq!(deletes(&cloud), 0);
    let output = keys(&sandbox, &["revoke", "ci", "--yes"]).expect_code(0);
    says(&output, &["Revoked the API key \"ci\" (key_first00000)"]);
    assert!(!live(&cloud, "key_first00000") && live(&cloud, "key_second0000"));
    // What was revoked before is fine, by name without another request.
    says(&keys(&sandbox, &["revoke", "ci", "--yes"]).expect_code(0), &["was already revoked"]);
    assert_eq!(deletes(&cloud), 1);
    for _ in 0..2 {
        let seen = keys(&sandbox, &["revoke", "key_second0000", "--yes", "--json"]).expect_code(0).json();
        assert_eq!((&seen["id"], &seen["revoked"]), (&json!("key_second0000"), &json!(true)));
    }
    assert!(live(&cloud, "key_third00000"));
    for unknown in ["nothing", "key_nothing000", "Third", "third "] {
        let output = keys(&sandbox, &["revoke", unknown, "--yes"]).expect_code(3);
        says(&output, &["keys list"]);
    }
    assert!(live(&cloud, "key_third00000"));
    keys(&sandbox, &["revoke"]).expect_code(2);
    keys(&sandbox, &["revoke", "third", "--key-stdin"]).expect_code(2);
}

#[test]
fn an_ambiguous_name_revokes_no_key() {
    let (sandbox, cloud) = signed_in();
    cloud.issue(json!({ "id": "key_first00000", "name": "ci", "environment": "a\nkey_faked00000" }));
    cloud.issue(json!({ "id": "key_second0000", "name": "ci" }));
    cloud.page_size(1);
    let output = keys(&sandbox, &["revoke", "ci", "--yes"]).expect_code(2);
    says(&output, &["2 API keys are named \"ci\"", "key_first00000", "key_second0000"]);
    assert!(!output.stderr().lines().any(|line| line.trim().starts_with("key_faked")), "{}", output.snapshot());
    assert_eq!(deletes(&cloud), 0);
    // For revoked keys it does not matter.
    keys(&sandbox, &["revoke", "key_first00000", "--yes"]).expect_code(0);
    keys(&sandbox, &["revoke", "ci", "--yes"]).expect_code(0);
    assert!(!live(&cloud, "key_second0000"));
    keys(&sandbox, &["revoke", "ci", "--yes"]).expect_code(0);
    assert_eq!(deletes(&cloud), 2);
}

#[test]
fn a_person_is_asked() {
    let (sandbox, cloud) = signed_in();
    cloud.issue(json!({ "name": "ci" }));
    for (answer, code) in [("n", 1), ("y", 0)] {
        let mut terminal = Terminal::start(&sandbox, &["keys", "revoke", "ci"]);
        terminal.wait_text("Revoke the API key");
        terminal.send(answer);
        assert_eq!(terminal.finish().code, code);
        assert_eq!(cloud.issued()[0].is_live(), code == 1);
    }
}

/// An answer to the request, the exit code, and words of the error.
type Case = (fn() -> Reply, i32, &'static [&'static str]);

#[test]
fn only_an_unambiguous_response_counts_as_revoked() {
    let cases: [Case; 8] = [
        (|| Reply::new(404, "<html>nothing here</html>"), 1, &["answered 404", "may still be valid"]),
        (|| Reply::json(404, r#"{"message":"nope"}"#), 1, &["answered 404", "may still be valid"]),
        (|| Reply::json(404, r#"{"error":"no such key"}"#), 3, &["has no API key"]),
        (|| Reply::new(404, "gone").header("X-Ollama-Auth-Gateway", "9.9.9"), 3, &["has no API key"]),
        (|| Reply::json(405, r#"{"error":"method not allowed"}"#), 1, &["may still be valid", "has no API for keys"]),
        (|| Reply::json(403, r#"{"error":"no"}"#), 5, &["may still be valid"]),
        (|| Reply::json(202, "{}"), 1, &["may still be valid", "a status of 202"]),
        (Reply::drop_connection, 6, &["may still be valid"]),
    ];
    for (reply, code, words) in cases {
        let (sandbox, cloud) = signed_in();
        cloud.issue(json!({ "id": "key_first00000" }));
        cloud.server().expect(Expectation::new("DELETE", &path("key_first00000")).times(1..=1).reply(move |_| reply()));
        let output = keys(&sandbox, &["revoke", "key_first00000", "--yes"]);
        assert_eq!(output.code(), code, "{}", output.snapshot());
        says(&output, words);
        says(&output, &["key_first00000"]);
    }
}

#[test]
fn a_caller_without_list_access_revokes_by_id() {
    let (sandbox, cloud) = signed_in();
    cloud.issue(json!({ "id": "key_first00000" }));
    cloud.inject("/api/user/keys", Fault::Status(403));
    keys(&sandbox, &["revoke", "key_first00000", "--yes"]).expect_code(0);
    assert!(!live(&cloud, "key_first00000"));
}

#[test]
fn the_stored_copy_is_removed_too() {
    for forget_id in [false, true] {
        let (sandbox, cloud) = signed_in();
        keys(&sandbox, &["create", "ci", "--save"]).expect_code(0);
        let issued = cloud.issued().remove(0);
        if forget_id {
            edit_profiles(&sandbox, |all| {
                let name = all["current"].as_str().unwrap().to_owned();
                all["profiles"][&name]["api_key"].as_object_mut().unwrap().remove("id");
            });
        }
        // Another key with its own fate.
        cloud.issue(json!({ "id": "key_another000", "name": "other" }));
        let manager = cloud.issue(json!({ "id": "key_manager000", "scopes": ["keys"] }));
        let revoke = |id: &str| {
            let args = ["keys", "revoke", id, "--yes", "--host", &cloud.url()];
            sandbox.command(args).env("OLLAMA_API_KEY", &manager.key).run().expect_code(0)
        };
        revoke("key_another000");
        assert!(plaintext(&sandbox).contains(&issued.key));
        says(&revoke(&issued.id), &["The copy stored in the profile"]);
        sandbox.assert_no_secret(&issued.key, &[], &[]);
        assert_eq!(profile(&sandbox)["api_key"], Value::Null);
        // The device is what is left, and works.
        sandbox.command(["status"]).run().expect_code(0);
    }
}

#[test]
fn a_key_revokes_itself() {
    let (sandbox, cloud) = signed_in();
    let own = cloud.issue(json!({ "id": "key_first00000" }));
    let manager = cloud.issue(json!({ "id": "key_manager000", "scopes": ["keys"] }));
    let output = by_stdin(&sandbox, &cloud, &own.key).expect_code(0);
    says(&output, &["Revoked", "key_first00000"]);
    assert!(!live(&cloud, "key_first00000") && live(&cloud, "key_manager000"));
    let traced = sandbox
        .command(["keys", "revoke", "--key-stdin", "--yes", "-vv", "--host", &cloud.url()])
        .stdin(&manager.key)
        .run()
        .expect_code(0);
    assert!(!live(&cloud, "key_manager000"));
    // A key unknown to the host is an error: it may belong to another host.
    let again = by_stdin(&sandbox, &cloud, &own.key).expect_code(3);
    says(&again, &["does not accept this key", "nothing was revoked"]);
    for key in [&own.key, &manager.key] {
        sandbox.assert_no_secret(key, &[&output, &again, &traced], &[]);
    }
    // The device was not asked for anything: its profile is untouched.
    sandbox.command(["status"]).run().expect_code(0);
}

#[test]
fn an_invalid_key_is_not_sent() {
    let (sandbox, cloud) = signed_in();
    let good = api_key_like(3);
    let before = cloud.server().requests().len();
    let damaged = with_other_end(&good);
    for (key, words) in
        [(damaged.as_str(), "checksum"), (&good[..30], "olauth_"), ("", "no API key"), ("two words", "one word")]
    {
        let output = by_stdin(&sandbox, &cloud, key).expect_code(2);
        says(&output, &[words]);
    }
    // And without leave nothing happens to a good one.
    let output = sandbox.command(["keys", "revoke", "--key-stdin"]).stdin(&good).run().expect_code(2);
    says(&output, &["--yes"]);
    assert_eq!(cloud.server().requests().len(), before);
}

#[test]
fn keys_with_the_same_hint_are_not_confused() {
    let (sandbox, cloud) = signed_in();
    let own = cloud.issue(json!({ "id": "key_first00000", "scopes": ["keys"] }));
    cloud.issue(json!({ "id": "key_twin000000", "hint": own.item["hint"] }));
    // A host that says it of neither, of both, or of the other.
    for (marked, code, words) in [
        (&[][..], 1, "does not say which one it is"),
        (&[0, 1], 2, "2 API keys are all marked as this key"),
        (&[1], 1, "still accepts the given key"),
    ] {
        let mut items: Vec<_> = cloud.issued().into_iter().map(|issued| issued.item).collect();
        for index in marked {
            items[*index]["self"] = json!(true);
        }
        cloud.server().expect(
            Expectation::new("GET", "/api/user/keys")
                .times(1..=1)
                .reply(move |_| Reply::json(200, json!({ "keys": items.clone(), "next": null }))),
        );
        says(&by_stdin(&sandbox, &cloud, &own.key).expect_code(code), &[words]);
    }
    assert!(live(&cloud, "key_first00000"));
}

#[test]
fn a_revoked_key_without_a_stored_id_is_removed() {
    let (sandbox, cloud) = signed_in();
    let own = cloud.issue(json!({ "id": "key_first00000" }));
    let args = ["signin", "--with-api-key", "--host", &cloud.url()];
    sandbox.command(args).stdin(&own.key).run().expect_code(0);
    assert_eq!(profile(&sandbox)["api_key"]["id"], "key_first00000");
    // As a host without a list of keys, or an older version, leaves it.
    edit_profiles(&sandbox, |all| {
        let profiles = all["profiles"].as_object_mut().unwrap();
        profiles.values_mut().next().unwrap()["api_key"].as_object_mut().unwrap().remove("id");
    });
    sandbox.assert_no_secret(&own.key, &[], &[DATA]);
    by_stdin(&sandbox, &cloud, &own.key).expect_code(0);
    sandbox.assert_no_secret(&own.key, &[], &[]);
    assert_eq!(profile(&sandbox)["api_key"], Value::Null);
}
