//! The program with a real gnome-keyring: unlocked, locked, frozen, and where there is none.

use std::fs;
use std::time::Duration;

use crate::given::{CONFIG, DATA, PASSPHRASE, entry, on_keyring, profiles, says, sign_in};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::keyring::Keyring;
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

/// The deadline of a keyring call is 5 s; the rest is for a machine that is busy with other tests.
const FROZEN: Duration = Duration::from_secs(40);

/// As cron has it: the same home, no session bus.
fn without_bus(sandbox: &Sandbox, command: Cmd) -> Cmd {
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", sandbox.path("run"))
}

#[test]
fn an_unlocked_keyring_is_the_default() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sandbox.browser(Behaviour::Follows);
    let output = sandbox.command(["signin", "--host", &cloud.url()]).run();
    says(&output.expect_code(0), &["keyring store"]);
    let name = entry("device-key", &cloud.url());
    let key = keyring.lookup(&name).expect("an entry of ours");
    assert!(key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    assert!(!keyring.list().contains("probe:"));
    assert!(!sandbox.path(DATA).exists(), "no file holds a secret");
    sandbox.assert_no_secret(&key, &[], &[]);
    let status = sandbox.command(["status", "--json"]).run().expect_code(0);
    assert_eq!(status.json()["credential"]["store"], "keyring");
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.command(["signout"]).run().expect_code(0);
    assert_eq!(keyring.lookup(&name), None);
    assert!(cloud.devices().is_empty());
}

#[test]
fn a_locked_keyring_is_said_and_no_browser_opens() {
    let (mut keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    let browser = sign_in(&sandbox, &cloud, &[]);
    let before = profiles(&sandbox);
    keyring.restart_locked();
    for args in [&["signin"][..], &["run", "tiny", "hi"], &["status"], &["signout"]] {
        let output = sandbox.command(args).run().expect_code(1);
        says(&output, &["the keyring is locked", "store move --to file"]);
        assert!(output.duration < FROZEN);
    }
    assert_eq!(profiles(&sandbox), before);
    assert_eq!(cloud.devices().len(), 1);
    let newcomer = on_keyring(&keyring);
    let browser_too = newcomer.browser(Behaviour::Follows);
    let output = newcomer.command(["signin", "--host", &cloud.url()]).run();
    says(&output.expect_code(1), &["the keyring is locked"]);
    assert_eq!((browser.opened().len(), browser_too.opened().len()), (0, 0));
    assert!(!newcomer.path(CONFIG).join("profiles.json").exists());
}

#[test]
fn a_frozen_keyring_ends_every_command_in_time_and_loses_nothing() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sign_in(&sandbox, &cloud, &[]);
    let before = profiles(&sandbox);
    let target = sandbox.path("exported");
    let target = target.to_str().unwrap();
    let name = cloud.url().replace("http://", "");
    keyring.freeze();
    let commands = [
        &["signin"][..],
        &["run", "tiny", "hi"],
        &["status"],
        &["signout"],
        &["signout", "--force"],
        &["device", "rotate", "--no-browser"],
        &["device", "revoke", "--yes"],
        &["device", "export", target, "--no-passphrase"],
        &["store", "move", "--to", "plaintext"],
        &["profile", "remove", &name, "--yes"],
    ];
    let children = commands.map(|args| (args, sandbox.command(args).spawn()));
    for (args, child) in children {
        let output = child.finish();
        assert_eq!(output.code(), 1, "{args:?}\n{}", output.snapshot());
        let wanted = ["the keyring did not answer within 5 s", "store move --to file"];
        says(&output, &wanted);
        assert!(output.duration < FROZEN, "{args:?}: {:?}", output.duration);
    }
    keyring.thaw();
    assert_eq!(profiles(&sandbox), before);
    assert!(!sandbox.path("exported").exists());
    sandbox.command(["status"]).run().expect_code(0);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.command(["signout"]).run().expect_code(0);
    assert_eq!(keyring.lookup(&entry("device-key", &cloud.url())), None);
}

#[test]
fn ctrl_c_does_not_wait_for_a_frozen_keyring() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let mut sandbox = on_keyring(&keyring);
    sign_in(&sandbox, &cloud, &[]);
    keyring.freeze();
    // The time limit of the keyring never ends.
    let _clock = SetClock::stopped(&mut sandbox);
    for args in [&["run", "tiny", "hi"][..], &["signin"], &["signout"]] {
        let child = sandbox.command(args).spawn();
        // The call runs on a thread of that name.
        poll("the call to begin", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", child.pid())).ok()?;
            let mut names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
            names.any(|name| name.trim() == "vault").then_some(())
        });
        child.interrupt();
        let output = child.finish().expect_code(130);
        assert_eq!(output.stdout(), "");
    }
    keyring.thaw();
    sandbox.command(["status"]).run().expect_code(0);
}

#[test]
fn without_a_bus_the_encrypted_file_takes_over_only_with_a_passphrase() {
    let cloud = Cloud::start();
    let mut sandbox = Sandbox::new();
    sandbox.set_env("DISPLAY", ":0");
    let browser = sandbox.browser(Behaviour::Follows);
    let signin = ["signin", "--host", &cloud.url()];
    let output = sandbox.command(signin).run().expect_code(1);
    says(&output, &["no store is available", "OLLAMA_AUTH_PASSPHRASE"]);
    assert!(browser.opened().is_empty());
    assert!(!sandbox.path(DATA).exists());
    let output = sandbox.command(signin).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run().expect_code(0);
    says(&output, &["No keyring is available", "file store"]);
    // The choice is remembered, so the next call need not find out again.
    let status = sandbox.command(["status", "--json"]).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run().expect_code(0);
    assert_eq!(status.json()["credential"]["store"], "file");
}

#[test]
fn cron_is_told_to_move_the_key_and_then_reaches_it() {
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sign_in(&sandbox, &cloud, &[]);
    for args in [&["run", "tiny", "hi"][..], &["status"], &["signin"], &["signout"]] {
        let output = without_bus(&sandbox, sandbox.command(args)).run();
        says(&output.expect_code(1), &["no keyring can be reached", "cron", "store move --to file"]);
    }
    let passphrase = sandbox.write("passphrase", PASSPHRASE);
    let passphrase = passphrase.to_str().unwrap();
    let moved = ["store", "move", "--to", "file", "--passphrase-file", passphrase];
    sandbox.command(moved).run().expect_code(0);
    assert_eq!(keyring.lookup(&entry("device-key", &cloud.url())), None);
    let run = sandbox.command(["run", "tiny", "hi", "--passphrase-file", passphrase]);
    without_bus(&sandbox, run).run().expect_code(0);
}

#[test]
fn a_bus_without_a_keyring_is_named() {
    let (keyring, cloud) = (Keyring::start_bus_only(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    let output = sandbox.command(["signin", "--host", &cloud.url()]).run();
    says(&output.expect_code(1), &["no Secret Service"]);
}

#[test]
fn without_ca_certificates_https_says_so_and_loopback_works() {
    let cloud = Cloud::start();
    let mut sandbox = crate::given::with_store("plaintext");
    let nothing = sandbox.path("nothing");
    sandbox.set_env("SSL_CERT_FILE", &nothing).set_env("SSL_CERT_DIR", &nothing);
    sign_in(&sandbox, &cloud, &[]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    let output = sandbox.command(["signin", "--host", "https://127.0.0.1:9"]).run();
    says(&output.expect_code(6), &["https://127.0.0.1:9", "CA certificates", "--ca-cert", "SSL_CERT_FILE"]);
    let output = sandbox.command(["signin", "--host", "https://127.0.0.1:9", "--ca-cert", "/nowhere.pem"]).run();
    says(&output.expect_code(2), &["/nowhere.pem", "--ca-cert"]);
}

/// A person cannot do anything with the numbers of system errors.
#[test]
fn the_reason_why_no_keyring_answers_has_no_system_number() {
    let (mut sandbox, cloud) = (Sandbox::new(), Cloud::start());
    sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let args = ["signin", "--host", &cloud.url(), "--store", "keyring", "--no-wait"];
    let signin = sandbox.command(args).run();
    says(&signin, &["there is no D-Bus session bus (No such file or directory)"]);
    for output in [signin, sandbox.command(["doctor"]).run(), sandbox.command(["doctor", "--json"]).run()] {
        let all = format!("{}{}", output.stdout(), output.stderr());
        assert!(all.contains("D-Bus") && !all.contains("os error"), "{}", output.snapshot());
    }
}
