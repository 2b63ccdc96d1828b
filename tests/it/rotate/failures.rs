//! Failures during a rotation: host, network, disk, store, clock, and concurrent changes. The old key keeps working, the exit code
//! fits, and the next run finishes or rolls back.

mod network;
mod storage;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::relay::{Failure, Relay};
use super::{Given, text};
use crate::given::{DATA, PASSPHRASE, edit_profiles, on_a_full_disk, plaintext, says};
use crate::harness::cloud::Cloud;
use crate::harness::poll;

/// A rotation whose deployment fails: from then on the new key waits. Gives its id.
fn begin(given: &Given) -> String {
    given.rotate(&["nightly", "--deploy", "exit 1"]).expect_code(1);
    text(&given.journal_entries()[0], "new").to_owned()
}

/// The host has no new key, and the journal is empty.
fn assert_untouched(given: &Given) {
    assert_eq!(given.keys().len(), 1);
    assert!(given.journal_entries().is_empty());
    assert!(given.accepts(text(&given.first, "key")));
}

/// The valid keys that were not replaced.
fn replaceable_keys(given: &Given) -> Vec<Value> {
    given.live().into_iter().filter(|key| key["replaceable"] == json!(true)).collect()
}

#[test]
fn a_wrong_clock_is_exit_4_and_creates_no_key() {
    let (machine, cloud) = (crate::given::with_store("plaintext"), Cloud::start());
    cloud.offer_keys();
    crate::given::sign_in(&machine, &cloud, &[]);
    machine.command(["keys", "create", "nightly", "--expires", "never"]).run().expect_code(0);
    for hours in [1, -1] {
        cloud.server().clock().skew(hours * 3600);
        let output = machine.command(["keys", "rotate", "nightly", "--deploy", "true"]).run().expect_code(4);
        says(&output, &["clock is", "set the clock, then try again"]);
        assert!(!cloud.take_refused().is_empty());
    }
    assert_eq!(cloud.issued().len(), 1);
    assert!(!machine.path(DATA).join("rotations.json").exists());
}

/// Moves the times in the journal by so many seconds, as a clock that was set does.
fn shift_journal(given: &Given, seconds: i64) {
    let mut journal: Value = serde_json::from_str(&fs::read_to_string(given.journal()).unwrap()).unwrap();
    for rotation in journal["rotations"].as_array_mut().unwrap() {
        for name in ["began_at", "old_ends_at"] {
            if let Some(time) = rotation[name].as_i64() {
                rotation[name] = json!(time + seconds);
            }
        }
    }
    given.machine.write(format!("{DATA}/rotations.json"), journal.to_string());
}

#[test]
fn a_changed_clock_does_not_block_a_rotation() {
    for days in [365, -365] {
        let given = Given::new();
        given.rotate(&["nightly"]).expect_code(0);
        let before = given.current();
        shift_journal(&given, days * 86_400);
        let output = given.rotate(&["nightly"]).expect_code(0);
        assert!(given.accepts(&given.current()));
        assert_ne!(given.current(), before, "{}", output.snapshot());
        assert_eq!(replaceable_keys(&given).len(), 1);
    }
    // One that waits for its deployment goes on all the same.
    let given = Given::new();
    let new = begin(&given);
    shift_journal(&given, 365 * 86_400);
    given.rotate(&["nightly", "--deploy", "true"]).expect_code(0);
    assert_eq!(given.journal_entries()[0]["new"], json!(new));
    given.assert_rotated();
}

#[test]
fn an_expired_key_cannot_be_rotated() {
    let given = Given::new();
    given.rotate(&["nightly", "--deploy", "true", "--dry-run"]).expect_code(0);
    let id = text(&given.first, "id");
    given.device.command(["keys", "revoke", id, "--yes"]).run().expect_code(0);
    let output = given.rotate(&["nightly"]).expect_code(4);
    says(&output, &["sign in"]);
    assert!(given.journal_entries().is_empty());
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn the_old_key_may_be_revoked_during_deployment() {
    let given = Given::new();
    // The command runs until the old key is gone.
    let waits = "echo > $HOME/started; read -r line < $HOME/fifo; cat > $HOME/deployed";
    let fifo = given.machine.path("home/fifo");
    assert!(std::process::Command::new(crate::harness::tool("mkfifo")).arg(&fifo).status().unwrap().success());
    let path = std::env::var_os("PATH").unwrap();
    let child = given.machine.command(["keys", "rotate", "nightly", "--deploy", waits]).env("PATH", path).spawn();
    poll("the command", || given.machine.path("home/started").exists().then_some(()));
    given.device.command(["keys", "revoke", text(&given.first, "id"), "--yes"]).run().expect_code(0);
    fs::write(&fifo, "go on\n").unwrap();
    let output = child.finish().expect_code(0);
    says(&output, &["is in use", "is no longer valid"]);
    assert_eq!(given.live().len(), 1);
    assert!(given.accepts(&given.current()));
    assert_eq!(fs::read_to_string(given.machine.path("home/deployed")).unwrap().trim(), given.current());
}

#[test]
fn the_account_may_be_disabled_and_enabled_during_the_rotation() {
    let given = Given::new();
    let new = begin(&given);
    given.gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    let output = given.rotate(&["nightly", "--deploy", "true"]);
    assert!([4, 5].contains(&output.code()), "{}", output.snapshot());
    assert_eq!(given.journal_entries()[0]["new"], json!(new));
    given.gateway.admin(&["user", "enable", "ada"]).expect_code(0);
    given.rotate(&["nightly", "--deploy", "true"]).expect_code(0);
    assert_eq!(given.journal_entries()[0]["new"], json!(new));
    given.assert_rotated();
}

/// `signout`, `profile remove` and `keys forget` know of the key that waits.
#[test]
fn signing_out_of_an_unfinished_rotation_requires_force() {
    for command in ["signout", "profile remove NAME", "keys forget"] {
        let given = Given::new();
        let profile = given.gateway.url().trim_start_matches("http://").to_owned();
        let way: Vec<&str> = command.split(' ').map(|word| if word == "NAME" { &*profile } else { word }).collect();
        let new = begin(&given);
        let output = given.machine.command(&way).args(["--yes"]).run().expect_code(1);
        says(&output, &["has an unfinished rotation", &new, "keys rotate", "keys revoke", "--force"]);
        assert_eq!(given.current(), text(&given.first, "key"));
        assert_eq!(given.journal_entries().len(), 1);
        let output = given.machine.command(&way).args(["--yes", "--force"]).run().expect_code(0);
        says(
            &output,
            &[&new, "stays valid", &format!("ollama-auth keys revoke {new} --yes --host {}", given.gateway.url())],
        );
        // No secret is left, and nothing to go on with.
        assert!(!plaintext(&given.machine).contains("olauth_"), "{}", plaintext(&given.machine));
        assert!(given.journal_entries().is_empty());
    }
}

#[test]
fn a_rotation_waiting_for_the_old_keys_expiry_blocks_nothing() {
    let given = Given::new();
    given.rotate(&["nightly"]).expect_code(0);
    given.machine.command(["signout", "--yes"]).run().expect_code(0);
    assert!(!plaintext(&given.machine).contains("olauth_"));
}

#[test]
fn a_key_imported_meanwhile_stays_and_the_old_key_still_expires() {
    let given = Given::new();
    let new = begin(&given);
    let other = given.gateway.key(&given.device, &["other"]);
    let keep = ["keys", "import", "--replace", "--host", &given.gateway.url()];
    given.machine.command(keep).stdin(&other).run().expect_code(0);
    // By its name it cannot be found any more: the other key does not see it.
    let output = given.rotate(&["nightly", "--deploy", "true"]).expect_code(3);
    says(&output, &[&new, "an unfinished rotation"]);
    let output = given.rotate(&[&new, "--deploy", "true"]).expect_code(0);
    says(&output, &["Finished the rotation"]);
    assert_eq!(given.current(), other);
    let old = given.live().into_iter().find(|key| key["id"] == given.first["id"]).unwrap();
    assert_eq!(old["replaceable"], json!(false));
    assert!(!plaintext(&given.machine).contains("next-api-key"));
}

#[test]
fn a_profile_signed_out_during_a_rotation_is_reported() {
    let given = Given::new();
    let new = begin(&given);
    // An older program, or an editor.
    edit_profiles(&given.machine, |all| {
        for profile in all["profiles"].as_object_mut().unwrap().values_mut() {
            profile.as_object_mut().unwrap().remove("api_key");
        }
    });
    let output = given.rotate(&["--all", "--max-age", "90d"]).expect_code(0);
    says(&output, &[&new, "may be valid at", "sign in and run this again"]);
    assert_eq!(given.journal_entries().len(), 1);
}
