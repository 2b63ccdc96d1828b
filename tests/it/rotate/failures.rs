//! Failures during a rotation: host, network, disk, store, clock, and concurrent changes. The old key keeps working, the exit code
//! fits, and the next run finishes or rolls back.

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

/// Fails once at each request of a rotation, with and without a command, until a rotation has no more of them.
fn fail_everywhere(failure: Failure, codes: &[i32], grace: &str) {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    let mut troubled = 0;
    for number in 0.. {
        let more: &[&str] =
            if number % 2 == 0 { &[] } else { &["--deploy", "read -r key; echo \"$key\" > $HOME/deployed"] };
        let before = given.current();
        relay.fail(number..number + 1, failure);
        let args = [&["nightly", "--max-age", "0s", "--grace", grace], more].concat();
        let output = given.rotate(&args);
        let (_, failed) = relay.stop_failing();
        let what = format!("{failure:?} at request {number}: {}", output.snapshot());
        if !failed {
            assert_eq!(output.code(), 0, "{what}");
            break;
        }
        if output.code() != 0 {
            troubled += 1;
            assert!(codes.contains(&output.code()), "{what}");
            assert!(given.accepts(&given.current()), "{what}");
            let with_old = given.current() == before;
            let stays = output.stderr().contains("is unchanged") || output.stderr().contains("next run tries again");
            assert!(stays || given.journal_entries().iter().all(|one| one["step"] == "ending"), "{what}");
            assert!(with_old || output.stderr().contains("next run tries again"), "{what}");
        }
        if output.code() != 0 {
            let again = given.rotate(&args);
            assert_eq!(again.code(), 0, "{what}\nagain: {}", again.snapshot());
        }
        let (current, lasting) = (given.current(), replaceable_keys(&given));
        assert!(given.accepts(&current), "{what}");
        assert_ne!(current, before, "{what}");
        assert_eq!(lasting.len(), 1, "{what}\n{lasting:#?}");
        assert!(current.ends_with(text(&lasting[0], "hint")), "{what}");
        assert!(given.journal_entries().iter().all(|one| one["step"] == "ending"), "{what}");
    }
    // A request whose connection ends is sent again where that is harmless; else its answer is looked for.
    let most = matches!(failure, Failure::Before | Failure::After);
    assert!(most || troubled > 5, "{troubled} rotations were hindered by {failure:?}");
    // When the old keys have ended, nothing is left.
    if grace != "1h" {
        poll("an empty journal", || {
            given.rotate(&["--all", "--max-age", "90d"]).expect_code(0);
            given.journal_entries().is_empty().then_some(())
        });
        assert_eq!(given.live().len(), 1);
        assert!(!plaintext(&given.machine).contains("next-api-key"));
    }
}

#[test]
fn a_connection_closed_before_the_request_is_recovered() {
    fail_everywhere(Failure::Before, &[6], "1s");
}

#[test]
fn a_lost_response_is_recovered() {
    fail_everywhere(Failure::After, &[6], "0s");
}

#[test]
fn a_truncated_response_is_recovered() {
    fail_everywhere(Failure::Cut, &[1, 4, 6], "1h");
}

#[test]
fn a_500_response_is_recovered() {
    fail_everywhere(Failure::Status(500), &[1], "1h");
}

#[test]
fn a_429_response_is_recovered() {
    fail_everywhere(Failure::Status(429), &[7], "1h");
}

/// A run that created no key fails, even if it has rolled everything back.
#[test]
fn new_keys_that_always_get_lost_fail_the_rotation() {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    relay.fail(0..usize::MAX, Failure::AfterMaking);
    let output = given.rotate(&["nightly", "--json"]).expect_code(1);
    assert_eq!(output.json()["rotations"][0]["outcome"], "failed");
    assert_eq!(given.current(), text(&given.first, "key"));
    assert!(given.journal_entries().is_empty());
    assert_eq!(replaceable_keys(&given).len(), 1);
    relay.stop_failing();
    given.rotate(&["nightly"]).expect_code(0);
    assert_ne!(given.current(), text(&given.first, "key"));
}

/// The host goes away in the middle and stays away for the rest of that run.
#[test]
fn a_host_that_disappears_during_the_rotation() {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    for number in 0.. {
        let before = given.current();
        let failure = if number % 2 == 0 { Failure::Before } else { Failure::After };
        relay.fail(number..usize::MAX, failure);
        let output = given.rotate(&["nightly", "--max-age", "0s", "--grace", "1h", "--deploy", "true"]);
        let (_, failed) = relay.stop_failing();
        if !failed {
            output.expect_code(0);
            break;
        }
        let output = output.expect_code(6);
        assert!(given.accepts(&before), "request {number}: {}", output.snapshot());
        let again = given.rotate(&["nightly", "--max-age", "0s", "--grace", "1h", "--deploy", "true"]).expect_code(0);
        assert_eq!(replaceable_keys(&given).len(), 1, "request {number}: {}\n{}", output.snapshot(), again.snapshot());
        assert!(given.accepts(&given.current()) && given.current() != before);
    }
}

/// Each kind of request that changes something, answered by silence.
#[test]
fn a_host_that_never_responds_times_out() {
    std::thread::scope(|scope| {
        // The list, the making, the end: requests 0, 4 and 12 of a rotation without a command.
        for number in [0, 4, 12] {
            scope.spawn(move || {
                let mut given = Given::new();
                let relay = Relay::start(given.gateway.address());
                given.machine = crate::given::with_store("plaintext");
                let keep = ["signin", "--with-api-key", "--host", &relay.url()];
                given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
                relay.fail(number..number + 1, Failure::Hang);
                let command = given.machine.command(["keys", "rotate", "nightly", "--grace", "1h"]);
                let output = command.deadline(Duration::from_secs(120)).run();
                assert!(relay.stop_failing().1);
                assert!(output.duration < Duration::from_secs(60), "{:?}", output.duration);
                if output.code() != 0 {
                    says(&output.expect_code(6), &["within 30 seconds"]);
                }
                assert!(given.accepts(text(&given.first, "key")));
                given.rotate(&["nightly", "--grace", "1h"]).expect_code(0);
                assert_eq!(replaceable_keys(&given).len(), 1);
                given.assert_rotated();
            });
        }
    });
}

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
