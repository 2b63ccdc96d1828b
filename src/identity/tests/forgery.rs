//! Headers that must not be believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::recorded_key;
use crate::identity::{Challenge, PublicKey, PublicKeyError, VerifyError, verify};

/// The order of the curve's prime subgroup, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn challenge() -> Challenge {
    Challenge::new("POST", "/api/me", 1_795_210_715)
}

/// A genuine header's two parts.
fn genuine() -> (String, String) {
    let header = recorded_key().authorize(&challenge());
    let (blob, signature) = header.expose().split_once(':').unwrap();
    (blob.to_owned(), signature.to_owned())
}

fn refused(blob: &str, signature: &str) -> VerifyError {
    verify(&format!("{blob}:{signature}"), &challenge()).unwrap_err()
}

fn blob_of(key: [u8; 32]) -> String {
    STANDARD.encode([&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &key].concat())
}

fn is_key_error(err: &VerifyError) -> bool {
    matches!(err, VerifyError::Key(_))
}

#[test]
fn another_request_is_not_what_was_signed() {
    let (blob, signature) = genuine();
    let header = format!("{blob}:{signature}");
    assert!(verify(&header, &challenge()).is_ok());
    for other in [
        Challenge::new("GET", "/api/me", 1_795_210_715),
        Challenge::new("POST", "/api/me/", 1_795_210_715),
        Challenge::new("POST", "/api/me", 1_795_210_716),
        Challenge::with_query("POST", "/api/me", &[("a", "")], 1_795_210_715),
    ] {
        assert_eq!(verify(&header, &other), Err(VerifyError::WrongSignature));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (blob, signature) = genuine();
    let raw = STANDARD.decode(&signature).unwrap();
    for bit in 0..raw.len() * 8 {
        let mut forged = raw.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&blob, &STANDARD.encode(forged)), VerifyError::WrongSignature);
    }
    let raw = STANDARD.decode(&blob).unwrap();
    for bit in 0..raw.len() * 8 {
        let mut forged = raw.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&format!("{}:{signature}", STANDARD.encode(forged)), &challenge()).is_err());
    }
}

#[test]
fn a_second_spelling_of_the_same_signature_is_refused() {
    let (blob, signature) = genuine();
    // S + L is congruent to S, and a lax verifier takes it.
    let mut raw = STANDARD.decode(&signature).unwrap();
    let mut carry = 0;
    for (byte, order) in raw[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(refused(&blob, &STANDARD.encode(raw)), VerifyError::WrongSignature);

    // Base64: bits beyond the data, no padding, the other alphabet, whitespace.
    assert!(signature.ends_with("DQ==") || signature.ends_with("AQ=="));
    let unpadded = signature.trim_end_matches('=');
    let mut slack = unpadded.to_owned();
    slack.replace_range(slack.len() - 1.., "R");
    for forged in [
        format!("{slack}=="),
        unpadded.to_owned(),
        format!("{unpadded}="),
        signature.replace('+', "-").replace('/', "_"),
        format!("{signature} "),
        format!(" {signature}"),
        signature.replacen('X', "X\n", 1) + "\n",
        format!("{signature}:{signature}"),
        String::new(),
        STANDARD.encode([0; 63]),
        STANDARD.encode([0; 65]),
    ] {
        assert_eq!(refused(&blob, &forged), VerifyError::MalformedSignature, "{forged}");
    }
}

#[test]
fn a_second_spelling_of_the_same_key_is_refused() {
    let (blob, signature) = genuine();
    let raw = STANDARD.decode(&blob).unwrap();
    for forged in [
        STANDARD.encode([&raw[..], &[0]].concat()),
        STANDARD.encode(&raw[..50]),
        format!("{blob}===="),
        format!(" {blob}"),
        format!("ssh-ed25519 {blob}"),
        String::new(),
    ] {
        assert!(is_key_error(&refused(&forged, &signature)), "{forged}");
    }
    assert_eq!(
        verify(&format!("Bearer  {blob}:{signature}"), &challenge()).map_err(|err| is_key_error(&err)),
        Err(true)
    );
}

#[test]
fn only_ed25519_is_a_device_key() {
    let (_, signature) = genuine();
    let named = |name: &str, rest: &[u8]| {
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        STANDARD.encode([&length[..], name.as_bytes(), rest].concat())
    };
    for name in ["ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "ssh-ed25519-cert-v01@openssh.com"] {
        let blob = named(name, &[0; 36]);
        let err = PublicKeyError::NotEd25519(name.to_owned());
        assert_eq!(refused(&blob, &signature), VerifyError::Key(err.clone()));
        assert_eq!(PublicKey::from_line(&format!("{name} {blob}")), Err(err));
        assert!(PublicKey::from_line(&format!("ssh-ed25519 {blob}")).is_err());
    }
    let err = refused(&named("\u{1b}[31m", &[0; 36]), &signature);
    assert!(!err.to_string().contains('\u{1b}'), "{err:?}");
}

#[test]
fn keys_that_anybody_can_sign_for_are_refused() {
    // With one of these as key, R the same point and S zero, the plain equation holds for one message in eight or more.
    let small_order = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // The same points with y at or above the prime.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for hex in small_order {
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        for r in [key, [0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let signature = STANDARD.encode([r, [0; 32]].concat());
            let err = refused(&blob_of(key), &signature);
            assert!(matches!(err, VerifyError::Key(PublicKeyError::Unusable(_))), "{hex}: {err:?}");
        }
        // As R beside a good key.
        let (blob, signature) = genuine();
        let s = &STANDARD.decode(signature).unwrap()[32..];
        assert_eq!(refused(&blob, &STANDARD.encode([&key[..], s].concat())), VerifyError::WrongSignature);
    }
}

#[test]
fn a_key_is_encoded_in_one_way_only() {
    // y from the prime to 2^255 - 1 spells 0 to 18 a second time, with either sign of x.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            let err = PublicKeyError::Unusable("it is not canonically encoded");
            assert_eq!(refused(&blob_of(key), &genuine().1), VerifyError::Key(err));
        }
    }
}

#[test]
fn other_credentials_are_told_apart() {
    for header in ["", "Bearer ", "Bearer 0123456789abcdef.key", "Basic"] {
        assert_eq!(verify(header, &challenge()), Err(VerifyError::NotASignature), "{header}");
    }
    let err = verify("hunter2:hunter2", &challenge()).unwrap_err();
    let shown = format!("{err:?} {err}");
    assert!(!shown.contains("hunter2"));
}

#[test]
fn public_keys_are_read_strictly() {
    let key = recorded_key();
    let line = key.public().line();
    let read = |text: &str| PublicKey::from_line(text);
    for good in [format!("{line}\n"), format!("  {line} me@host, my laptop\r\n"), line.replace(' ', "\t")] {
        assert_eq!(&read(&good).unwrap(), key.public(), "{good:?}");
    }
    for bad in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !",
        "AAAAC3NzaC1lZDI1NTE5AAAAICqAuKBFSQViF6KsgqM8m0fe6EbkxTO9jHaZqabW5RS0",
        &line[..line.len() - 1],
        &format!("{line}\n{line}"),
        &format!("no-pty {line}"),
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }

    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    for bad in [
        format!("{}=", key.public().encoded()),
        STANDARD.encode(format!("{line} ")),
        encode(&format!("{line} comment")),
        encode(&format!("{line}\n")),
        encode(&line[12..]),
        encode("\u{e9}"),
        String::new(),
    ] {
        assert!(PublicKey::from_encoded(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_a_reader_panic(text in any::<String>(), bytes in any::<Vec<u8>>(), key in any::<[u8; 32]>()) {
        let encoded = STANDARD.encode(&bytes);
        for header in [&text, &format!("{encoded}:{text}"), &format!("{}:{encoded}", blob_of(key))] {
            prop_assert!(verify(header, &challenge()).is_err());
        }
        let _ = PublicKey::from_line(&text);
        let _ = PublicKey::from_line(&format!("ssh-ed25519 {text}"));
        let _ = PublicKey::from_line(&format!("ssh-ed25519 {encoded}"));
        let _ = PublicKey::from_encoded(&text);
    }

    #[test]
    fn an_accepted_key_has_one_spelling(key in any::<[u8; 32]>()) {
        if let Ok(public) = PublicKey::from_line(&format!("ssh-ed25519 {}", blob_of(key))) {
            prop_assert_eq!(public.wire_blob()[19..].to_vec(), key.to_vec());
            prop_assert_eq!(PublicKey::from_line(&public.line()).unwrap(), public.clone());
            prop_assert_eq!(PublicKey::from_encoded(&public.encoded()).unwrap(), public);
        }
    }
}
