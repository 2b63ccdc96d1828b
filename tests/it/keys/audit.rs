//! `keys audit`: findings, profiles that cannot be checked, and the exit codes for CI jobs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{deletes, issue, keys, signed_in};
use crate::given::{DATA, edit_profiles, on_keyring, profiles, says, sign_in, with_store};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::keyring::Keyring;

pub(super) fn audit(sandbox: &Sandbox, args: &[&str]) -> Output {
    keys(sandbox, &[&["audit"], args].concat())
}

/// Kind and name of what was found, in its order.
#[track_caller]
fn found(output: &Output) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = output.json()["findings"].clone();
    findings.as_array().unwrap().iter().map(|finding| (text(&finding["kind"]), text(&finding["name"]))).collect()
}

#[track_caller]
fn kinds(output: &Output) -> Vec<String> {
    found(output).into_iter().map(|(kind, _)| kind).collect()
}

pub(super) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_audit_that_checks_nothing_fails() {
    let sandbox = with_store("plaintext");
    says(&audit(&sandbox, &[]).expect_code(4), &["0 keys"]);
    let (sandbox, cloud) = signed_in();
    for (fault, code) in [
        (Fault::Status(401), 4),
        (Fault::Status(403), 5),
        (Fault::TryLater(429, "7".into()), 7),
        (Fault::Html(200), 1),
        (Fault::Status(500), 1),
        (Fault::Redirect(307, "http://127.0.0.1:9/".into()), 1),
    ] {
        cloud.inject("/api/user/keys", fault);
        let output = audit(&sandbox, &["--json"]).expect_code(code);
        assert_eq!(kinds(&output), ["unchecked"]);
        assert_eq!((&output.json()["profiles"][0]["keys"], &output.json()["exit_code"]), (&Value::Null, &json!(code)));
        cloud.clear_faults();
    }
    cloud.disconnect(&cloud.devices()[0].key.fingerprint);
    audit(&sandbox, &[]).expect_code(4);
    audit(&sandbox, &["--profile", "nobody"]).expect_code(3);
    drop(cloud);
    let output = audit(&sandbox, &[]).expect_code(6);
    assert!(output.stdout().contains("was not checked: cannot reach"), "{}", output.snapshot());
}

#[test]
fn an_unreachable_host_does_not_hide_other_findings() {
    let (sandbox, cloud) = signed_in();
    issue(&cloud, "old", &json!({ "created_at": -91 }));
    let away = Cloud::start();
    away.offer_keys();
    sign_in(&sandbox, &away, &[]);
    let hanging = Cloud::start();
    hanging.offer_keys();
    sign_in(&sandbox, &hanging, &[]);
    hanging.inject("/api/me", Fault::Hang);
    drop(away);
    // Time enough for the host that answers, also on a slow machine.
    let output = audit(&sandbox, &["--json", "--timeout", "10s"]).expect_code(8);
    assert_eq!(kinds(&output), ["unchecked", "unchecked", "stale"]);
    let output = audit(&sandbox, &["--json", "--timeout", "1s", "--fail-on", "exposed"]).expect_code(6);
    assert!(output.stdout().contains("did not list its keys within 1 s"));
    // The one that is named is asked alone.
    let name = cloud.url().replace("http://", "");
    let output = audit(&sandbox, &["--json", "--profile", &name]).expect_code(8);
    assert_eq!(kinds(&output), ["stale"]);
}

#[test]
fn findings_decide_the_exit_code() {
    let (sandbox, cloud) = signed_in();
    let output = audit(&sandbox, &[]).expect_code(0);
    assert_eq!(output.stdout(), "");
    says(&output, &["No findings", "1 profile and 0 keys"]);
    issue(&cloud, "fine", &json!({}));
    issue(&cloud, "lasting", &json!({ "expires_at": null, "environment": "ci" }));
    issue(&cloud, "broad", &json!({ "scopes": ["keys"] }));
    issue(&cloud, "gone", &json!({ "created_at": -500, "revoked_at": -100 }));
    // Seen, but no reason to fail.
    let output = audit(&sandbox, &["--json"]).expect_code(0);
    assert_eq!(found(&output), [("over-broad".into(), "broad".into()), ("no-expiry".into(), "lasting".to_owned())]);
    assert_eq!((&output.json()["failing"], &output.json()["profiles"][0]["keys"]), (&json!(0), &json!(3)));
    audit(&sandbox, &["--fail-on", "no-expiry"]).expect_code(8);
    audit(&sandbox, &["--fail-on", "all"]).expect_code(8);
    audit(&sandbox, &["--fail-on", "stale", "--fail-on", "unused,expired"]).expect_code(0);
    for wrong in [
        &["--fail-on", "ugly"][..],
        &["--fail-on", ""],
        &["--max-age", "soon"],
        &["--format", "xml"],
        &["--timeout", "0s"],
    ] {
        audit(&sandbox, wrong).expect_code(2);
    }

    issue(&cloud, "old", &json!({ "created_at": -91, "environment": "staging" }));
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    let stale = output.json()["findings"][0].clone();
    assert_eq!(
        (&stale["kind"], &stale["name"], &stale["environment"]),
        (&json!("stale"), &json!("old"), &json!("staging"))
    );
    assert_eq!(stale["level"], json!("warning"));
    audit(&sandbox, &["--max-age", "92d"]).expect_code(0);
    audit(&sandbox, &["--max-age", "never"]).expect_code(0);
    audit(&sandbox, &["--fail-on", "none"]).expect_code(0);
    issue(&cloud, "idle", &json!({ "created_at": -40, "last_used_at": null }));
    issue(&cloud, "dead", &json!({ "expires_at": -1 }));
    let output = audit(&sandbox, &[]).expect_code(8);
    let headings: Vec<&str> =
        output.stdout().lines().filter(|line| !line.starts_with(' ') && !line.is_empty()).collect();
    let order = ["expired (1)", "stale (1)", "unused (1)", "over-broad (1)", "no-expiry (1)"];
    assert!(headings.iter().zip(order).all(|(line, word)| line.starts_with(word)), "{headings:?}");
    says(&output, &["1 profile and 6 keys; 5 findings, 3 of which fail the audit"]);
    assert_eq!(deletes(&cloud), 0);
}

/// What is printed as a remedy works as it stands.
#[test]
fn a_suggested_remedy_runs() {
    let (sandbox, cloud) = signed_in();
    let idle = issue(&cloud, "idle", &json!({ "created_at": -40, "last_used_at": null }));
    let odd = issue(&cloud, "odd", &json!({ "created_at": -91, "name": "--yes $(touch /tmp/never)'" }));
    let findings = audit(&sandbox, &["--json"]).expect_code(8).json()["findings"].clone();
    let remedy = |name: &str| {
        let finding = findings.as_array().unwrap().iter().find(|finding| finding["id"] == name).unwrap();
        finding["remedy"].as_str().unwrap().to_owned()
    };
    assert!(remedy(&odd.id).starts_with("ollama-auth keys create NAME "), "{}", remedy(&odd.id));
    let args = remedy(&idle.id);
    let args: Vec<&str> = args.strip_prefix("ollama-auth ").unwrap().split(' ').collect();
    sandbox.command(args).args(["--yes"]).run().expect_code(0);
    assert!(!cloud.issued()[0].is_live());
}

#[test]
fn the_stored_key_is_marked() {
    let (sandbox, cloud) = signed_in();
    let kept = issue(&cloud, "mine", &json!({ "created_at": -91 }));
    let id = kept.id.clone();
    sandbox.command(["keys", "import"]).stdin(&kept.key).run().expect_code(0);
    let as_itself = || cloud.server().requests().iter().filter(|request| request.api_key().is_some()).count();
    let before = as_itself();
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    // The device asks, so that every key is seen, and not the key, which would see itself alone.
    assert_eq!(as_itself(), before);
    let stale = output.json()["findings"][0].clone();
    assert!(stale["message"].as_str().unwrap().contains("which is stored here"), "{stale}");
    assert!(stale["remedy"].as_str().unwrap().starts_with("ollama-auth keys rotate mine --profile "), "{stale}");
    // Revoked behind our back.
    let other = with_store("plaintext");
    sign_in(&other, &cloud, &[]);
    keys(&other, &["revoke", &id, "--yes"]).expect_code(0);
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    assert_eq!(found(&output), [("expired".to_owned(), "mine".to_owned())]);
    assert!(output.json()["findings"][0]["message"].as_str().unwrap().contains("does not list the stored key"));
}

#[test]
fn a_key_stored_twice_is_found() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let key = "shared-key-0123456789-abcd";
    cloud.accept_api_key(key);
    let url = cloud.url();
    for (profile, environment) in [("one", "ci"), ("two", "production")] {
        let args = ["keys", "import", "--host", &url, "--profile", profile, "--env", environment, "--no-verify"];
        sandbox.command(args).stdin(key).run().expect_code(0);
    }
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    assert_eq!(kinds(&output), ["duplicate", "unlisted", "unlisted"]);
    let message = output.json()["findings"][0]["message"].as_str().unwrap().to_owned();
    assert!(
        ["\"one\" for \"ci\"", "\"two\" for \"production\"", "ending in abcd"]
            .iter()
            .all(|text| message.contains(text)),
        "{message}"
    );
    audit(&sandbox, &["--profile", "one"]).expect_code(8);
    // The variable beside them.
    let with = |value: &str| {
        sandbox
            .command(["keys", "audit", "--json", "--profile", "one"])
            .env("OLLAMA_API_KEY", value)
            .run()
            .expect_code(8)
    };
    assert_eq!(kinds(&with("another-0123456789-key")), ["duplicate", "shadowed", "unlisted"]);
    let output = with(key);
    assert_eq!(kinds(&output), ["duplicate", "duplicate", "unlisted"]);
    for format in [&["--json"][..], &["--format", "sarif"], &["-vv"]] {
        sandbox.assert_no_secret(key, &[&audit(&sandbox, format), &output], &[DATA]);
    }
}

#[test]
fn files_that_others_can_read_are_found() {
    let (sandbox, cloud) = signed_in();
    let secrets = sandbox.path(DATA).join("secrets.json");
    let stock = sandbox.write("home/.ollama/id_ed25519", "a key");
    let passphrase = sandbox.write("home/a passphrase", "words");
    let left = sandbox.write(format!("{DATA}/secrets.json.broken"), "{}");
    let credential = sandbox.write("creds/ollama-auth-passphrase", "words");
    let named = sandbox.write("home/named.json", r#"{"host":"https://other.example","key":"a-key-0123456789"}"#);
    let run = || {
        sandbox
            .command(["keys", "audit", "--json"])
            .env("OLLAMA_AUTH_PASSPHRASE_FILE", &passphrase)
            .env("CREDENTIALS_DIRECTORY", sandbox.path("creds"))
            .env("OLLAMA_AUTH_CREDENTIALS", &named)
            .run()
    };
    // systemd hands credentials over so.
    mode(&credential, 0o440);
    run().expect_code(0);
    for path in [&stock, &passphrase, &left, &credential, &named] {
        mode(path, 0o644);
        let output = run().expect_code(8);
        let finding = output.json()["findings"][0].clone();
        assert_eq!((&finding["kind"], &finding["file"]), (&json!("exposed"), &json!(path)), "{}", output.snapshot());
        mode(path, 0o600);
    }
    // The store itself is refused then, and the rest is reported all the same.
    mode(&secrets, 0o640);
    let output = run().expect_code(8);
    assert_eq!(kinds(&output), ["exposed", "unchecked"]);
    let remedy = output.json()["findings"][0]["remedy"].as_str().unwrap().to_owned();
    sandbox.program("/bin/sh", ["-c", &remedy]).env("PATH", "/usr/bin:/bin").run().expect_code(0);
    run().expect_code(0);
    // A pipe in place of a file does not block the audit.
    fs::remove_file(&stock).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&stock).status();
    assert!(made.unwrap().success());
    run();
    assert_eq!(deletes(&cloud), 0);
}

/// What uses it refuses it then; the key in it is known to others all the same.
#[test]
fn a_credentials_file_that_others_can_read_is_found() {
    let (sandbox, cloud) = signed_in();
    let text = json!({ "host": cloud.url(), "key": "some-key-0123456789" }).to_string();
    let file = sandbox.write("home/ollama.json", text);
    for code in [0o600, 0o644] {
        mode(&file, code);
        let flag = sandbox.command(["keys", "audit", "--json", "--credentials", file.to_str().unwrap()]).run();
        let variable = sandbox.command(["keys", "audit", "--json"]).env("OLLAMA_AUTH_CREDENTIALS", &file).run();
        for output in [flag, variable] {
            let found = kinds(&output.expect_code(if code == 0o600 { 0 } else { 8 }));
            assert_eq!(found, if code == 0o600 { vec![] } else { vec!["exposed"] });
        }
    }
}

#[test]
fn without_a_key_api_the_stored_keys_age_is_checked() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key("some-key-0123456789");
    let url = cloud.url();
    sandbox
        .command(["keys", "import", "--host", &url, "--name", "mine"])
        .stdin("some-key-0123456789")
        .run()
        .expect_code(0);
    let output = audit(&sandbox, &["--json"]).expect_code(0);
    assert_eq!(kinds(&output), ["unlisted"]);
    edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        let added = &mut all["profiles"][&name]["api_key"]["added_at"];
        *added = json!(added.as_i64().unwrap() - 91 * 86_400);
    });
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    assert_eq!(found(&output), [("stale".to_owned(), "mine".to_owned()), ("unlisted".to_owned(), String::new())]);
    assert!(output.json()["findings"][0]["message"].as_str().unwrap().contains("has been stored here for 91 days"));
    audit(&sandbox, &["--max-age", "100d"]).expect_code(0);
    audit(&sandbox, &["--fail-on", "unlisted"]).expect_code(8);
}

/// It listed them before, so a server that does not may be another host.
#[test]
fn a_host_that_listed_keys_before_must_list_them_again() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "mine", "--save"]).expect_code(0);
    let ci = with_store("plaintext");
    let made = issue(&cloud, "ci", &json!({}));
    ci.command(["keys", "import", "--host", &cloud.url()]).stdin(&made.key).run().expect_code(0);
    for (path, fault) in [
        ("/api/user/keys", Fault::Status(404)),
        ("/api/user/keys", Fault::Html(404)),
        ("/api/user/keys", Fault::Status(405)),
        ("/api/me", Fault::Html(404)),
        ("/api/me", Fault::Html(200)),
        ("/api/me", Fault::Html(401)),
    ] {
        cloud.inject(path, fault.clone());
        for sandbox in [&sandbox, &ci] {
            let output = audit(sandbox, &["--json"]).expect_code(1);
            assert_eq!(kinds(&output), ["unchecked"], "{path} {fault:?}");
            let text = audit(sandbox, &[]).expect_code(1);
            says(&text, &["not everything could be checked"]);
        }
        cloud.clear_faults();
    }
    audit(&ci, &[]).expect_code(0);
}

#[test]
fn without_a_profile_the_api_key_variable_is_used() {
    let (_, cloud) = signed_in();
    let manager = issue(&cloud, "manager", &json!({ "scopes": ["keys"] }));
    issue(&cloud, "old", &json!({ "created_at": -91 }));
    let sandbox = with_store("plaintext");
    let args = ["keys", "audit", "--json", "--host", &cloud.url()];
    let output = sandbox.command(args).env("OLLAMA_API_KEY", &manager.key).run().expect_code(8);
    assert_eq!(kinds(&output), ["stale", "over-broad"]);
    assert_eq!(output.json()["profiles"][0]["profile"], Value::Null);
    sandbox.assert_no_secret(&manager.key, &[&output], &[]);
    sandbox.command(args).run().expect_code(4);
}

#[test]
fn a_frozen_keyring_is_reported_once_and_in_time() {
    let (keyring, cloud, other) = (Keyring::start_unlocked(), Cloud::start(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    cloud.offer_keys();
    other.offer_keys();
    sign_in(&sandbox, &cloud, &[]);
    sign_in(&sandbox, &other, &[]);
    let plain = Cloud::start();
    plain.offer_keys();
    sign_in(&sandbox, &plain, &["--store", "plaintext"]);
    issue(&plain, "old", &json!({ "created_at": -91 }));
    let before = profiles(&sandbox);
    keyring.freeze();
    let output = audit(&sandbox, &["--json"]).expect_code(8);
    assert_eq!(kinds(&output), ["unchecked", "unchecked", "stale"]);
    assert!(output.stdout().contains("the keyring did not answer within 5 s"));
    assert!(output.duration < Duration::from_secs(40), "{:?}", output.duration);
    audit(&sandbox, &["--fail-on", "none"]).expect_code(1);
    keyring.thaw();
    assert_eq!(profiles(&sandbox), before);
    assert_eq!(kinds(&audit(&sandbox, &["--json"]).expect_code(8)), ["stale"]);
}

#[cfg(feature = "gateway")]
#[test]
fn the_real_gateways_keys_are_audited() {
    use crate::harness::gateway::Gateway;
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    audit(&device, &[]).expect_code(0);
    gateway.key(&device, &["fine", "--env", "ci"]);
    gateway.key(&device, &["lasting", "--expires", "never"]);
    let manager = gateway.key(&device, &["manager", "--scope", "keys,inference"]);
    keys(&device, &["create", "kept", "--save"]).expect_code(0);
    let expected = [("over-broad".to_owned(), "manager".to_owned()), ("no-expiry".to_owned(), "lasting".to_owned())];
    let output = audit(&device, &["--json"]).expect_code(0);
    assert_eq!(found(&output), expected);
    assert_eq!(output.json()["profiles"][0]["keys"], json!(4));
    // The key that is kept sees itself alone; both ask as the device.
    assert_eq!(keys(&device, &["list", "--json"]).expect_code(0).json()["keys"].as_array().unwrap().len(), 4);
    // In CI there is a key and nothing else.
    let ci = with_store("plaintext");
    let args = ["keys", "audit", "--fail-on", "over-broad", "--json", "--host", &gateway.url()];
    let output = ci.command(args).env("OLLAMA_API_KEY", &manager).run().expect_code(8);
    assert_eq!(found(&output), expected);
    // It takes itself into a store, and says by itself what it is.
    let output =
        ci.command(["keys", "import", "--json", "--host", &gateway.url()]).stdin(&manager).run().expect_code(0);
    assert_eq!((&output.json()["name"], &output.json()["verified"]), (&json!("manager"), &json!(true)));
    let list = keys(&ci, &["list", "--filter", "name=manager", "--json"]).expect_code(0).json();
    assert_eq!((&list["keys"][0]["kept_here"], &list["keys"][0]["problems"]), (&json!(true), &json!(["over-broad"])));
    ci.assert_no_secret(&manager, &[&output], &[DATA]);
    // An audit of an unreachable gateway fails.
    drop(gateway);
    audit(&ci, &[]).expect_code(6);
}
