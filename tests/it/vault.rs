//! The vault against a real keyring; `files` holds the tests of its file stores.
//!
//! The keyring library finds the session bus through the environment of the process, so whatever needs one runs
//! in a process of its own: this test binary again, as the test `vault::child`, which carries out the steps it
//! finds in its environment and prints what came of them.

#![allow(clippy::unwrap_used)]

mod files;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ollama_auth::vault::{EntryId, EntryKind, Passphrases, StoreKind, Vault, VaultError, VaultOptions};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::harness::keyring::{Keyring, without_bus};

const STEPS: &str = "VAULT_CHILD_STEPS";
const FOLDER: &str = "VAULT_CHILD_FOLDER";
const DEADLINE: &str = "VAULT_CHILD_DEADLINE_MS";
const MARK: &str = "vault> ";
/// Above any time a working machine takes, below the minutes after which a hang would be noticed anyway.
const SHORT_DEADLINE: Duration = Duration::from_secs(40);

fn id(profile: &str) -> EntryId {
    let origin = "https://ollama.com".parse().expect("an origin");
    EntryId::new(EntryKind::ApiKey, profile, origin)
}

fn username(profile: &str) -> String {
    id(profile).to_string()
}

fn vault_with(folder: &Path, passphrases: Passphrases, deadline: Duration) -> Vault {
    Vault::new(VaultOptions {
        data_dir: folder.to_owned(),
        keyring_deadline: deadline,
        passphrase: Box::new(passphrases),
        keep_unlocked: None,
    })
}

/// A vault in this process, for the file stores.
fn vault(folder: &Path, passphrase: &str) -> Vault {
    let passphrases = Passphrases { variable: Some(passphrase.into()), ..Passphrases::default() };
    vault_with(folder, passphrases, SHORT_DEADLINE)
}

async fn read(vault: &Vault, kind: StoreKind, profile: &str) -> Result<Option<String>, VaultError> {
    let found = vault.get(kind, &id(profile)).await?;
    Ok(found.map(|secret| secret.expose_secret().to_owned()))
}

async fn write(vault: &Vault, kind: StoreKind, profile: &str) -> Result<(), VaultError> {
    let secret = SecretString::from(format!("secret of {profile}"));
    vault.put(kind, &id(profile), &secret).await
}

/// Not a test by itself: what the other tests run in a process of its own.
#[tokio::test]
async fn child() {
    let Ok(steps) = std::env::var(STEPS) else {
        return;
    };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder"));
    let deadline = std::env::var(DEADLINE).expect("a deadline");
    let deadline = Duration::from_millis(deadline.parse().expect("milliseconds"));
    let passphrases = Passphrases { variable: Some("child's passphrase".into()), ..Passphrases::default() };
    let vault = vault_with(&folder, passphrases, deadline);
    for step in steps.lines() {
        let words: Vec<&str> = step.split_whitespace().collect();
        let kind: StoreKind = words[0].parse().expect("a store");
        let outcome = match words[1..] {
            ["probe"] => vault.probe(kind).await.map(|()| "done".to_owned()),
            ["put", profile] => write(&vault, kind, profile).await.map(|()| "done".to_owned()),
            ["get", profile] => {
                read(&vault, kind, profile).await.map(|found| found.unwrap_or_else(|| "none".to_owned()))
            }
            ["delete", profile] => vault.delete(kind, &id(profile)).await.map(|found| found.to_string()),
            _ => panic!("unknown step {step}"),
        };
        match outcome {
            Ok(text) => println!("\n{MARK}{text}"),
            Err(error) => println!("\n{MARK}{error} / {}", error.hint().unwrap_or_default().replace('\n', " ")),
        }
    }
}

/// A process that carries out steps on a vault.
struct Steps {
    folder: TempDir,
    deadline: Duration,
}

impl Steps {
    fn new(deadline: Duration) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), deadline }
    }

    fn command(&self, steps: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "vault::child", "--nocapture", "--test-threads=1"])
            .env(STEPS, steps.join("\n"))
            .env(FOLDER, self.folder.path().join("data"))
            .env(DEADLINE, self.deadline.as_millis().to_string())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, mut command: Command) -> Vec<String> {
        let output = command.output().expect("this program again");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().filter_map(|line| line.strip_prefix(MARK)).map(str::to_owned).collect()
    }

    fn on(&self, keyring: &Keyring, steps: &[&str]) -> Vec<String> {
        let mut command = self.command(steps);
        command.envs(keyring.env());
        self.run(command)
    }
}

#[test]
fn an_unlocked_keyring_holds_secrets_other_programs_can_find() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(SHORT_DEADLINE);
    let answers =
        child.on(&keyring, &["keyring probe", "keyring get a", "keyring put a", "keyring put b", "keyring get a"]);
    assert_eq!(answers, ["done", "none", "done", "done", "secret of a"]);
    assert_eq!(keyring.lookup(&username("a")).unwrap(), "secret of a");
    let answers = child.on(&keyring, &["keyring delete a", "keyring delete a", "keyring get a", "keyring get b"]);
    assert_eq!(answers, ["true", "false", "none", "secret of b"]);
    assert_eq!(keyring.lookup(&username("a")), None);
    let list = keyring.list();
    assert!(!list.contains("probe:"), "the probe leaves nothing: {list}");
}

#[test]
fn duplicate_keyring_entries_are_refused_until_a_write() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(SHORT_DEADLINE);
    child.on(&keyring, &["keyring put a"]);
    keyring.add_twin(&username("a"), "secret of a");
    assert_eq!(child.on(&keyring, &["keyring get a"]), ["secret of a"]);
    keyring.add_twin(&username("a"), "another");
    let answers = child.on(&keyring, &["keyring get a", "keyring put a", "keyring get a"]);
    assert!(answers[0].contains("2 different entries"), "{answers:?}");
    assert!(!answers[0].contains("another"), "{answers:?}");
    assert_eq!(answers[1..], ["done", "secret of a"]);
    keyring.add_twin(&username("a"), "another");
    let answers = child.on(&keyring, &["keyring delete a", "keyring get a"]);
    assert_eq!(answers, ["true", "none"]);
}

#[test]
fn a_locked_keyring_is_an_error_at_once() {
    let mut keyring = Keyring::start_unlocked();
    let child = Steps::new(SHORT_DEADLINE * 3);
    child.on(&keyring, &["keyring put a"]);
    keyring.restart_locked();
    let start = Instant::now();
    let answers =
        child.on(&keyring, &["keyring get a", "keyring put a", "keyring put new", "keyring delete a", "keyring probe"]);
    assert!(start.elapsed() < SHORT_DEADLINE);
    assert_eq!(answers.len(), 5);
    for answer in answers {
        assert!(answer.starts_with("the keyring is locked: "), "{answer}");
        assert!(answer.contains("ollama-auth store move --to file"), "{answer}");
    }
}

#[test]
fn a_locked_keyring_without_the_entry_reports_it_missing() {
    let keyring = Keyring::start_locked();
    let child = Steps::new(SHORT_DEADLINE);
    assert_eq!(child.on(&keyring, &["keyring get a"]), ["none"]);
}

#[test]
fn a_frozen_keyring_times_out() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(Duration::from_secs(2));
    keyring.freeze();
    let start = Instant::now();
    // Many calls and a single deadline: after the first miss the keyring is not asked again.
    let answers = child.on(&keyring, &["keyring get a"; 50]);
    assert!(start.elapsed() < SHORT_DEADLINE);
    assert_eq!(answers.len(), 50);
    for answer in answers {
        assert!(answer.starts_with("the keyring did not answer within 2 s"), "{answer}");
    }
    keyring.thaw();
    let child = Steps::new(SHORT_DEADLINE);
    assert_eq!(child.on(&keyring, &["keyring put a"]), ["done"]);
}

#[test]
fn a_missing_bus_or_keyring_service_is_named() {
    let empty = tempfile::tempdir().expect("a folder");
    let child = Steps::new(SHORT_DEADLINE * 3);
    let start = Instant::now();
    let mut unset = child.command(&["keyring probe"]);
    without_bus(&mut unset, empty.path());
    let mut dangling = child.command(&["keyring get a"]);
    let nowhere = format!("unix:path={}/nowhere", empty.path().display());
    dangling.env("DBUS_SESSION_BUS_ADDRESS", nowhere);
    let mut autolaunch = child.command(&["keyring get a"]);
    autolaunch.env("DBUS_SESSION_BUS_ADDRESS", "autolaunch:");
    let mut nonsense = child.command(&["keyring get a"]);
    nonsense.env("DBUS_SESSION_BUS_ADDRESS", "nonsense");
    for command in [unset, dangling, autolaunch, nonsense] {
        let answers = child.run(command);
        assert!(answers[0].starts_with("no keyring can be reached: "), "{answers:?}");
        assert!(answers[0].contains("bus"), "{answers:?}");
        assert!(answers[0].contains("cron"), "{answers:?}");
        assert!(answers[0].contains("ollama-auth store move --to file"), "{answers:?}");
    }
    let bus = Keyring::start_bus_only();
    let answers = child.on(&bus, &["keyring get a"]);
    assert!(answers[0].contains("no Secret Service"), "{answers:?}");
    assert!(start.elapsed() < SHORT_DEADLINE);
}
