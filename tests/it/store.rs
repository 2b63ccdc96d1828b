//! `store`: every secret is in exactly one place, and a failed or killed move loses none.

use crate::given::{
    DATA, PASSPHRASE, entry, mode, on_a_full_disk, on_keyring, plaintext, profile, profiles, says, sign_in, with_store,
};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::keyring::Keyring;

const KEY: &str = "gateway-key-0123456789-wxyz";

fn to(sandbox: &Sandbox, store: &str) -> Cmd {
    sandbox.command(["store", "move", "--to", store]).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE)
}

/// A device key and an API key at one host.
fn sign_in_twice(sandbox: &Sandbox, cloud: &Cloud) {
    cloud.accept_api_key(KEY);
    sign_in(sandbox, cloud, &[]);
    sandbox.command(["signin", "--with-api-key"]).stdin(KEY).run().expect_code(0);
}

fn states(sandbox: &Sandbox) -> Vec<String> {
    let shown = sandbox
        .command(["store", "show", "--json"])
        .env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE)
        .run()
        .expect_code(0)
        .json();
    let rows = shown["secrets"].as_array().unwrap();
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| ["secret", "store", "state"].map(|name| text(row, name)).join(" ")).collect()
}

#[test]
fn secrets_move_through_all_stores_and_leave_no_copy() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sign_in_twice(&sandbox, &cloud);
    let names = ["device-key", "api-key"].map(|kind| entry(kind, &cloud.url()));
    let device = keyring.lookup(&names[0]).unwrap();
    assert_eq!(keyring.lookup(&names[1]).unwrap(), KEY);
    assert_eq!(states(&sandbox), ["device-key keyring present", "api-key keyring present"]);

    says(&to(&sandbox, "file").run().expect_code(0), &["from the keyring store to the file store"]);
    assert_eq!(names.clone().map(|name| keyring.lookup(&name)), [None, None]);
    for secret in [KEY, &device, PASSPHRASE] {
        sandbox.assert_no_secret(secret, &[], &[]);
    }
    assert_eq!(states(&sandbox), ["device-key file present", "api-key file present"]);
    assert_eq!(mode(&sandbox.path(DATA).join("secrets.enc.json")), 0o600);

    let output = to(&sandbox, "plaintext").run().expect_code(0);
    says(&output, &["every program that runs as you"]);
    assert!(plaintext(&sandbox).contains(KEY));
    assert_eq!(mode(&sandbox.path(DATA).join("secrets.json")), 0o600);
    assert_eq!(mode(&sandbox.path(DATA)), 0o700);
    assert_eq!(states(&sandbox), ["device-key plaintext present", "api-key plaintext present"]);
    sandbox.assert_no_secret(&device, &[], &[&format!("{DATA}/secrets.json")]);

    to(&sandbox, "keyring").run().expect_code(0);
    assert_eq!(keyring.lookup(&names[0]).as_ref(), Some(&device));
    for secret in [KEY, &device] {
        sandbox.assert_no_secret(secret, &[], &[]);
    }
    says(&to(&sandbox, "keyring").run().expect_code(0), &["already"]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn a_wrong_passphrase_moves_nothing() {
    let (sandbox, cloud) = (with_store("file"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let before = sandbox.files();
    let output = sandbox
        .command(["store", "move", "--to", "plaintext"])
        .env("OLLAMA_AUTH_PASSPHRASE", "not the passphrase")
        .run()
        .expect_code(1);
    says(&output, &["wrong passphrase", "secrets.enc.json", "OLLAMA_AUTH_PASSPHRASE"]);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"));
    let kept: Vec<_> = sandbox.files().into_iter().filter(|file| before.contains(file)).collect();
    assert_eq!(kept, before);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    let output = sandbox
        .command(["store", "move", "--to", "plaintext"])
        .env_remove("OLLAMA_AUTH_PASSPHRASE")
        .run()
        .expect_code(1);
    says(&output, &["needs a passphrase", "secrets.enc.json"]);
}

#[test]
fn a_full_disk_moves_nothing() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sign_in(&sandbox, &cloud, &[]);
    let before = profiles(&sandbox);
    for store in ["plaintext", "file"] {
        let output = on_a_full_disk(&sandbox, &["store", "move", "--to", store])
            .env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE)
            .run()
            .expect_code(1);
        says(&output, &["cannot write", "secrets."]);
    }
    assert_eq!(profiles(&sandbox), before);
    assert!(keyring.lookup(&entry("device-key", &cloud.url())).is_some());
    assert!(sandbox.files().iter().all(|(path, bytes)| bytes.is_empty() || !path.starts_with(sandbox.path(DATA))));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn the_next_move_finishes_a_killed_one() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = plaintext(&sandbox);
    to(&sandbox, "file").run().expect_code(0);
    // What a kill between the switch and the deletion leaves behind: a copy in the old store.
    sandbox.write(format!("{DATA}/secrets.json"), &old);
    let output = to(&sandbox, "file").run().expect_code(0);
    says(&output, &["Removed a leftover copy", "plaintext store"]);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"));
    assert_eq!(states(&sandbox), ["device-key file present"]);
    // And before the switch: the record still names the old store, where the secret still is.
    to(&sandbox, "plaintext").run().expect_code(0);
    let record = profiles(&sandbox).to_string();
    let secrets = plaintext(&sandbox);
    to(&sandbox, "file").run().expect_code(0);
    sandbox.write("home/.config/ollama-auth/profiles.json", record);
    sandbox.write(format!("{DATA}/secrets.json"), secrets);
    sandbox.command(["status"]).run().expect_code(0);
    to(&sandbox, "file").run().expect_code(0);
    assert_eq!(states(&sandbox), ["device-key file present"]);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"));
    sandbox.command(["run", "tiny", "hi"]).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run().expect_code(0);
}

#[test]
fn all_profiles_move_at_once() {
    let (sandbox, one, two) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    sign_in(&sandbox, &one, &[]);
    sign_in(&sandbox, &two, &[]);
    to(&sandbox, "file").run().expect_code(0);
    assert_eq!(plaintext(&sandbox).matches("BEGIN OPENSSH").count(), 1, "the current one alone");
    to(&sandbox, "file").args(["--all"]).run().expect_code(0);
    assert_eq!(plaintext(&sandbox).matches("BEGIN OPENSSH").count(), 0);
    assert_eq!(states(&sandbox), ["device-key file present", "device-key file present"]);
}

#[test]
fn show_reports_missing_secrets_and_unreachable_stores() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    says(&sandbox.command(["store", "show"]).run().expect_code(0), &["Nothing is stored"]);
    sign_in(&sandbox, &cloud, &[]);
    let name = entry("device-key", &cloud.url());
    let text = plaintext(&sandbox).replace(&name, "device-key:another:http://127.0.0.1");
    sandbox.write(format!("{DATA}/secrets.json"), text);
    assert_eq!(states(&sandbox), ["device-key plaintext missing"]);
    let output = to(&sandbox, "file").run().expect_code(3);
    says(&output, &["is missing from the plaintext store"]);
    crate::given::edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["device"]["store"] = "keyring".into();
    });
    assert!(states(&sandbox)[0].contains("no keyring can be reached"));
}

#[test]
fn a_plaintext_store_readable_by_others_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let path = sandbox.path(DATA).join("secrets.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = sandbox.command(["run", "tiny", "hi"]).run().expect_code(1);
    says(&output, &["open to other accounts", "chmod 600", path.to_str().unwrap()]);
}

#[test]
fn an_unknown_store_is_exit_2() {
    let cloud = Cloud::start();
    let mut sandbox = with_store("nonsense");
    sandbox.browser(Behaviour::Follows);
    let output = sandbox.command(["signin", "--host", &cloud.url()]).run();
    says(&output.expect_code(2), &["OLLAMA_AUTH_STORE", "keyring, file or plaintext"]);
    sandbox.remove_env("OLLAMA_AUTH_STORE");
    sign_in(&sandbox, &cloud, &["--store", "plaintext"]);
    // The choice was remembered.
    assert_eq!(profile(&sandbox)["store"], "plaintext");
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn without_a_profile_nothing_is_moved_and_no_file_is_made() {
    let mut sandbox = Sandbox::new();
    says(&to(&sandbox, "file").run().expect_code(3), &["there is no profile named"]);
    let all = ["store", "move", "--all", "--to", "file"];
    sandbox.command(all).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run().expect_code(0);
    // Nor does a key that the host refuses leave one.
    let cloud = Cloud::start();
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).set_env("OLLAMA_AUTH_STORE", "file");
    sandbox.command(["signin", "--with-api-key", "--host", &cloud.url()]).stdin(KEY).run().expect_code(4);
    assert!(!sandbox.path(DATA).join("secrets.enc.json").exists());
}
