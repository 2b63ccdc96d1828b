//! Device keys exchanged with the real `ssh-keygen`, both ways, plain and passphrase-protected.
//!
//! Each test works in a folder of its own and gives every passphrase on the command line, so that `ssh-keygen` neither
//! asks nor reads anything of the user's. Without the program the tests fail under `CI=true` and say so otherwise.

// Clippy's allowance for tests does not reach their helpers.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ollama_auth::identity::{DeviceKey, IdentityError, PublicKey};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

use crate::harness::not_tested;

/// A folder with key files and the program at work on them.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// `None`, loudly, where there is no `ssh-keygen`.
    fn new() -> Option<Self> {
        let found = Command::new("ssh-keygen").arg("-?").stdin(Stdio::null()).output();
        if found.is_err() {
            not_tested("ssh-keygen is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ssh-keygen` with `-f <name>` and without a terminal.
    fn run(&self, name: &str, args: &[&str]) -> Output {
        Command::new("ssh-keygen")
            .args(args)
            .arg("-f")
            .arg(self.path(name))
            .env("SSH_ASKPASS_REQUIRE", "never")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// As [`run`](Self::run), and it must work; what it printed.
    fn keygen(&self, name: &str, args: &[&str]) -> String {
        let output = self.run(name, args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes one of our keys to a file as private as `ssh-keygen` demands.
    fn write(&self, name: &str, key: &DeviceKey, passphrase: Option<&SecretString>) {
        let pem = key.to_openssh(passphrase).unwrap();
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).unwrap();
        file.write_all(pem.expose_secret().as_bytes()).unwrap();
    }

    fn read(&self, name: &str, passphrase: Option<&str>) -> Result<DeviceKey, IdentityError> {
        let pem = read(&self.path(name));
        DeviceKey::from_openssh(&pem, passphrase.map(SecretString::from).as_ref())
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_plain_key_of_ssh_keygen_is_ours() {
    let Some(bench) = Bench::new() else { return };
    bench.keygen("k", &["-q", "-t", "ed25519", "-N", "", "-C", "me@laptop, a comment"]);

    let key = bench.read("k", None).unwrap();
    let line = read(&bench.path("k.pub"));
    assert_eq!(line.trim(), format!("{} me@laptop, a comment", key.public().line()));
    assert_eq!(&PublicKey::from_line(&line).unwrap(), key.public());
    let listed = bench.keygen("k", &["-l"]);
    assert_eq!(listed.split(' ').nth(1).unwrap(), key.public().fingerprint());
}

#[test]
fn a_protected_key_of_ssh_keygen_opens_with_its_passphrase_only() {
    let Some(bench) = Bench::new() else { return };
    for (name, more) in [
        ("default", &[][..]),
        ("rounds", &["-a", "3"][..]),
        ("cbc", &["-Z", "aes128-cbc"][..]),
        ("gcm", &["-Z", "aes256-gcm@openssh.com"][..]),
        ("chacha", &["-Z", "chacha20-poly1305@openssh.com"][..]),
    ] {
        let args = [&["-q", "-t", "ed25519", "-N", "pass phrase"][..], more].concat();
        bench.keygen(name, &args);
        let key = bench.read(name, Some("pass phrase")).unwrap();
        let line = read(&bench.path(&format!("{name}.pub")));
        assert_eq!(&PublicKey::from_line(&line).unwrap(), key.public(), "{name}");
        assert!(matches!(bench.read(name, None), Err(IdentityError::Encrypted)), "{name}");
        for wrong in ["", "pass"] {
            let read = bench.read(name, Some(wrong));
            assert!(matches!(read, Err(IdentityError::WrongPassphrase)), "{name}: {read:?}");
        }
    }
}

#[test]
fn a_cipher_we_lack_is_named() {
    let Some(bench) = Bench::new() else { return };
    bench.keygen("k", &["-q", "-t", "ed25519", "-N", "pass", "-Z", "3des-cbc"]);
    let err = bench.read("k", Some("pass")).unwrap_err();
    assert!(err.to_string().ends_with("cipher 3des-cbc"), "{err}");
    // What the hint says mends it.
    assert!(err.hint().unwrap().contains("ssh-keygen -p -Z aes256-ctr -a 24"));
    bench.keygen("k", &["-p", "-Z", "aes256-ctr", "-a", "24", "-P", "pass", "-N", "pass"]);
    bench.read("k", Some("pass")).unwrap();
}

#[test]
fn our_plain_key_is_one_of_ssh_keygen() {
    let Some(bench) = Bench::new() else { return };
    let key = DeviceKey::generate().unwrap();
    bench.write("k", &key, None);
    assert_eq!(bench.keygen("k", &["-y", "-P", ""]), key.public().line());
    let listed = bench.keygen("k", &["-l"]);
    assert!(listed.contains(&key.public().fingerprint()), "{listed}");

    bench.keygen("k", &["-p", "-P", "", "-N", "their pass"]);
    assert!(matches!(bench.read("k", None), Err(IdentityError::Encrypted)));
    let back = bench.read("k", Some("their pass")).unwrap();
    assert_eq!(back.public(), key.public());
}

#[test]
fn our_protected_key_opens_in_ssh_keygen_with_its_passphrase_only() {
    let Some(bench) = Bench::new() else { return };
    let key = DeviceKey::generate().unwrap();
    bench.write("k", &key, Some(&SecretString::from("our päss")));
    assert_eq!(bench.keygen("k", &["-y", "-P", "our päss"]), key.public().line());
    assert!(!bench.run("k", &["-y", "-P", "wrong"]).status.success());
    let listed = bench.keygen("k", &["-l"]);
    assert!(listed.contains(&key.public().fingerprint()), "{listed}");

    bench.keygen("k", &["-p", "-P", "our päss", "-N", ""]);
    assert_eq!(bench.read("k", None).unwrap().public(), key.public());
}

#[test]
fn other_keys_of_ssh_keygen_are_refused_by_name() {
    let Some(bench) = Bench::new() else { return };
    for (kind, algorithm) in [("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256")] {
        for passphrase in ["", "pass"] {
            let name = format!("{kind}{passphrase}");
            bench.keygen(&name, &["-q", "-t", kind, "-N", passphrase]);
            let err = bench.read(&name, None).unwrap_err();
            assert!(matches!(&err, IdentityError::NotEd25519(found) if found == algorithm), "{err:?}");
        }
        let line = read(&bench.path(&format!("{kind}.pub")));
        assert!(PublicKey::from_line(&line).is_err());
    }
    let pem = ["-q", "-t", "ecdsa", "-m", "PEM", "-N", ""];
    bench.keygen("pem", &pem);
    let err = bench.read("pem", None).unwrap_err();
    assert!(matches!(err, IdentityError::NotOpenSsh(_)), "{err:?}");
    let err = bench.read("ecdsa.pub", None).unwrap_err();
    assert!(err.to_string().contains("a public key"), "{err}");
}
