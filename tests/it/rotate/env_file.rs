//! The env file that gets the new key: always complete, otherwise unchanged, and checked before a key is created.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Given, text};
use crate::given::{as_nobody, mode, on_a_full_disk, says};
use crate::harness::can_be_other_accounts;
use crate::harness::cmd::Output;

fn rotate_into(given: &Given, file: &Path, more: &[&str]) -> Output {
    given.rotate(&[&["nightly", "--env-file", file.to_str().unwrap()], more].concat())
}

/// A file with the first key in it, and much that is none of our business.
fn env_file_with_settings(given: &Given) -> (PathBuf, String) {
    let before = format!(
        "# settings\r\nA = 1\r\nOLLAMA_API_KEYS=x\r\nexport OLLAMA_API_KEY='{}' # the key\r\nB=\"two words\"\r\nlast",
        text(&given.first, "key")
    );
    (given.machine.write("home/app.env", &before), before)
}

fn assert_no_new_key(given: &Given) {
    assert_eq!(given.keys().len(), 1);
    assert!(given.journal_entries().is_empty());
    assert_eq!(given.current(), text(&given.first, "key"));
}

/// Root may write it, and its owner can then read the key.
#[test]
fn a_file_of_another_account_is_warned_about() {
    let given = Given::new();
    let (file, _) = env_file_with_settings(&given);
    let words = "which will be able to read the key";
    let output = rotate_into(&given, &file, &["--dry-run"]).expect_code(0);
    assert!(!output.stderr().contains(words), "{}", output.snapshot());
    // Other accounts cannot keep the owner, so their write fails.
    if can_be_other_accounts() {
        std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).unwrap();
        says(&rotate_into(&given, &file, &["--dry-run"]).expect_code(0), &["belongs to user id 65534", words]);
    }
}

/// Root writes every file, so that such a link would decide which.
#[test]
fn a_link_of_another_account_is_not_followed() {
    if !can_be_other_accounts() {
        return;
    }
    let given = Given::new();
    let other = given.machine.path("other");
    fs::create_dir(&other).unwrap();
    let target = given.machine.write("target/app.env", "A=1\n");
    let (link, folder) = (other.join("link.env"), other.join("folder"));
    symlink(&target, &link).unwrap();
    symlink("../target", &folder).unwrap();
    for path in [&other, &link, &folder] {
        std::os::unix::fs::lchown(path, Some(54_321), Some(54_321)).unwrap();
    }
    for (path, named) in [(link.clone(), &link), (folder.join("app.env"), &folder), (folder.join("new.env"), &folder)] {
        let output = rotate_into(&given, &path, &[]).expect_code(1);
        let named = named.to_str().unwrap();
        says(&output, &[named, "is a symbolic link of another account (user id 54321)", "readlink -f"]);
        assert_no_new_key(&given);
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "A=1\n");
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);

    // In a folder of another account: a link of ours is followed, and a file of ours can be replaced.
    let ours = other.join("ours.env");
    symlink(&target, &ours).unwrap();
    let output = rotate_into(&given, &ours, &["--dry-run"]).expect_code(0);
    assert!(!output.stderr().contains("user id"), "{}", output.snapshot());
    let new = other.join("new.env");
    let words = ["a folder of", "belongs to user id 54321, which can replace the file"];
    says(&rotate_into(&given, &new, &["--dry-run"]).expect_code(0), &words);
    fs::set_permissions(&other, fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(&other, Some(0), Some(0)).unwrap();
    let words = ["other accounts on this machine can replace"];
    says(&rotate_into(&given, &new, &["--dry-run"]).expect_code(0), &words);
    rotate_into(&given, &new, &[]).expect_code(0);
    given.assert_rotated();
    assert!(fs::read_to_string(&new).unwrap().contains(&given.current()));
}

#[test]
fn the_env_file_keeps_its_owner_mode_link_and_other_bytes() {
    let given = Given::new();
    let (file, before) = env_file_with_settings(&given);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    if can_be_other_accounts() {
        std::os::unix::fs::chown(&file, Some(65534), Some(65533)).unwrap();
    }
    let link = given.machine.path("home/link.env");
    symlink("app.env", &link).unwrap();
    let owner = |path: &Path| path.symlink_metadata().map(|found| (found.uid(), found.gid(), found.mode())).unwrap();
    let was = (owner(&file), owner(&link));
    let output = rotate_into(&given, &link, &[]).expect_code(0);
    says(&output, &["other accounts on this machine can read", "Wrote it to", "app.env"]);
    assert_eq!((owner(&file), owner(&link)), was);
    let after = fs::read_to_string(&file).unwrap();
    assert_eq!(after, before.replace(text(&given.first, "key"), &given.current()));
    assert_ne!(after, before);
    given.assert_rotated();
    // Nothing is left beside it.
    let names = fs::read_dir(given.machine.home()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().contains("env")).count(), 2);
}

#[test]
fn a_missing_env_file_is_created_with_mode_600() {
    let given = Given::new();
    let file = given.machine.path("home/app.env");
    rotate_into(&given, &file, &["--env-var", "KEY"]).expect_code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("KEY={}\n", given.current()));
    assert_eq!(mode(&file), 0o600);
    // By a path from here, too.
    let args = ["keys", "rotate", "nightly", "--max-age", "0s", "--env-file", "near.env"];
    given.machine.command(args).run().expect_code(0);
    assert!(fs::read_to_string(given.machine.path("home/near.env")).unwrap().contains(&given.current()));
}

#[test]
fn a_file_without_a_key_gets_the_key_in_use_although_nothing_is_due() {
    let given = Given::new();
    let (file, first) = (given.machine.path("home/app.env"), text(&given.first, "key"));
    let output = rotate_into(&given, &file, &["--max-age", "60d", "--dry-run"]).expect_code(0);
    says(&output, &["Would write the key \"nightly\" to", "app.env"]);
    assert!(!file.exists());
    let output = rotate_into(&given, &file, &["--max-age", "60d"]).expect_code(0);
    says(&output, &["it is due at 60 days", "Wrote the key \"nightly\" to", "app.env"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("OLLAMA_API_KEY={first}\n"));
    assert_eq!(mode(&file), 0o600);
    // What is there stays, be it another key.
    for (before, after) in
        [("A=1\n", format!("A=1\nOLLAMA_API_KEY={first}\n")), ("OLLAMA_API_KEY=x\n", "OLLAMA_API_KEY=x\n".to_owned())]
    {
        fs::write(&file, before).unwrap();
        rotate_into(&given, &file, &["--max-age", "60d"]).expect_code(0);
        assert_eq!(fs::read_to_string(&file).unwrap(), after);
    }
    assert_no_new_key(&given);
    // A key that is stored elsewhere cannot be written.
    given.device.command(["keys", "create", "elsewhere"]).run().expect_code(0);
    let missing = given.device.path("home/none.env");
    let args = ["keys", "rotate", "elsewhere", "--max-age", "60d", "--env-file", missing.to_str().unwrap()];
    let output = given.device.command(args).run().expect_code(1);
    says(&output, &["none.env has no key", "not stored on this machine", "leave out --max-age"]);
}

#[test]
fn an_invalid_path_is_reported_before_a_key_is_created() {
    let given = Given::new();
    let folder = given.machine.path("home/folder");
    fs::create_dir(&folder).unwrap();
    symlink("nowhere", given.machine.path("home/dangling")).unwrap();
    given.machine.write("home/huge", vec![b'#'; 5 << 20]);
    for (path, word) in [
        ("home/folder", "is not a regular file"),
        ("home/none/app.env", "cannot find"),
        ("home/huge/app.env", "cannot find"),
        ("home/dangling", "cannot find"),
        ("home/huge", "is larger than"),
    ] {
        let output = rotate_into(&given, &given.machine.path(path), &[]).expect_code(1);
        says(&output, &[path.rsplit('/').next().unwrap(), word]);
        assert_no_new_key(&given);
    }
    assert!(folder.is_dir());
}

#[test]
fn a_read_only_folder_or_full_disk_creates_no_key() {
    let given = Given::new();
    let (file, before) = env_file_with_settings(&given);
    let args = ["keys", "rotate", "nightly", "--env-file", file.to_str().unwrap()];
    on_a_full_disk(&given.machine, &args).run().expect_code(1);
    assert_no_new_key(&given);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // A folder in which nothing can be made: for root, who may everything, one that is none.
    let output = if rustix::process::geteuid().is_root() {
        let args = ["keys", "rotate", "nightly", "--env-file", "/proc/self/app.env"];
        given.machine.command(args).run().expect_code(1)
    } else {
        let folder = given.machine.path("home/sealed");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        rotate_into(&given, &folder.join("app.env"), &[]).expect_code(1)
    };
    says(&output, &["cannot write", "app.env"]);
    assert_no_new_key(&given);
}

#[test]
fn an_env_file_of_another_account_is_refused() {
    if !can_be_other_accounts() {
        return;
    }
    let given = Given::new();
    let (file, before) = env_file_with_settings(&given);
    // Gives all of the sandbox to nobody; then the file to a third account.
    as_nobody(&given.machine, &["--version"]).run().expect_code(0);
    std::os::unix::fs::chown(&file, Some(4711), Some(4711)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let program = given.machine.path("program");
    let output = given
        .machine
        .program(crate::harness::tool("setpriv"), ["--clear-groups", "--reuid=65534", "--regid=65534"])
        .args([program.to_str().unwrap(), "keys", "rotate", "nightly", "--env-file", file.to_str().unwrap()])
        .run()
        .expect_code(1);
    says(&output, &["cannot write", "app.env"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(file.metadata().unwrap().uid(), 4711);
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn an_env_file_that_becomes_invalid_stops_the_rotation_until_the_next_run() {
    let given = Given::new();
    let (file, before) = env_file_with_settings(&given);
    rotate_into(&given, &file, &["--deploy", "exit 1"]).expect_code(1);
    let new = text(&given.journal_entries()[0], "new").to_owned();
    // Somebody else's folder in its place.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let output = rotate_into(&given, &file, &["--deploy", "true"]).expect_code(1);
    says(&output, &["is not a regular file", "app.env"]);
    assert!(given.accepts(text(&given.first, "key")));
    assert_eq!(given.journal_entries()[0]["new"], new);
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &before).unwrap();
    rotate_into(&given, &file, &["--deploy", "true"]).expect_code(0);
    given.assert_rotated();
    assert!(fs::read_to_string(&file).unwrap().contains(&given.current()));
}

#[test]
fn a_reader_always_sees_one_complete_key() {
    let given = Given::new();
    let (file, before) = env_file_with_settings(&given);
    let first = text(&given.first, "key").to_owned();
    let (done, seen) = (AtomicBool::new(false), std::sync::Mutex::new(BTreeSet::new()));
    let mut keys = BTreeSet::from([first.clone()]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = fs::read_to_string(&file).unwrap();
                seen.lock().unwrap().insert(now);
                std::thread::yield_now();
            }
        });
        for _ in 0..4 {
            rotate_into(&given, &file, &["--max-age", "0s"]).expect_code(0);
            keys.insert(given.current());
        }
        done.store(true, Ordering::Relaxed);
    });
    let whole: BTreeSet<String> = keys.iter().map(|key| before.replace(&first, key)).collect();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_subset(&whole));
    assert!(seen.len() > 1);
}

/// Another program that changes the file at the same time loses nothing: the rotation stops, or its change comes after ours.
#[test]
fn concurrent_changes_to_the_env_file_are_kept() {
    let given = Given::new();
    let (file, _) = env_file_with_settings(&given);
    let done = AtomicBool::new(false);
    let mut rotations = 0;
    let mut written = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let mut now = fs::read_to_string(&file).unwrap();
                // As an editor does it: beside, then over it.
                now = now
                    .lines()
                    .filter(|line| !line.starts_with("COUNT="))
                    .fold(String::new(), |all, line| all + line + "\n");
                let beside = file.with_extension("editor");
                fs::write(&beside, format!("{now}COUNT={number}\n")).unwrap();
                fs::rename(&beside, &file).unwrap();
            }
            number
        });
        for _ in 0..4 {
            let output = rotate_into(&given, &file, &["--max-age", "0s"]);
            match output.code() {
                0 => rotations += 1,
                _ => says(&output, &["another program", "is unchanged"]),
            }
        }
        done.store(true, Ordering::Relaxed);
        written = writer.join().unwrap();
    });
    rotate_into(&given, &file, &[]).expect_code(0);
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("B=\"two words\""), "{after}");
    assert!(written > 0 && after.contains("COUNT="), "{rotations} rotations: {after}");
    assert!(given.accepts(&given.current()));
}
