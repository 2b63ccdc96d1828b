//! The encrypted and the plaintext file: what survives, what is refused, and what others can see.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ollama_auth::vault::{PassphrasePurpose, Passphrases, StoreKind, VaultError};
use secrecy::{ExposeSecret, SecretString};

use super::{SHORT_DEADLINE, Steps, id, read, vault, vault_with, write};

#[tokio::test]
async fn both_file_stores_keep_entries_between_processes() {
    for (kind, name) in [(StoreKind::File, "secrets.enc.json"), (StoreKind::Plaintext, "secrets.json")] {
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
        assert_eq!(read(&first, kind, "b").await.unwrap().unwrap(), "secret of b");
        assert_eq!(names(&data), [name.to_owned(), format!("{name}.lock")]);
    }
}

#[tokio::test]
async fn the_encrypted_file_hides_secrets_names_and_their_number() {
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
        (&header["algorithm"], &header["m_kib"], &header["t"], &header["p"]),
        (&"argon2id".into(), &65536.into(), &3.into(), &4.into())
    );
}

#[tokio::test]
async fn a_wrong_passphrase_is_distinguished_from_a_damaged_file() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a").await.unwrap();
    let before = encrypted_text(folder.path());
    let wrong = vault(folder.path(), "wrong");
    let none = vault_with(folder.path(), Passphrases::default(), SHORT_DEADLINE);
    for result in [
        wrong.probe(StoreKind::File).await,
        write(&wrong, StoreKind::File, "b").await,
        read(&wrong, StoreKind::File, "a").await.map(|_| ()),
    ] {
        assert!(matches!(result, Err(VaultError::WrongPassphrase { .. })), "{result:?}");
    }
    let error = read(&none, StoreKind::File, "a").await.unwrap_err();
    assert!(matches!(error, VaultError::NoPassphrase { .. }));
    assert!(error.hint().unwrap().contains("OLLAMA_AUTH_PASSPHRASE"));
    assert_eq!(encrypted_text(folder.path()), before);
}

#[tokio::test]
async fn the_passphrase_prompt_appears_once_and_names_its_purpose() {
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
        let vault = vault_with(folder.path(), passphrases, SHORT_DEADLINE);
        vault.probe(StoreKind::File).await.unwrap();
        write(&vault, StoreKind::File, "a").await.unwrap();
        read(&vault, StoreKind::File, "a").await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a").await.unwrap();
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
        let VaultError::Corrupt { aside: Some(aside), .. } = &error else {
            panic!("case {number}: {error}");
        };
        assert_eq!(&fs::read_to_string(aside).unwrap(), text);
        assert!(error.to_string().contains("moved unchanged"), "{error}");
        assert!(!folder.path().join("secrets.enc.json").exists());
    }
    let broken = |name: &String| name.contains(".broken-");
    assert_eq!(names(folder.path()).iter().filter(|name| broken(name)).count(), cases.len());
    write(&vault(folder.path(), "new"), StoreKind::File, "b").await.unwrap();
}

#[tokio::test]
async fn every_field_of_the_header_is_authenticated() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&vault(folder.path(), "right"), StoreKind::File, "a").await.unwrap();
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
            matches!(result, Err(VaultError::WrongPassphrase { .. } | VaultError::Corrupt { .. })),
            "change {number}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path(), "right");
    let text = r#"{"version": 2, "layout": "unknown"}"#;
    for (kind, name) in [(StoreKind::File, "secrets.enc.json"), (StoreKind::Plaintext, "secrets.json")] {
        let path = folder.path().join(name);
        ollama_auth::disk::write_atomic(&path, text.as_bytes()).unwrap();
        for result in
            [read(&vault, kind, "a").await.map(|_| ()), write(&vault, kind, "a").await, vault.probe(kind).await]
        {
            assert!(matches!(result, Err(VaultError::NewerVersion { found: 2, .. })), "{result:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn concurrent_writes_lose_no_secret() {
    for kind in ["file", "plaintext"] {
        let child = Steps::new(SHORT_DEADLINE);
        let steps =
            |process: &str| -> Vec<String> { (0..10).map(|number| format!("{kind} put {process}{number}")).collect() };
        let started: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|process| {
                let steps = steps(process);
                let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                let mut command = child.command(&steps);
                command.stdout(Stdio::piped()).spawn().expect("this program again")
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
        assert!(answers.iter().all(|answer| answer.starts_with("secret of ")), "{answers:?}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_intact() {
    for (kind, name) in [("file", "secrets.enc.json"), ("plaintext", "secrets.json")] {
        let child = Steps::new(SHORT_DEADLINE);
        assert_eq!(child.run(child.command(&[&format!("{kind} put old")])), ["done"]);
        let data = child.folder.path().join("data");
        let before = fs::read(data.join(name)).unwrap();
        let steps = [format!("{kind} put new"), format!("{kind} probe"), format!("{kind} get old")];
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let plain = child.command(&steps);
        // No file may grow at all, and the signal that would end the process is ignored: a write fails half way.
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
            .arg(plain.get_program())
            .args(plain.get_args())
            .envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .stdin(Stdio::null());
        let answers = child.run(limited);
        for answer in &answers[..2] {
            assert!(answer.contains(&format!("cannot write {}", data.join(name).display())), "{answer}");
            assert!(answer.contains("free some disk space"), "{answer}");
        }
        assert_eq!(answers[2], "secret of old");
        assert_eq!(fs::read(data.join(name)).unwrap(), before);
        assert_eq!(names(&data), [name.to_owned(), format!("{name}.lock")]);
    }
}

#[tokio::test]
async fn symlinks_and_files_readable_by_others_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for (kind, name) in [(StoreKind::File, "secrets.enc.json"), (StoreKind::Plaintext, "secrets.json")] {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path(), "right");
        let path = folder.path().join(name);
        let target = folder.path().join("target");
        fs::write(&target, "untouched").unwrap();
        symlink(&target, &path).unwrap();
        for result in [write(&vault, kind, "a").await, vault.probe(kind).await] {
            assert!(result.unwrap_err().to_string().contains("is a symbolic link"));
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        fs::remove_file(&path).unwrap();
        write(&vault, kind, "a").await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for result in [read(&vault, kind, "a").await.map(|_| ()), write(&vault, kind, "a").await] {
            let error = result.unwrap_err();
            assert!(matches!(error, VaultError::Permissions { mode: 0o640, .. }), "{error}");
            let chmod = format!("run: chmod 600 {}", path.display());
            assert_eq!(error.hint().unwrap(), chmod);
        }
    }
}

#[tokio::test]
async fn errors_and_debug_output_show_no_secret() {
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
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
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
