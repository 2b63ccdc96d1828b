//! Replacing the device key: some key works at every step, also after a kill.

use super::*;

#[test]
fn a_rotation_replaces_the_device_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    let output = device(&sandbox, &["rotate"]).expect_code(0);
    let new = shown(&sandbox);
    says(&output, &[&group_fingerprint(&old), &group_fingerprint(&new), "in use", "disconnected"]);
    assert_ne!(old, new);
    assert!(cloud.is_connected(&new) && !cloud.is_connected(&old));
    assert_eq!(cloud.devices().len(), 1);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    assert_eq!(plaintext(&sandbox).matches("OPENSSH PRIVATE KEY-----\\n").count(), 2, "one key");
    assert_eq!(profile(&sandbox)["device"]["next"], Value::Null);
}

#[test]
fn the_old_key_works_until_approval_despite_a_kill() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    sandbox.browser(Behaviour::Follows);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    assert_eq!(shown(&sandbox), old);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    let output = device(&sandbox, &["rotate", "--no-browser", "--timeout", "100ms"]).expect_code(4);
    says(&output, &["Resuming the interrupted rotation", "was not approved", "the old key still works"]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);

    // Wherever the secrets go meanwhile, the key that waits for approval goes with them.
    sandbox
        .command(["store", "move", "--to", "file"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"), "{}", plaintext(&sandbox));
    cloud.approve(&waiting.key.fingerprint);
    let output = sandbox
        .command(["device", "rotate"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    says(&output, &["Resuming the interrupted rotation", &group_fingerprint(&waiting.key.fingerprint)]);
    assert_eq!(shown(&sandbox), waiting.key.fingerprint);
    assert!(!cloud.is_connected(&old));
    assert_eq!(cloud.devices().len(), 1);
}

#[test]
fn a_rotation_killed_between_store_and_record_continues() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    cloud.approve(&waiting.key.fingerprint);
    // What the kill leaves: the store holds the new key in both places, the record still names the old one.
    let text = plaintext(&sandbox);
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    let all = stored["entries"].as_object_mut().expect("entries");
    let (next, value) = all
        .iter()
        .find(|(name, _)| name.starts_with("next-device-key:"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .unwrap();
    all.insert(next.trim_start_matches("next-").to_owned(), value);
    sandbox.write(format!("{DATA}/secrets.json"), stored.to_string());
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.command(["status"]).run().expect_code(0);
    let output = device(&sandbox, &["rotate", "--no-browser"]).expect_code(0);
    says(&output, &["Resuming the interrupted rotation"]);
    assert_eq!(shown(&sandbox), waiting.key.fingerprint);
    assert!(cloud.is_connected(&waiting.key.fingerprint) && !cloud.is_connected(&old));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    assert!(!plaintext(&sandbox).contains("next-device-key"));
}

#[test]
fn a_denied_successor_is_replaced_by_the_next_rotation() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let refused = poll("the new key at the host", || cloud.devices().get(1).cloned());
    cloud.deny(&refused.key.fingerprint);
    says(&child.finish().expect_code(5), &["refused"]);
    assert_eq!(shown(&sandbox), old);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    cloud.auto_approve(true);
    device(&sandbox, &["rotate"]).expect_code(0);
    assert_ne!(shown(&sandbox), refused.key.fingerprint);
}

#[test]
fn a_rotation_that_cannot_disconnect_the_old_key_shows_the_command() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = cloud.devices()[0].key.clone();
    let path = format!("/api/user/keys/{}", old.encoded);
    cloud.inject(&path, Fault::Status(500));
    let output = device(&sandbox, &["rotate"]).expect_code(1);
    says(&output, &["could not be disconnected", "device revoke", &old.encoded]);
    assert_ne!(shown(&sandbox), old.fingerprint);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    cloud.clear_faults();
    device(&sandbox, &["revoke", &old.encoded, "--yes"]).expect_code(0);
    assert!(!cloud.is_connected(&old.fingerprint));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn signing_out_during_a_rotation_leaves_no_key() {
    for end in [&["signout"][..], &["device", "revoke", "--yes"], &["profile", "remove", "NAME", "--yes"]] {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        sign_in(&sandbox, &cloud, &[]);
        let rotate = ["rotate", "--no-browser", "--timeout", "100ms"];
        device(&sandbox, &rotate).expect_code(4);
        assert!(plaintext(&sandbox).contains("next-device-key"));
        let name = cloud.url().replace("http://", "");
        let args = end.iter().map(|arg| if *arg == "NAME" { &*name } else { arg });
        sandbox.command(args).run().expect_code(0);
        assert!(!plaintext(&sandbox).contains("PRIVATE KEY"), "{end:?}");
    }
}

#[test]
fn signing_out_disconnects_a_successor_that_was_approved_meanwhile() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    cloud.approve(&waiting.key.fingerprint);
    sandbox.command(["signout"]).run().expect_code(0);
    assert!(cloud.devices().is_empty(), "{:?}", cloud.devices());
}
