//! Key files: read back as written, and each kind of damage named for what it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};

use super::{recorded_key, secret, vectors};
use crate::identity::{DeviceKey, IdentityError};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &str = "\n-----END OPENSSH PRIVATE KEY-----\n";

fn armour(bytes: &[u8]) -> String {
    format!("{BEGIN}{}{END}", STANDARD.encode(bytes))
}

/// The recorded key's bytes without their armour.
fn bytes() -> Vec<u8> {
    let pem = vectors().key.private_key_openssh;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

fn read(pem: &str) -> Result<DeviceKey, IdentityError> {
    DeviceKey::from_openssh(pem, None)
}

fn fault(pem: &str) -> String {
    match read(pem) {
        Err(IdentityError::Corrupt(reason)) => reason,
        other => panic!("not seen as corrupt: {other:?}"),
    }
}

#[test]
fn is_read_back_as_written() {
    let key = recorded_key();
    let pem = key.to_openssh(None).unwrap();
    assert!(pem.expose_secret().starts_with(BEGIN) && pem.expose_secret().ends_with(END));
    assert_eq!(read(pem.expose_secret()).unwrap().public(), key.public());
    // A passphrase that is not needed does no harm.
    let unneeded = DeviceKey::from_openssh(pem.expose_secret(), Some(&secret("x"))).unwrap();
    assert_eq!(unneeded.public(), key.public());
}

#[test]
fn a_passphrase_protects_it() {
    let key = recorded_key();
    let passphrase = secret("correct horse ∞");
    let pem = key.to_openssh(Some(&passphrase)).unwrap();
    let open = |passphrase: Option<&SecretString>| DeviceKey::from_openssh(pem.expose_secret(), passphrase);

    assert_eq!(open(Some(&passphrase)).unwrap().public(), key.public());
    assert!(matches!(open(None), Err(IdentityError::Encrypted)));
    for wrong in ["", "correct horse", "Correct horse ∞"] {
        assert!(matches!(open(Some(&secret(wrong))), Err(IdentityError::WrongPassphrase)));
    }
    assert!(matches!(key.to_openssh(Some(&secret(""))), Err(IdentityError::EmptyPassphrase)));
    let again = key.to_openssh(Some(&passphrase)).unwrap();
    assert_ne!(again.expose_secret(), pem.expose_secret(), "the salt must be fresh");
}

#[test]
fn line_lengths_line_ends_and_surroundings_do_not_matter() {
    let pem = vectors().key.private_key_openssh;
    let key = recorded_key();
    for variant in [
        pem.replace('\n', "\r\n"),
        pem.trim_end().to_owned(),
        format!("\u{feff}{pem}"),
        format!("a note\n\n{pem}\nanother"),
        armour(&bytes()),
        pem.replace("b3Bl", "b3\n Bl"),
    ] {
        assert_eq!(read(&variant).unwrap().public(), key.public(), "{variant}");
    }
}

#[test]
fn what_is_not_an_openssh_key_is_named_with_what_to_do() {
    for (text, what, hint) in [
        ("", "an empty file", "id_ed25519"),
        (" \n", "an empty file", "id_ed25519"),
        ("ssh-ed25519 AAAA me", "a public key", "without .pub"),
        ("-----BEGIN PUBLIC KEY-----\nx", "a public key", "without .pub"),
        ("-----BEGIN RSA PRIVATE KEY-----\nx", "the older PEM format", "ssh-keygen -p"),
        ("-----BEGIN PRIVATE KEY-----\nx", "the older PEM format", "ssh-keygen -p"),
        ("-----BEGIN CERTIFICATE-----\nx", "a certificate", "id_ed25519"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "a PuTTY key", "puttygen"),
        ("{}", "BEGIN line is missing", "id_ed25519"),
    ] {
        let err = read(text).unwrap_err();
        assert!(matches!(err, IdentityError::NotOpenSsh(_)), "{text}");
        assert!(err.to_string().contains(what), "{text}: {err}");
        assert!(err.hint().unwrap().contains(hint), "{text}: {:?}", err.hint());
    }
}

#[test]
fn damage_is_named_for_what_it_is() {
    let pem = vectors().key.private_key_openssh;
    let bytes = bytes();
    let cut = |length: usize| armour(&bytes[..length]);
    let changed = |at: usize| {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        armour(&changed)
    };
    let last = bytes.len() - 1;
    for (text, reason) in [
        (pem[..200].to_owned(), "last line (-----END OPENSSH PRIVATE KEY-----) is missing"),
        (format!("{BEGIN}{END}"), "nothing between"),
        (pem.replace("b3Bl", "b3!l"), "character 3 between"),
        (pem.replace("b3Bl", "b3B"), "base64"),
        (cut(10), "does not start with openssh-key-v1"),
        (cut(40), "ends too early"),
        (cut(120), "ends too early"),
        (cut(last), "ends too early"),
        (changed(0), "does not start with openssh-key-v1"),
        (changed(38), "keys instead of one"),
        (changed(70), "does not belong to its public part"),
        // After the header (98 bytes and a length): check values, then type, public half, secret, padding.
        (changed(102), "check values"),
        (changed(bytes.len() - 60), "check values"),
        (changed(last), "not in OpenSSH's format"),
        (armour(&[&bytes[..], &[0]].concat()), "bytes follow the end"),
        (format!("{pem}{pem}"), "more than one private key"),
    ] {
        let found = fault(&text);
        assert!(found.contains(reason), "wanted {reason:?}, got {found:?}");
    }
    assert!(read(&cut(40)).unwrap_err().hint().unwrap().contains("backup"));
}

#[test]
fn other_kinds_of_keys_and_protection_are_named() {
    let name = |bytes: &[u8], from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = bytes.to_vec();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        armour(&changed)
    };
    let err = read(&name(&bytes(), "ssh-ed25519", "ssh-rsa4096")).unwrap_err();
    assert!(matches!(&err, IdentityError::NotEd25519(algorithm) if algorithm == "ssh-rsa4096"));
    let err = read(&name(&bytes(), "ssh-ed25519", "\u{1b}[31mxxxxxx")).unwrap_err();
    assert!(matches!(&err, IdentityError::NotEd25519(algorithm) if algorithm == "unknown"));

    let pem = recorded_key().to_openssh(Some(&secret("x"))).unwrap();
    let body: String = pem.expose_secret().lines().filter(|line| !line.starts_with('-')).collect();
    let protected = STANDARD.decode(body).unwrap();
    for (text, what) in [
        (name(&protected, "aes256-ctr", "aes512-xyz"), "cipher aes512-xyz"),
        (name(&protected, "bcrypt", "argon2"), "key derivation argon2"),
        (name(&protected, "\0\0\0\x18\0\0\0\x01", "\x01\0\0\0\0\0\0\x01"), "16777216 rounds"),
    ] {
        // Refused at once, passphrase or not: nothing is derived.
        let err = DeviceKey::from_openssh(&text, Some(&secret("x"))).unwrap_err();
        assert!(matches!(&err, IdentityError::UnsupportedProtection(_)), "{err:?}");
        assert!(err.to_string().contains(what), "{err}");
        assert!(err.hint().unwrap().contains("ssh-keygen -p"));
    }
    assert!(fault(&name(&protected, "\0\0\0\x18\0\0\0\x01", "\0\0\0\0\0\0\0\x01")).contains("0 rounds"));
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        prop_assert!(read(&text).is_err());
        let armoured = format!("{BEGIN}{text}{END}");
        prop_assert!(read(&armoured).is_err());
        prop_assert!(read(&armour(&bytes)).is_err());
        prop_assert!(read(&armour(&[b"openssh-key-v1\0", &bytes[..]].concat())).is_err());
    }

    #[test]
    fn a_damaged_key_is_never_another_key(at in 0_usize..234, flip in 1_u8.., cut in 0_usize..234) {
        let whole = bytes();
        let mut changed = whole.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        for damaged in [&changed[..], &changed[..cut.min(whole.len() - 1)], &whole[..cut.min(whole.len() - 1)]] {
            if let Ok(key) = read(&armour(damaged)) {
                prop_assert_eq!(key.public().line(), vectors().key.public_key);
            }
        }
    }

    #[test]
    fn damage_to_a_protected_key_never_panics(at in 0_usize..74, flip in 1_u8..) {
        let pem = PROTECTED.with(Clone::clone);
        let mut changed = STANDARD.decode(pem).unwrap();
        changed[at] ^= flip;
        let _ = read(&armour(&changed));
    }
}

thread_local! {
    static PROTECTED: String = recorded_key()
        .to_openssh(Some(&secret("x")))
        .unwrap()
        .expose_secret()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
}
