//! The vault against a real keyring and real files.
//!
//! The keyring library finds the session bus through the environment of the process, so whatever needs one runs
//! in a process of its own: this test binary again, as the test `vault::child`, which carries out the steps it
//! finds in its environment and prints what came of them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ollama_auth::vault::{
    EntryId, EntryKind, PassphrasePurpose, Passphrases, StoreKind, Vault, VaultError, VaultOptions,
};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::harness::keyring::{Keyring, without_bus};

const STEPS: &str = "VAULT_CHILD_STEPS";
const FOLDER: &str = "VAULT_CHILD_FOLDER";
const DEADLINE: &str = "VAULT_CHILD_DEADLINE_MS";
const MARK: &str = "vault> ";
/// Above any time a working machine takes, below the minutes after which a hang would be noticed anyway.
const SOON: Duration = Duration::from_secs(20);

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
    })
}

/// A vault in this process, for the file stores.
fn vault(folder: &Path, passphrase: &str) -> Vault {
    let passphrases = Passphrases {
        variable: Some(passphrase.into()),
        ..Passphrases::default()
    };
    vault_with(folder, passphrases, SOON)
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
    let passphrases = Passphrases {
        variable: Some("child's passphrase".into()),
        ..Passphrases::default()
    };
    let vault = vault_with(&folder, passphrases, deadline);
    for step in steps.lines() {
        let words: Vec<&str> = step.split_whitespace().collect();
        let kind: StoreKind = words[0].parse().expect("a store");
        let outcome = match words[1..] {
            ["probe"] => vault.probe(kind).await.map(|()| "done".to_owned()),
            ["put", profile] => write(&vault, kind, profile)
                .await
                .map(|()| "done".to_owned()),
            ["get", profile] => read(&vault, kind, profile)
                .await
                .map(|found| found.unwrap_or_else(|| "none".to_owned())),
            ["delete", profile] => vault
                .delete(kind, &id(profile))
                .await
                .map(|found| found.to_string()),
            _ => panic!("unknown step {step}"),
        };
        match outcome {
            Ok(text) => println!("\n{MARK}{text}"),
            Err(error) => println!("\n{MARK}{error} / {}", error.hint().unwrap_or_default()),
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
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            deadline,
        }
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
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.lines()
            .filter_map(|line| line.strip_prefix(MARK))
            .map(str::to_owned)
            .collect()
    }

    fn on(&self, keyring: &Keyring, steps: &[&str]) -> Vec<String> {
        let mut command = self.command(steps);
        command.envs(keyring.env());
        self.run(command)
    }
}

#[test]
fn an_unlocked_keyring_keeps_what_other_programs_can_find() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(SOON);
    let answers = child.on(
        &keyring,
        &[
            "keyring probe",
            "keyring get a",
            "keyring put a",
            "keyring put b",
            "keyring get a",
        ],
    );
    assert_eq!(answers, ["done", "none", "done", "done", "secret of a"]);
    assert_eq!(keyring.lookup(&username("a")).unwrap(), "secret of a");
    let answers = child.on(
        &keyring,
        &[
            "keyring delete a",
            "keyring delete a",
            "keyring get a",
            "keyring get b",
        ],
    );
    assert_eq!(answers, ["true", "false", "none", "secret of b"]);
    assert_eq!(keyring.lookup(&username("a")), None);
    let list = keyring.list();
    assert!(!list.contains("probe:"), "the probe leaves nothing: {list}");
}

#[test]
fn two_entries_of_one_name_are_refused_until_a_write_settles_it() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(SOON);
    child.on(&keyring, &["keyring put a"]);
    keyring.add_twin(&username("a"), "secret of a");
    assert_eq!(child.on(&keyring, &["keyring get a"]), ["secret of a"]);
    keyring.add_twin(&username("a"), "another");
    let answers = child.on(
        &keyring,
        &["keyring get a", "keyring put a", "keyring get a"],
    );
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
    let child = Steps::new(SOON * 3);
    child.on(&keyring, &["keyring put a"]);
    keyring.restart_locked();
    let start = Instant::now();
    let answers = child.on(
        &keyring,
        &[
            "keyring get a",
            "keyring put a",
            "keyring put new",
            "keyring delete a",
            "keyring probe",
        ],
    );
    assert!(start.elapsed() < SOON);
    assert_eq!(answers.len(), 5);
    for answer in answers {
        assert!(answer.starts_with("the keyring is locked: "), "{answer}");
        assert!(
            answer.contains("ollama-auth store move --to file"),
            "{answer}"
        );
    }
}

#[test]
fn a_locked_keyring_without_the_entry_says_that_it_is_not_there() {
    let keyring = Keyring::start_locked();
    let child = Steps::new(SOON);
    assert_eq!(child.on(&keyring, &["keyring get a"]), ["none"]);
}

#[test]
fn a_frozen_keyring_is_given_up_after_the_deadline() {
    let keyring = Keyring::start_unlocked();
    let child = Steps::new(Duration::from_millis(300));
    keyring.freeze();
    let start = Instant::now();
    // Ten calls and a single deadline: after the first miss the keyring is not asked again.
    let answers = child.on(&keyring, &["keyring get a"; 10]);
    assert!(start.elapsed() < SOON);
    assert_eq!(answers.len(), 10);
    for answer in answers {
        assert!(
            answer.starts_with("the keyring did not answer within 0.3 s"),
            "{answer}"
        );
    }
    keyring.thaw();
    let child = Steps::new(SOON);
    assert_eq!(child.on(&keyring, &["keyring put a"]), ["done"]);
}

#[test]
fn without_a_bus_or_a_service_the_message_says_which_is_missing() {
    let empty = tempfile::tempdir().expect("a folder");
    let child = Steps::new(SOON * 3);
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
        assert!(
            answers[0].starts_with("no keyring can be reached: "),
            "{answers:?}"
        );
        assert!(answers[0].contains("bus"), "{answers:?}");
        assert!(answers[0].contains("cron"), "{answers:?}");
        assert!(
            answers[0].contains("ollama-auth store move --to file"),
            "{answers:?}"
        );
    }
    let bus = Keyring::start_bus_only();
    let answers = child.on(&bus, &["keyring get a"]);
    assert!(answers[0].contains("no Secret Service"), "{answers:?}");
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn both_file_stores_keep_entries_between_processes() {
    for (kind, name) in [
        (StoreKind::File, "secrets.enc.json"),
        (StoreKind::Plaintext, "secrets.json"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let first = vault(&data, "correct horse");
        assert!(read(&first, kind, "a").await.unwrap().is_none());
        assert!(!first.delete(kind, &id("a")).await.unwrap());
        first.probe(kind).await.unwrap();
        let pem = SecretString::from("-----BEGIN\n\"quoted\" \u{1F511}\n-----END\n");
        first.put(kind, &id("pem"), &pem).await.unwrap();
        write(&first, kind, "b").await.unwrap();
        let second = vault(&data, "correct horse");
        let found = read(&second, kind, "pem").await.unwrap().unwrap();
        assert_eq!(found, pem.expose_secret());
        assert!(second.delete(kind, &id("pem")).await.unwrap());
        assert!(!second.delete(kind, &id("pem")).await.unwrap());
        assert!(read(&first, kind, "pem").await.unwrap().is_none());
        assert_eq!(
            read(&first, kind, "b").await.unwrap().unwrap(),
            "secret of b"
        );
        assert_eq!(names(&data), [name.to_owned(), format!("{name}.lock")]);
    }
}

#[tokio::test]
async fn the_encrypted_file_shows_neither_secrets_nor_names_nor_their_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path(), "correct horse");
    write(&vault, StoreKind::File, "profile-one").await.unwrap();
    let one = encrypted_text(folder.path());
    write(&vault, StoreKind::File, "profile-two").await.unwrap();
    let two = encrypted_text(folder.path());
    assert_eq!(one.len(), two.len());
    let nonce = |text: &str| json(text)["nonce"].clone();
    assert_ne!(nonce(&one), nonce(&two));
    for shown in ["profile", "secret", "ollama.com", "api-key"] {
        assert!(!two.contains(shown), "{shown}");
    }
    let header = &json(&two)["kdf"];
    assert_eq!(
        (
            &header["algorithm"],
            &header["m_kib"],
            &header["t"],
            &header["p"]
        ),
        (&"argon2id".into(), &65536.into(), &3.into(), &4.into())
    );
}

#[tokio::test]
async fn a_wrong_or_missing_passphrase_is_told_from_a_damaged_file() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a")
        .await
        .unwrap();
    let before = encrypted_text(folder.path());
    let wrong = vault(folder.path(), "wrong");
    let none = vault_with(folder.path(), Passphrases::default(), SOON);
    for result in [
        wrong.probe(StoreKind::File).await,
        write(&wrong, StoreKind::File, "b").await,
        read(&wrong, StoreKind::File, "a").await.map(|_| ()),
    ] {
        assert!(
            matches!(result, Err(VaultError::WrongPassphrase { .. })),
            "{result:?}"
        );
    }
    let error = read(&none, StoreKind::File, "a").await.unwrap_err();
    assert!(matches!(error, VaultError::NoPassphrase { .. }));
    assert!(error.hint().unwrap().contains("OLLAMA_AUTH_PASSPHRASE"));
    assert_eq!(encrypted_text(folder.path()), before);
}

#[tokio::test]
async fn the_passphrase_is_asked_for_once_per_process_and_with_its_purpose() {
    let folder = tempfile::tempdir().expect("a folder");
    for purpose in [PassphrasePurpose::Create, PassphrasePurpose::Unlock] {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let passphrases = Passphrases {
            prompt: Some(Box::new(move |wanted| {
                assert_eq!(wanted, purpose);
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(Some("typed".into()))
            })),
            ..Passphrases::default()
        };
        let vault = vault_with(folder.path(), passphrases, SOON);
        vault.probe(StoreKind::File).await.unwrap();
        write(&vault, StoreKind::File, "a").await.unwrap();
        read(&vault, StoreKind::File, "a").await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_whole_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a")
        .await
        .unwrap();
    let good = encrypted_text(folder.path());
    let truncated = good[..good.len() / 2].to_owned();
    let flipped = changed(&good, |file| {
        let text = file["ciphertext"].as_str().unwrap().to_owned();
        let first = if text.starts_with('A') { "B" } else { "A" };
        file["ciphertext"] = format!("{first}{}", &text[1..]).into();
    });
    let other_nonce = changed(&good, |file| {
        file["nonce"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
    });
    let greedy = changed(&good, |file| file["kdf"]["m_kib"] = u32::MAX.into());
    let weak = changed(&good, |file| file["kdf"]["m_kib"] = 8.into());
    let cases = [truncated, flipped, other_nonce, greedy, weak, String::new()];
    for (number, text) in cases.iter().enumerate() {
        put_encrypted(folder.path(), text);
        // By turns on reading and on writing.
        let vault = vault(folder.path(), "right");
        let result = match number % 2 {
            0 => read(&vault, StoreKind::File, "a").await.map(|_| ()),
            _ => write(&vault, StoreKind::File, "b").await,
        };
        let error = result.unwrap_err();
        let VaultError::Corrupt {
            aside: Some(aside), ..
        } = &error
        else {
            panic!("case {number}: {error}");
        };
        assert_eq!(&fs::read_to_string(aside).unwrap(), text);
        assert!(error.to_string().contains("moved unchanged"), "{error}");
        assert!(!folder.path().join("secrets.enc.json").exists());
    }
    let broken = |name: &String| name.contains(".broken-");
    assert_eq!(
        names(folder.path())
            .iter()
            .filter(|name| broken(name))
            .count(),
        cases.len()
    );
    write(&vault(folder.path(), "new"), StoreKind::File, "b")
        .await
        .unwrap();
}

#[tokio::test]
async fn every_field_of_the_header_is_authenticated() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a")
        .await
        .unwrap();
    let good = encrypted_text(folder.path());
    let changes: [fn(&mut serde_json::Value); 5] = [
        |file| file["kdf"]["t"] = 2.into(),
        |file| file["kdf"]["p"] = 2.into(),
        |file| file["kdf"]["m_kib"] = 32768.into(),
        |file| file["kdf"]["salt"] = "AAAAAAAAAAAAAAAAAAAAAA==".into(),
        |file| file["cipher"] = "chacha20poly1305".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        put_encrypted(folder.path(), &changed(&good, change));
        let result = read(&vault(folder.path(), "right"), StoreKind::File, "a").await;
        assert!(
            matches!(
                result,
                Err(VaultError::WrongPassphrase { .. } | VaultError::Corrupt { .. })
            ),
            "change {number}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path(), "right");
    let text = r#"{"version": 2, "layout": "unknown"}"#;
    for (kind, name) in [
        (StoreKind::File, "secrets.enc.json"),
        (StoreKind::Plaintext, "secrets.json"),
    ] {
        let path = folder.path().join(name);
        ollama_auth::disk::write_atomic(&path, text.as_bytes()).unwrap();
        for result in [
            read(&vault, kind, "a").await.map(|_| ()),
            write(&vault, kind, "a").await,
            vault.probe(kind).await,
        ] {
            assert!(
                matches!(result, Err(VaultError::NewerVersion { found: 2, .. })),
                "{result:?}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn two_processes_that_write_at_once_lose_nothing() {
    for kind in ["file", "plaintext"] {
        let child = Steps::new(SOON);
        let steps = |process: &str| -> Vec<String> {
            (0..10)
                .map(|number| format!("{kind} put {process}{number}"))
                .collect()
        };
        let started: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|process| {
                let steps = steps(process);
                let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                let mut command = child.command(&steps);
                command
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("this program again")
            })
            .collect();
        for process in started {
            let output = process.wait_with_output().expect("our own child");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(text.matches("vault> done").count(), 10, "{text}");
        }
        let steps: Vec<String> = ["x", "y"]
            .into_iter()
            .flat_map(|process| (0..10).map(move |number| format!("{kind} get {process}{number}")))
            .collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let answers = child.run(child.command(&steps));
        assert_eq!(answers.len(), 20);
        assert!(
            answers
                .iter()
                .all(|answer| answer.starts_with("secret of ")),
            "{answers:?}"
        );
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    for (kind, name) in [("file", "secrets.enc.json"), ("plaintext", "secrets.json")] {
        let child = Steps::new(SOON);
        assert_eq!(
            child.run(child.command(&[&format!("{kind} put old")])),
            ["done"]
        );
        let data = child.folder.path().join("data");
        let before = fs::read(data.join(name)).unwrap();
        let steps = [
            format!("{kind} put new"),
            format!("{kind} probe"),
            format!("{kind} get old"),
        ];
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let plain = child.command(&steps);
        // No file may grow at all, and the signal that would end the process is ignored: a write fails half way.
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
            .arg(plain.get_program())
            .args(plain.get_args())
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .stdin(Stdio::null());
        let answers = child.run(limited);
        for answer in &answers[..2] {
            assert!(
                answer.contains(&format!("cannot write {}", data.join(name).display())),
                "{answer}"
            );
            assert!(answer.contains("free some space"), "{answer}");
        }
        assert_eq!(answers[2], "secret of old");
        assert_eq!(fs::read(data.join(name)).unwrap(), before);
        assert_eq!(names(&data), [name.to_owned(), format!("{name}.lock")]);
    }
}

#[tokio::test]
async fn a_planted_link_and_an_open_file_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for (kind, name) in [
        (StoreKind::File, "secrets.enc.json"),
        (StoreKind::Plaintext, "secrets.json"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path(), "right");
        let path = folder.path().join(name);
        let target = folder.path().join("target");
        fs::write(&target, "untouched").unwrap();
        symlink(&target, &path).unwrap();
        for result in [write(&vault, kind, "a").await, vault.probe(kind).await] {
            assert!(
                result
                    .unwrap_err()
                    .to_string()
                    .contains("is a symbolic link")
            );
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        fs::remove_file(&path).unwrap();
        write(&vault, kind, "a").await.unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for result in [
            read(&vault, kind, "a").await.map(|_| ()),
            write(&vault, kind, "a").await,
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, VaultError::Permissions { mode: 0o640, .. }),
                "{error}"
            );
            let chmod = format!("run: chmod 600 {}", path.display());
            assert_eq!(error.hint().unwrap(), chmod);
        }
    }
}

#[tokio::test]
async fn no_error_and_no_debug_text_shows_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path(), "hunter2");
    let path = folder.path().join("secrets.json");
    let text = r#"{"version": 1, "entries": {"a": "hunter2", "b": 7}}"#;
    ollama_auth::disk::write_atomic(&path, text.as_bytes()).unwrap();
    let error = read(&vault, StoreKind::Plaintext, "a").await.unwrap_err();
    let shown = format!("{error} {error:?} {vault:?} {:?}", error.hint());
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn encrypted_text(folder: &Path) -> String {
    fs::read_to_string(folder.join("secrets.enc.json")).unwrap()
}

fn put_encrypted(folder: &Path, text: &str) {
    ollama_auth::disk::write_atomic(&folder.join("secrets.enc.json"), text.as_bytes()).unwrap();
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn changed(text: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut file = json(text);
    change(&mut file);
    file.to_string()
}
