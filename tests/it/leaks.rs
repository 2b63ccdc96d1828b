//! Secrets appear only in the store: not in output, the trace of `-vv`, arguments, environments, or other files.

use std::os::unix::fs::symlink;

use crate::given::{DATA, PASSPHRASE, entry, on_keyring, plaintext, sign_in, with_store};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::contains;
use crate::harness::http::{Gate, Reply};
use crate::harness::keyring::Keyring;
use crate::harness::ollama::Ollama;

const KEY: &str = "gateway-key-0123456789-wxyz";

/// The private key in secrets.json.
fn private_key(sandbox: &Sandbox, url: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(&plaintext(sandbox)).unwrap();
    all["entries"][entry("device-key", url)].as_str().unwrap().to_owned()
}

/// Every `Authorization` value that a server was sent, and the part of it that is secret.
fn headers(cloud: &Cloud) -> Vec<String> {
    let requests = cloud.server().requests();
    let values = requests.iter().filter_map(|request| request.authorization());
    let mut found: Vec<String> = values
        .flat_map(|value| {
            let signature = value.rsplit(':').next().unwrap_or(value);
            [value.to_owned(), signature.to_owned()]
        })
        .collect();
    found.dedup();
    assert!(!found.is_empty());
    found
}

#[test]
fn device_keys_and_signatures_are_never_exposed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    let mut outputs = Vec::new();
    let run = |args: &[&str]| -> Output {
        sandbox.command(args.iter().chain(&["-vv"])).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").run()
    };
    outputs.push(run(&["signin", "--host", &cloud.url()]).expect_code(0));
    let mut keys = vec![private_key(&sandbox, &cloud.url())];
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["run", "tiny", "hi"],
        &["run", "tiny", "hi", "--output", "json"],
        &["device", "list"],
        &["device", "show", "--json"],
        &["profile", "show", "--json"],
        &["store", "show", "--json"],
        &["device", "rotate"],
    ] {
        outputs.push(run(args).expect_code(0));
    }
    keys.push(private_key(&sandbox, &cloud.url()));
    assert_ne!(keys[0], keys[1]);
    for (path, fault) in [
        ("/api/me", Fault::Status(401)),
        ("/api/me", Fault::MalformedJson),
        ("/api/me", Fault::Html(500)),
        ("/api/generate", Fault::Redirect(307, "http://127.0.0.1:9/".into())),
        ("/api/generate", Fault::Reset),
        ("/api/generate", Fault::Status(403)),
    ] {
        cloud.inject(path, fault);
        outputs.push(run(&["status"]));
        outputs.push(run(&["status", "--json"]));
        outputs.push(run(&["run", "tiny", "hi"]));
        outputs.push(run(&["run", "tiny", "hi", "--json"]));
        cloud.clear_faults();
    }
    outputs.push(run(&["signout"]).expect_code(0));
    assert!(outputs[1].stderr().contains("/api/me"), "-vv traces");
    let outputs: Vec<_> = outputs.iter().collect();
    for secret in keys.iter().chain(&headers(&cloud)) {
        sandbox.assert_no_secret(secret, &outputs, &[DATA]);
    }
    for key in &keys {
        sandbox.assert_no_secret(key, &[], &[]);
    }
}

#[test]
fn an_api_key_is_never_exposed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    let signin =
        |key: &str| sandbox.command(["signin", "--with-api-key", "--host", &cloud.url(), "-vv"]).stdin(key).run();
    let mut outputs = vec![signin(KEY).expect_code(0), signin("a-refused-key-0123456789").expect_code(4)];
    for args in [&["status", "-vv"][..], &["run", "tiny", "hi", "-vv"], &["profile", "show"]] {
        outputs.push(sandbox.command(args).run().expect_code(0));
    }
    // From the environment, and one that cannot be sent.
    for key in ["from-the-variable-0123", "with\u{e9}-accent-0123456789", "with\nbreak-0123456789"] {
        for args in [&["status"][..], &["run", "tiny", "hi"]] {
            let host = ["--host", &cloud.url(), "-vv"].map(str::to_owned);
            let output = sandbox.command(args).args(host).env("OLLAMA_API_KEY", key).run();
            assert_ne!(output.code(), 0, "{}", output.snapshot());
            outputs.push(output);
            sandbox.assert_no_secret(key, &[outputs.last().unwrap()], &[]);
        }
    }
    outputs.push(sandbox.command(["signout", "-vv"]).run().expect_code(0));
    let outputs: Vec<_> = outputs.iter().collect();
    sandbox.assert_no_secret(KEY, &outputs, &[]);
    sandbox.assert_no_secret("a-refused-key-0123456789", &outputs, &[]);
}

#[test]
fn the_process_list_shows_no_secret() {
    let (sandbox, ollama) = (with_store("plaintext"), Ollama::start());
    let gate = Gate::new();
    let held = gate.clone();
    let url = ollama.url();
    ollama.route("POST", "/api/me", move |request| {
        if request.api_key() == Some(KEY) {
            Reply::json(200, r#"{"id":"00000000-0000-0000-0000-000000000001","name":"x"}"#).after(&held)
        } else {
            Reply::json(401, r#"{"error":"unauthorized"}"#)
        }
    });
    let passphrase = sandbox.write("passphrase", PASSPHRASE);
    let child = sandbox
        .command(["signin", "--with-api-key", "--host", &url, "--store", "file", "--passphrase-file"])
        .args([&passphrase])
        .stdin(KEY)
        .spawn();
    gate.wait_reached();
    for place in [child.cmdline(), child.environ()] {
        assert!(!contains(&place, KEY.as_bytes()) && !contains(&place, PASSPHRASE.as_bytes()));
    }
    gate.open();
    let output = child.finish().expect_code(0);
    sandbox.assert_no_secret(KEY, &[&output], &[]);
    sandbox.assert_no_secret(PASSPHRASE, &[&output], &["passphrase"]);
}

#[test]
fn the_encrypted_file_and_its_errors_show_neither_key_nor_passphrase() {
    let (sandbox, cloud) = (with_store("file"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let exported = sandbox.path("exported");
    let export = ["device", "export", exported.to_str().unwrap(), "--no-passphrase"];
    let mut outputs = vec![sandbox.command(export).run().expect_code(0)];
    let key = std::fs::read_to_string(&exported).unwrap();
    outputs.push(sandbox.command(["status", "-vv"]).run().expect_code(0));
    outputs.push(
        sandbox.command(["status", "-vv"]).env("OLLAMA_AUTH_PASSPHRASE", "a wrong passphrase").run().expect_code(1),
    );
    let outputs: Vec<_> = outputs.iter().collect();
    sandbox.assert_no_secret(&key, &outputs, &["exported"]);
    sandbox.assert_no_secret(PASSPHRASE, &outputs, &[]);
    sandbox.assert_no_secret("a wrong passphrase", &outputs, &[]);
}

#[test]
fn the_trace_of_a_keyring_shows_no_secret() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sandbox.browser(Behaviour::Follows);
    let run = |args: &[&str]| sandbox.command(args.iter().chain(&["-vv"])).env("RUST_LOG", "trace").run();
    let mut outputs = vec![run(&["signin", "--host", &cloud.url()]).expect_code(0)];
    let key = keyring.lookup(&entry("device-key", &cloud.url())).unwrap();
    outputs.push(run(&["run", "tiny", "hi"]).expect_code(0));
    outputs.push(run(&["store", "move", "--to", "plaintext"]).expect_code(0));
    outputs.push(run(&["store", "move", "--to", "keyring"]).expect_code(0));
    outputs.push(run(&["signout"]).expect_code(0));
    let seen: Vec<_> = outputs.iter().collect();
    for secret in std::iter::once(&key).chain(&headers(&cloud)) {
        sandbox.assert_no_secret(secret, &seen, &[]);
    }
    // The trace holds only this program's messages: those of libraries are not checked for secrets.
    for line in outputs.iter().flat_map(|output| output.stderr().lines()) {
        let traced = ["TRACE ", "DEBUG ", "INFO "].iter().find_map(|level| line.trim_start().strip_prefix(level));
        assert!(traced.is_none_or(|rest| rest.trim_start().starts_with("ollama_auth")), "{line}");
    }
}

#[test]
fn damaged_stores_are_reported_without_their_content() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    sign_in(&sandbox, &cloud, &[]);
    sandbox.command(["signin", "--with-api-key"]).stdin(KEY).run().expect_code(0);
    let file = format!("{DATA}/secrets.json");
    let whole = plaintext(&sandbox);
    let key = private_key(&sandbox, &cloud.url());
    for broken in [
        whole.replace("\"version\": 1", "\"version\": \"1\""),
        whole.replace(&format!("\"{KEY}\""), &format!("[\"{KEY}\"]")),
        whole.replace(&format!("\"{KEY}\""), KEY),
        whole.replace("-----BEGIN OPENSSH", "-----BEGIN NOTHING"),
        whole[..whole.len() - 20].to_owned(),
    ] {
        sandbox.write(&file, &broken);
        for args in [&["status", "-vv"][..], &["device", "rotate", "--no-browser", "--json"]] {
            let output = sandbox.command(args).run();
            sandbox.assert_no_secret(KEY, &[&output], &[DATA]);
            sandbox.assert_no_secret(&key, &[&output], &[DATA]);
        }
        sandbox.write(&file, &whole);
    }
    // A store that is a link to elsewhere is not followed, nor printed.
    let real = sandbox.write("elsewhere", &whole);
    let path = sandbox.path(&file);
    std::fs::remove_file(&path).unwrap();
    symlink(&real, &path).unwrap();
    let output = sandbox.command(["run", "tiny", "hi"]).run().expect_code(1);
    sandbox.assert_no_secret(KEY, &[&output], &["elsewhere", DATA]);
}
