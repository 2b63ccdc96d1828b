//! Tests of the device key, by what they guard: what stock signed, damaged key files, forged headers, connect URLs.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Authorization, Challenge, DeviceKey, PublicKey};

mod connect;
mod edges;
mod forgery;
mod key_files;
mod recorded;

/// What the stock program signed, with the test-only key it signed with.
#[derive(Deserialize)]
struct Vectors {
    key: KeyVector,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct KeyVector {
    private_key_openssh: String,
    public_key: String,
    encoded_key: String,
    fingerprint: String,
}

#[derive(Deserialize)]
struct Case {
    method: String,
    target: String,
    challenge: String,
    authorization: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/it/fixtures/vectors/signing.json")).unwrap()
}

fn recorded_key() -> DeviceKey {
    DeviceKey::from_openssh(&vectors().key.private_key_openssh, None).unwrap()
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let vectors = vectors();
    let key = recorded_key();
    let header = key.authorize(&Challenge::new("POST", "/api/me", 1));
    let pem = key.to_openssh(None).unwrap();
    let shown = format!("{key:?} {key:#?} {header:?} {header:#?} {pem:?}");

    assert!(shown.contains(&vectors.key.fingerprint) && shown.contains("Authorization(****)"));
    let signature = header.expose().split_once(':').unwrap().1;
    assert!(!shown.contains(signature) && !shown.contains(&header.expose()[..40]));
    for line in pem.expose_secret().lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line));
    }
}

#[test]
fn generated_keys_differ_and_sign() {
    let (one, other) = (DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap());
    assert_ne!(one.public(), other.public());
    let challenge = Challenge::new("GET", "/api/tags", 7);
    let header = one.authorize(&challenge);
    assert_eq!(&super::verify(header.expose(), &challenge).unwrap(), one.public());
}

#[test]
fn a_fingerprint_is_shown_in_groups_and_read_with_and_without_them() {
    let key = recorded_key();
    let (unbroken, grouped) = (key.public().fingerprint(), key.public().grouped_fingerprint());
    let groups: Vec<&str> = grouped.split(' ').collect();
    assert_eq!((groups[0], groups.len(), groups.concat()), ("SHA256:", 12, unbroken.clone()));
    assert!(groups[1..11].iter().all(|group| group.len() == 4) && groups[11].len() == 3, "{grouped}");
    for text in [&unbroken, &grouped, &format!("  {}\n", grouped.replace(' ', "  ")), &unbroken.replace(':', ": ")] {
        assert_eq!(super::parse_fingerprint(text).as_ref(), Ok(&unbroken), "{text}");
    }
    for wrong in ["", "SHA256:", &unbroken[..49], &format!("{unbroken}="), &unbroken.replace("SHA256", "MD5"), "laptop"]
    {
        assert!(super::parse_fingerprint(wrong).is_err(), "{wrong}");
        assert_eq!(super::group_fingerprint(wrong), wrong);
    }
}

#[test]
fn the_key_can_be_used_from_several_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<DeviceKey>();
    assert_shared::<PublicKey>();
    assert_shared::<Authorization>();
    assert_shared::<super::IdentityError>();
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}
