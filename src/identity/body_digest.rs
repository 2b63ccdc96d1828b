//! The digest of a request's body, as a parameter of its query: a signature covers all parameters, but no body.
//!
//! `body-sha256=DIGEST.NONCE`: 64 lower-case hex digits of the SHA-256 of the body as it is sent, and optionally a dot and up to 64
//! letters, digits, `-` and `_` that make two equal requests of one second differ. Gateways check it; no other host knows it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

const DIGITS: usize = 64;
const MAX_NONCE_LENGTH: usize = 64;

/// A digest that was read from a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

/// The value of the parameter is not of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the parameter {} must be the SHA-256 of the body in 64 lower-case hex digits, optionally followed by a dot and a nonce",
    BodyDigest::PARAMETER
)]
pub struct BodyDigestError;

impl BodyDigest {
    /// The name of the parameter.
    pub const PARAMETER: &'static str = "body-sha256";

    /// The value of the parameter for a body. `nonce` is random.
    pub fn parameter_of(body: &[u8], nonce: u64) -> String {
        let mut value = String::with_capacity(DIGITS + 17);
        for byte in Sha256::digest(body) {
            let _ = write!(value, "{byte:02x}");
        }
        let _ = write!(value, ".{nonce:016x}");
        value
    }

    /// Reads the value of the parameter.
    ///
    /// # Errors
    /// [`BodyDigestError`]
    pub fn parse(value: &str) -> Result<Self, BodyDigestError> {
        let (digits, nonce) = value.split_once('.').unwrap_or((value, "0"));
        let is_nonce_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let has_nonce = (1..=MAX_NONCE_LENGTH).contains(&nonce.len()) && nonce.bytes().all(is_nonce_byte);
        if digits.len() != DIGITS || !has_nonce {
            return Err(BodyDigestError);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(digest))
    }

    /// Whether it is the digest of what was hashed.
    pub fn is_of(&self, hashed: Sha256) -> bool {
        self.0[..] == hashed.finalize()[..]
    }
}

fn nibble(digit: u8) -> Result<u8, BodyDigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BodyDigestError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_parameter_names_the_digest_of_the_body() {
        assert_eq!(BodyDigest::parameter_of(b"", 0xa), format!("{EMPTY}.000000000000000a"));
        for body in [&b""[..], b"{}", &[0xff; 1000]] {
            let digest = BodyDigest::parse(&BodyDigest::parameter_of(body, u64::MAX)).unwrap();
            assert!(digest.is_of(Sha256::new_with_prefix(body)));
            assert!(!digest.is_of(Sha256::new_with_prefix(b"another")));
        }
    }

    #[test]
    fn a_value_is_read_in_one_form_only() {
        for value in [EMPTY.to_owned(), format!("{EMPTY}.x"), format!("{EMPTY}.{}", "a-_9".repeat(16))] {
            assert!(BodyDigest::parse(&value).unwrap().is_of(Sha256::new()), "{value}");
        }
        for value in [
            String::new(),
            EMPTY[1..].to_owned(),
            EMPTY.to_uppercase(),
            format!("{EMPTY}."),
            format!("{EMPTY}.a.b"),
            format!("{EMPTY}.a%20"),
            format!("{EMPTY}.{}", "a".repeat(65)),
            format!("0x{}", &EMPTY[2..]),
            "ü".repeat(32),
        ] {
            assert_eq!(BodyDigest::parse(&value), Err(BodyDigestError), "{value}");
        }
    }
}
