//! Disks that are full or read-only, damaged journals, stores that do not open.

use super::*;

#[test]
fn a_full_disk_is_detected_before_a_key_is_created() {
    let given = Given::new();
    let before = given.machine.files();
    let output = on_a_full_disk(&given.machine, &["keys", "rotate", "nightly"]).run().expect_code(1);
    says(&output, &["File too large", "free some disk space"]);
    assert_untouched(&given);
    // But for a lock file, which is empty.
    let after: Vec<_> = given.machine.files().into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    assert_eq!(after, before.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect::<Vec<_>>());
    given.rotate(&["nightly"]).expect_code(0);
    given.assert_rotated();
}

#[test]
fn an_unwritable_journal_prevents_the_rotation() {
    // A folder stands where the journal belongs: root may not write there either.
    let given = Given::new();
    fs::create_dir_all(given.journal()).unwrap();
    says(&given.rotate(&["nightly"]).expect_code(1), &["rotations.json", "is not a regular file"]);
    fs::remove_dir(given.journal()).unwrap();
    assert_untouched(&given);
    // The lock cannot be made: the data folder is a file, and the secrets rest elsewhere.
    let given = Given::in_store("plaintext");
    let aside = given.machine.path("home/aside");
    fs::rename(given.machine.path(DATA), &aside).unwrap();
    fs::write(given.machine.path(DATA), "").unwrap();
    says(&given.rotate(&["nightly"]).expect_code(1), &["ollama-auth"]);
    fs::remove_file(given.machine.path(DATA)).unwrap();
    fs::rename(aside, given.machine.path(DATA)).unwrap();
    assert_untouched(&given);
    given.rotate(&["nightly"]).expect_code(0);
    given.assert_rotated();
}

#[test]
fn a_read_only_data_folder_is_named() {
    let given = Given::new();
    let folder = given.machine.path(DATA);
    crate::given::as_nobody(&given.machine, &["--version"]).run().expect_code(0);
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    // Not by the helper, which would give the folder away again.
    let output = if rustix::process::geteuid().is_root() {
        let nobody = ["--clear-groups", "--reuid=65534", "--regid=65534"];
        let program = given.machine.path("program");
        given
            .machine
            .program(crate::harness::tool("setpriv"), nobody)
            .args([program])
            .args(["keys", "rotate", "nightly"])
            .run()
    } else {
        given.rotate(&["nightly"])
    };
    says(&output.expect_code(1), &["rotation.lock", "check the owner and mode"]);
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn a_damaged_journal_is_moved_aside_and_its_new_key_is_found() {
    let given = Given::new();
    let new = begin(&given);
    let whole = fs::read(given.journal()).unwrap();
    fs::write(given.journal(), &whole[..whole.len() / 2]).unwrap();
    let output = given.rotate(&["nightly", "--deploy", "true"]).expect_code(1);
    says(&output, &["rotations.json is damaged", "rotations.json.broken-1"]);
    assert_eq!(fs::read(given.journal().with_file_name("rotations.json.broken-1")).unwrap(), whole[..whole.len() / 2]);
    assert_eq!(given.current(), text(&given.first, "key"));
    // The new key waits in the store still, under its id.
    let output = given.rotate(&["nightly", "--deploy", "true"]).expect_code(0);
    says(&output, &["resuming its rotation", &new]);
    given.assert_rotated();
    assert_eq!(given.journal_entries()[0]["new"], json!(new));
    assert_eq!(given.keys().len(), 2);
    assert!(!plaintext(&given.machine).contains("next-api-key"));
}

#[test]
fn a_journal_of_a_newer_version_is_unchanged() {
    let given = Given::new();
    let journal = r#"{"version":9,"later":[]}"#;
    given.machine.write(format!("{DATA}/rotations.json"), journal);
    says(&given.rotate(&["nightly"]).expect_code(1), &["was written by a newer ollama-auth", "update ollama-auth"]);
    assert_eq!(fs::read_to_string(given.journal()).unwrap(), journal);
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn an_unopenable_store_is_detected_before_any_request() {
    let given = Given::in_store("file");
    let run = |name: &str, value: &str| given.machine.command(["keys", "rotate", "nightly"]).env(name, value).run();
    let output = run("OLLAMA_AUTH_PASSPHRASE", &format!("not {PASSPHRASE}"));
    assert!([1, 2].contains(&output.code()), "{}", output.snapshot());
    says(&output, &["passphrase"]);
    assert_untouched(&given);
    // As cron has it: no session bus.
    edit_profiles(&given.machine, |all| {
        for profile in all["profiles"].as_object_mut().unwrap().values_mut() {
            profile["api_key"]["store"] = json!("keyring");
        }
    });
    let output =
        given.machine.command(["keys", "rotate", "nightly"]).env_remove("OLLAMA_AUTH_STORE").run().expect_code(1);
    says(&output, &["keyring", "store move"]);
    assert_untouched(&given);
}

/// The store opens for reading, and the passphrase is gone when the next run goes on.
#[test]
fn a_store_locked_during_a_rotation_loses_no_key() {
    let given = Given::in_store("file");
    let new = begin(&given);
    let output = given
        .machine
        .command(["keys", "rotate", "nightly", "--deploy", "true"])
        .env("OLLAMA_AUTH_PASSPHRASE", "wrong")
        .run();
    assert!([1, 2].contains(&output.code()), "{}", output.snapshot());
    assert_eq!(given.journal_entries()[0]["new"], json!(new));
    given.rotate(&["nightly", "--deploy", "true"]).expect_code(0);
    given.assert_rotated();
}
