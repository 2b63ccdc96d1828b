//! Unfinished rotations: a later run finishes them whatever has happened since, and they do not block other keys.

use std::fs;

use super::{Given, text};
use crate::given::says;

#[test]
fn a_rotation_finishes_after_the_old_key_was_revoked() {
    let given = Given::new();
    given.rotate(&["nightly", "--deploy", "exit 3"]).expect_code(1);
    let new = given.journal_entries()[0]["new"].clone();
    given.device.command(["keys", "revoke", text(&given.first, "id"), "--yes"]).run().expect_code(0);
    let output = given.rotate(&["nightly", "--deploy", "true"]).expect_code(0);
    says(&output, &["Finished the rotation", new.as_str().unwrap()]);
    assert!(given.accepts(&given.current()));
    assert_eq!(given.live().len(), 1);
    given.rotate(&["--all", "--max-age", "90d"]).expect_code(0);
    assert!(given.journal_entries().is_empty());
}

#[test]
fn an_unfinished_rotation_does_not_block_other_keys() {
    let given = Given::new();
    let keys = |args: &[&str]| given.device.command(["keys"].iter().chain(args)).run();
    keys(&["create", "own", "--save"]).expect_code(0);
    keys(&["rotate", "nightly", "--deploy", "exit 3"]).expect_code(1);
    let output = keys(&["rotate", "--all", "--max-age", "0s"]).expect_code(0);
    says(&output, &["Replaced the key \"own\"", "an unfinished rotation", "add its options to"]);
    keys(&["rotate", "nightly", "--deploy", "true"]).expect_code(0);
    assert_eq!(keys(&["list", "--json"]).expect_code(0).json()["keys"].as_array().unwrap().len(), 4);
}

#[test]
fn another_variable_is_another_destination() {
    let given = Given::new();
    let file = given.machine.write("app.env", "A=1\n");
    let file = file.to_str().unwrap();
    let args = ["nightly", "--env-file", file, "--env-var", "A", "--deploy", "exit 3"];
    given.rotate(&args).expect_code(1);
    let output = given.rotate(&["nightly", "--env-file", file, "--deploy", "true"]).expect_code(2);
    says(&output, &["was started with --deploy CMD", "--env-var A"]);
    given.rotate(&["nightly", "--env-file", file, "--env-var", "A", "--deploy", "true"]).expect_code(0);
    assert_eq!(fs::read_to_string(file).unwrap(), format!("A={}\n", given.current()));
}

/// A dry run leaves a damaged journal to the run that reports it.
#[test]
fn a_dry_run_leaves_a_damaged_journal_in_place() {
    let given = Given::new();
    given.machine.write("home/.local/share/ollama-auth/rotations.json", "{");
    let before = given.machine.files();
    given.rotate(&["nightly", "--dry-run"]).expect_code(1);
    assert_eq!(given.machine.files(), before);
}
