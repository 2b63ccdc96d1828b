//! The public half of a device key and the four ways it is written down.
//!
//! As a line (`ssh-ed25519 AAAA…`), as the *encoded key* of connect URLs and key deletion, as the SSH wire blob inside
//! a signed request, and as the fingerprint that people compare.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The SSH name of the one algorithm of device keys.
pub(super) const ALGORITHM: &str = "ssh-ed25519";

/// What precedes the 32 bytes of every Ed25519 key in a wire blob: the algorithm and the key's length.
const BLOB_PREFIX: &[u8; 19] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
const BLOB_LENGTH: usize = BLOB_PREFIX.len() + 32;

/// What precedes the digest of a fingerprint.
const FINGERPRINT_KIND: &str = "SHA256:";
/// The base64 digits of a SHA-256 without padding.
const FINGERPRINT_DIGITS: usize = 43;

/// An Ed25519 public key that is safe to verify with: a canonical encoding of a point that is not of small order.
///
/// In serde it is its line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    verifying: VerifyingKey,
}

/// Why a text or blob is not the public key of a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// A key of another kind; holds its algorithm, or `unknown`.
    #[error("the public key is of type {0}, and an Ollama device key must be ssh-ed25519")]
    NotEd25519(String),
    /// Not laid out as a public key is; holds what is wrong.
    #[error("not a public key: {0}")]
    Malformed(&'static str),
    /// The 32 bytes are no point of the curve, or one that anybody could sign for.
    #[error("the public key is not a usable Ed25519 key: {0}")]
    Unusable(&'static str),
}

impl PublicKey {
    pub(super) fn of(signing: &SigningKey) -> Self {
        Self { verifying: signing.verifying_key() }
    }

    /// The line of `authorized_keys` and `.pub` files, without a comment: `ssh-ed25519 AAAA…`.
    pub fn line(&self) -> String {
        format!("{ALGORITHM} {}", STANDARD.encode(self.wire_blob()))
    }

    /// The *encoded key*: unpadded base64url of [`line`](Self::line). It is the `key` of a connect URL and the last
    /// path segment of `DELETE /api/user/keys/<encodedKey>`.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.line())
    }

    /// `SHA256:` and the unpadded base64 of the SHA-256 of the wire blob, as `ssh-keygen -lf` prints it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.wire_blob());
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// The fingerprint as people compare it: `SHA256: n4bQ gYhM …`, in groups of four digits.
    pub fn grouped_fingerprint(&self) -> String {
        group_fingerprint(&self.fingerprint())
    }

    /// The SSH wire form, 51 bytes: the algorithm's name and the key, each with its length before it.
    pub fn wire_blob(&self) -> Vec<u8> {
        [&BLOB_PREFIX[..], self.verifying.as_bytes()].concat()
    }

    /// Reads a public-key line. A comment after the key, and spaces around the line, are dropped.
    ///
    /// # Errors
    /// [`PublicKeyError`] for another algorithm, anything but canonical base64, a blob that is too short or too long,
    /// and keys that must not be verified with.
    pub fn from_line(line: &str) -> Result<Self, PublicKeyError> {
        let line = line.trim();
        if line.contains(['\n', '\r']) {
            return Err(PublicKeyError::Malformed("there is more than one line"));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let algorithm = words.next().unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(PublicKeyError::NotEd25519(printable(algorithm.as_bytes())));
        }
        let blob = words.next().ok_or(PublicKeyError::Malformed("there is nothing after ssh-ed25519"))?;
        Self::from_blob_base64(blob)
    }

    /// Reads an encoded key, in exactly the form that [`encoded`](Self::encoded) writes.
    ///
    /// # Errors
    /// As [`from_line`](Self::from_line), and for padding, other alphabets, or a comment.
    pub fn from_encoded(encoded: &str) -> Result<Self, PublicKeyError> {
        let line =
            URL_SAFE_NO_PAD.decode(encoded).map_err(|_| PublicKeyError::Malformed("it is not unpadded base64url"))?;
        let line =
            std::str::from_utf8(&line).map_err(|_| PublicKeyError::Malformed("its base64url does not hold text"))?;
        let key = Self::from_line(line)?;
        // One key, one encoding: a host finds a key by this text.
        if key.line() != line {
            return Err(PublicKeyError::Malformed("its base64url holds more than the algorithm and the key"));
        }
        Ok(key)
    }

    /// Reads canonical, padded base64 of a wire blob.
    pub(super) fn from_blob_base64(text: &str) -> Result<Self, PublicKeyError> {
        let blob = STANDARD.decode(text).map_err(|_| PublicKeyError::Malformed("it is not canonical base64"))?;
        Self::from_blob(&blob)
    }

    fn from_blob(blob: &[u8]) -> Result<Self, PublicKeyError> {
        let algorithm = take_string(&mut &*blob).ok_or(PublicKeyError::Malformed("it is not an SSH key blob"))?;
        if algorithm != ALGORITHM.as_bytes() {
            return Err(PublicKeyError::NotEd25519(printable(algorithm)));
        }
        if blob.len() != BLOB_LENGTH {
            return Err(PublicKeyError::Malformed("an ssh-ed25519 blob is exactly 51 bytes long"));
        }
        let bytes: &[u8; 32] = blob
            .strip_prefix(BLOB_PREFIX)
            .and_then(|key| key.try_into().ok())
            .ok_or(PublicKeyError::Malformed("an Ed25519 key is 32 bytes long"))?;
        if !is_reduced(bytes) {
            return Err(PublicKeyError::Unusable("it is not canonically encoded"));
        }
        let verifying =
            VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::Unusable("it is not a point of the curve"))?;
        if verifying.is_weak() {
            return Err(PublicKeyError::Unusable("it is of small order"));
        }
        Ok(Self { verifying })
    }

    pub(super) fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        Self::from_line(line)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = String::deserialize(deserializer)?;
        Self::from_line(&line).map_err(serde::de::Error::custom)
    }
}

/// The text is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fingerprint is SHA256: and {FINGERPRINT_DIGITS} characters")]
pub struct FingerprintError;

/// Reads a fingerprint as people copy or type it: blanks between its characters do not count. Returns it unbroken, as
/// [`PublicKey::fingerprint`] writes it.
///
/// # Errors
/// [`FingerprintError`] for anything but `SHA256:` and the 43 base64 digits of a digest.
pub fn parse_fingerprint(text: &str) -> Result<String, FingerprintError> {
    let fingerprint: String = text.split_whitespace().collect();
    let digits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digest = fingerprint.strip_prefix(FINGERPRINT_KIND).ok_or(FingerprintError)?;
    let is_whole = digest.len() == FINGERPRINT_DIGITS && digest.bytes().all(digits);
    if is_whole { Ok(fingerprint) } else { Err(FingerprintError) }
}

/// A fingerprint as people compare it: `SHA256: n4bQ gYhM …`, in groups of four digits. Any other text stays as it is.
pub fn group_fingerprint(fingerprint: &str) -> String {
    let Ok(unbroken) = parse_fingerprint(fingerprint) else { return fingerprint.to_owned() };
    let digits: Vec<char> = unbroken[FINGERPRINT_KIND.len()..].chars().collect();
    digits.chunks(4).fold(FINGERPRINT_KIND.to_owned(), |grouped, group| grouped + " " + &String::from_iter(group))
}

/// Whether the y coordinate is below the field's prime, 2^255 - 19: only then is the encoding the one and only.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let ones = bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[31] & 0x7f == 0x7f;
    !(ones && bytes[0] >= 0xed)
}

/// Takes a length-prefixed string off the front, as RFC 4251 section 5 writes one.
pub(super) fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u32(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// Takes a big-endian number off the front.
pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}

/// A name out of untrusted data, if it can be one, for an error message.
pub(super) fn printable(name: &[u8]) -> String {
    let looks_like_one = !name.is_empty() && name.len() <= 64 && name.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(name) {
        Ok(name) if looks_like_one => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}
