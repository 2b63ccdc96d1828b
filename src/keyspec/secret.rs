//! The API key itself.
//!
//! A fixed prefix lets scanners find it, a checksum lets them tell a real one from a look-alike without asking anybody, and
//! 32 base62 digits (190.5 bits) cannot be guessed: so a plain SHA-256 is enough to recognise it by.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::{BASE62, random_digits};

const PREFIX: &str = "olauth_";
const RANDOM: usize = 32;
const CHECK: usize = 6;
/// Letters and digits after the prefix.
pub(super) const DIGITS: usize = RANDOM + CHECK;

/// An API key of a gateway. It cannot be printed and is wiped when dropped.
pub struct ApiKey(SecretString);

/// Why a text is not an API key of a gateway. No message repeats any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ApiKeyError {
    /// Something else, such as a key of ollama.com.
    #[error("it does not begin with {PREFIX}")]
    Prefix,
    /// Too short, too long, or with characters that are not base62.
    #[error("it is not {} letters and digits after {PREFIX}", RANDOM + CHECK)]
    Form,
    /// A typing error, or a look-alike.
    #[error("its checksum is wrong: it was not copied completely")]
    Checksum,
}

impl ApiKey {
    /// Every key begins so.
    pub const PREFIX: &'static str = PREFIX;

    /// Makes a new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let random = random_digits(RANDOM)?;
        // Exactly as long as it must be, so that nothing is moved and left behind.
        let mut text = String::with_capacity(PREFIX.len() + RANDOM + CHECK);
        text.push_str(PREFIX);
        text.push_str(&random);
        let check = checksum(&text);
        text.extend(check.map(char::from));
        Ok(Self(SecretString::from(text)))
    }

    /// Reads one, and checks its checksum.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ApiKeyError::Prefix)?;
        if rest.len() != DIGITS || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ApiKeyError::Form);
        }
        let (before, check) = text.split_at(PREFIX.len() + RANDOM);
        if checksum(before) != check.as_bytes() {
            return Err(ApiKeyError::Checksum);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The key, for the one who is to have it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What a server keeps of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.expose()).into())
    }

    /// Its last four characters, by which people tell their keys apart. They belong to the checksum, so next to nothing is given
    /// away.
    pub fn hint(&self) -> &str {
        let text = self.expose();
        &text[text.len() - 4..]
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(****)")
    }
}

/// The CRC-32 (ISO-HDLC, as in zip and PNG) of a text in six base62 digits, the most significant first.
fn checksum(text: &str) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits
}

/// The SHA-256 of an API key. Equality takes the same time whatever differs.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for KeyHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(****)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_reads_back_and_no_two_are_alike() {
        let keys: HashSet<String> = (0..500).map(|_| ApiKey::generate().unwrap().expose().to_owned()).collect();
        assert_eq!(keys.len(), 500);
        for key in keys {
            assert_eq!(key.len(), 45);
            assert_eq!(ApiKey::parse(&key).unwrap().expose(), key);
        }
    }

    #[test]
    fn the_form_is_fixed_for_scanners() {
        // Computed apart from this code: Python's zlib.crc32 and the digits by hand.
        let key = "olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV";
        let whole = format!("{key}{}", str::from_utf8(&checksum(key)).unwrap());
        assert_eq!(whole, "olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV38eMnq");
        assert_eq!(ApiKey::parse(&whole).unwrap().hint().len(), 4);
    }

    #[test]
    fn a_slip_in_any_place_is_seen() {
        let key = ApiKey::generate().unwrap();
        for place in 0..key.expose().len() {
            let mut text = key.expose().as_bytes().to_vec();
            text[place] = if text[place] == b'x' { b'y' } else { b'x' };
            assert!(ApiKey::parse(std::str::from_utf8(&text).unwrap()).is_err(), "place {place}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(format!("{key:?} {:?}", key.hash()), "ApiKey(****) KeyHash(****)");
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = ApiKey::parse(&text);
            let _ = ApiKey::parse(&format!("{PREFIX}{text}"));
        }
    }
}
