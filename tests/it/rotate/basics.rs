//! Normal rotations: which key is rotated, by whom, when, and what is printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{Given, text};
use crate::given::says;

#[test]
fn a_key_rotates_itself_in_the_store() {
    let given = Given::with(&["--scope", "inference", "--model", "tiny", "--env", "ci", "--expires", "30d"]);
    let output = given.rotate(&["nightly"]).expect_code(0);
    assert_eq!(output.stdout(), "");
    says(&output, &["Replaced the key \"nightly\"", "is in use", "expires in 2"]);
    given.assert_rotated();
    let live = given.live();
    let new = live.iter().find(|key| key["id"] != given.first["id"]).unwrap();
    for member in ["name", "scopes", "models", "environment"] {
        assert_eq!(new[member], given.first[member], "{member}");
    }
    // The old one cannot renew itself any more, and ends by itself.
    let old = live.iter().find(|key| key["id"] == given.first["id"]).unwrap();
    assert_eq!(old["replaceable"], false);
    for secret in [text(&given.first, "key"), &given.current()] {
        given.machine.assert_no_secret(secret, &[&output], &["home/.local/share/ollama-auth/secrets.json"]);
        given.gateway.sandbox().assert_no_secret(secret, &[], &[]);
    }
}

#[test]
fn a_key_that_is_not_due_prints_one_line() {
    let given = Given::new();
    let output = given.rotate(&["--all", "--max-age", "90d"]).expect_code(0);
    assert_eq!(output.stdout(), "");
    assert_eq!(output.stderr(), "The key \"nightly\" is 0 days old; it is due at 90 days.\n");
    assert_eq!(given.rotate(&["--all", "--max-age", "90d", "--quiet"]).expect_code(0).stderr(), "");
    assert!(given.journal_entries().is_empty());
    assert_eq!(given.keys().len(), 1);
    let report = given.rotate(&["--all", "--max-age", "90d", "--json"]).expect_code(0).json();
    assert_eq!((&report["busy"], &report["rotations"][0]["outcome"]), (&json!(false), &json!("not-due")));
    given.rotate(&["--all", "--max-age", "0s"]).expect_code(0);
    given.assert_rotated();
}

#[test]
fn a_dry_run_changes_nothing() {
    let given = Given::new();
    let before = given.machine.files();
    let output = given.rotate(&["nightly", "--dry-run", "--json"]).expect_code(0);
    assert_eq!(output.json()["rotations"][0]["outcome"], "would-rotate");
    says(&given.rotate(&["nightly", "--dry-run"]).expect_code(0), &["Would replace the key \"nightly\""]);
    assert_eq!(given.machine.files(), before);
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn a_repeated_rotation_within_a_minute_does_nothing() {
    let given = Given::new();
    given.rotate(&["nightly"]).expect_code(0);
    let after = given.current();
    let output = given.rotate(&["nightly"]).expect_code(0);
    says(&output, &["was replaced less than a minute ago: nothing to do"]);
    assert_eq!(given.current(), after);
    // Who says so gets another.
    given.rotate(&["nightly", "--max-age", "0s"]).expect_code(0);
    assert_ne!(given.current(), after);
    assert_eq!(given.journal_entries().len(), 2);
    assert!(given.accepts(&given.current()));
}

#[test]
fn without_grace_the_old_key_expires_at_once() {
    let given = Given::new();
    let output = given.rotate(&["nightly", "--grace", "0s", "--json"]).expect_code(0).json();
    assert_eq!(output["rotations"][0]["outcome"], "rotated");
    assert_eq!(output["rotations"][0]["old_ends_at"], json!(null));
    assert!(!given.accepts(text(&given.first, "key")));
    assert!(given.accepts(&given.current()));
    assert_eq!(given.live().len(), 1);
}

#[test]
fn the_next_run_records_that_the_old_key_expired() {
    let given = Given::new();
    given.rotate(&["nightly", "--grace", "1s"]).expect_code(0);
    crate::harness::poll("the end of the old key", || (!given.accepts(text(&given.first, "key"))).then_some(()));
    let output = given.rotate(&["nightly", "--max-age", "90d"]).expect_code(0);
    says(&output, &["The old key", "has expired", "it is due at"]);
    assert!(given.journal_entries().is_empty());
}

#[test]
fn a_device_rotates_a_key_used_on_another_machine() {
    let given = Given::new();
    let output = given.device.command(["keys", "rotate", "nightly"]).run().expect_code(2);
    says(&output, &["is not stored on this machine, so the new key would be lost", "--deploy CMD or --env-file FILE"]);
    assert_eq!(given.keys().len(), 1);
    let file = given.device.write("app.env", format!("A=1\nOLLAMA_API_KEY={}\n", text(&given.first, "key")));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let args = [
        "keys",
        "rotate",
        "nightly",
        "--env-file",
        file.to_str().unwrap(),
        "--deploy",
        "read -r key; echo \"$key\" > $HOME/deployed",
    ];
    let output = given.device.command(args).run().expect_code(0);
    says(&output, &["other accounts on this machine can read", "Replaced the key \"nightly\""]);
    let content = fs::read_to_string(&file).unwrap();
    let key = content.strip_prefix("A=1\nOLLAMA_API_KEY=").unwrap().trim_end();
    assert!(given.accepts(key) && key != text(&given.first, "key"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(given.device.path("home/deployed")).unwrap(), format!("{key}\n"));
    // The key is stored on the machine that uses it, not on this one.
    given.device.assert_no_secret(key, &[&output], &["app.env", "home/deployed"]);
}

#[test]
fn a_rotation_without_rights_is_exit_5_with_a_hint() {
    let given = Given::with(&["--no-replace"]);
    let output = given.rotate(&["nightly"]).expect_code(5);
    says(&output, &["may not replace itself", "sign in with this device"]);
    given.rotate(&["nonsense"]).expect_code(3);
    says(&given.rotate(&[]).expect_code(2), &["--all"]);
    given.rotate(&["nightly", "--env-var", "1A", "--env-file", "x"]).expect_code(2);
    assert!(given.journal_entries().is_empty());
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn an_ambiguous_name_requires_the_key_id() {
    let given = Given::new();
    given.device.command(["keys", "create", "nightly"]).run().expect_code(0);
    let args = ["keys", "rotate", "nightly", "--deploy", "true"];
    let output = given.device.command(args).run().expect_code(2);
    says(&output, &["2 API keys are named \"nightly\"", "use the id of one", text(&given.first, "id")]);
    let args = ["keys", "rotate", text(&given.first, "id"), "--deploy", "true"];
    given.device.command(args).run().expect_code(0);
}

#[test]
fn a_key_replaced_on_another_machine_is_unchanged() {
    let given = Given::new();
    // The same key on a second machine, which has rotated it.
    let other = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &given.gateway.url()];
    other.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    other.command(["keys", "rotate", "nightly", "--grace", "1h"]).run().expect_code(0);
    // However young the key is: it expires in an hour.
    for args in [&["nightly"][..], &["--all"], &["nightly", "--max-age", "60d"], &["--all", "--max-age", "60d"]] {
        let output = given.rotate(args).expect_code(1);
        says(
            &output,
            &["was already replaced by key_", "from another machine; the old key expires in", "keys import --replace"],
        );
    }
    assert!(given.journal_entries().is_empty());
    assert_eq!(given.live().len(), 2);
    let audit = |sandbox: &crate::harness::cmd::Sandbox| sandbox.command(["keys", "audit"]).run();
    let output = audit(&given.machine).expect_code(8);
    for words in ["replaced (1)", "was replaced by key_", "expires in", "keys import --replace --profile"] {
        assert!(output.stdout().contains(words), "{words:?} is missing\n{}", output.snapshot());
    }
    // On the machine that has the new key, the old one needs no action.
    audit(&other).expect_code(0);
}

/// A key that may do little must not hide the device beside it, which may manage keys.
#[test]
fn a_device_signs_key_management_despite_a_stored_api_key() {
    let given = Given::new();
    let keys = |args: &[&str]| given.device.command(["keys"].iter().chain(args)).run();
    keys(&["create", "own", "--save", "--scope", "inference"]).expect_code(0);
    keys(&["create", "other"]).expect_code(0);
    let listed = keys(&["list", "--json"]).expect_code(0).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 3);
    keys(&["rotate", "nightly", "--deploy", "true"]).expect_code(0);
    keys(&["rotate", "own"]).expect_code(0);
    keys(&["revoke", "other", "--yes"]).expect_code(0);
    // What runs models is the key all the same.
    assert!(given.device.command(["token"]).run().expect_code(0).stdout().starts_with("olauth_"));
}
