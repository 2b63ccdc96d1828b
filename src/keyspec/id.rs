//! The public id of an API key: what lists, audit trails and journals name it by.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::random_digits;

const PREFIX: &str = "key_";
const RANDOM_DIGITS: usize = 22;

/// A public id: `key_` and 8 to 60 ASCII letters and digits. It is not a secret. The creator of a key may choose it, to have it on
/// record before the key exists. Copies share their text: a gateway has several of each of many keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

/// The text is not a public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the id of a key is {PREFIX} and 8 to 60 letters and digits")]
pub struct KeyIdError;

impl KeyId {
    /// A new unique one (131 random bits).
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{PREFIX}{}", *random_digits(RANDOM_DIGITS)?).into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last path segment of `DELETE /api/user/keys/<encoded key>`: unpadded base64url of the id, as for the keys of devices.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.as_str())
    }

    /// Reads what [`encoded`](Self::encoded) writes.
    ///
    /// # Errors
    /// [`KeyIdError`].
    pub fn from_encoded(text: &str) -> Result<Self, KeyIdError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyIdError)?;
        std::str::from_utf8(&bytes).map_err(|_| KeyIdError)?.parse()
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let rest = text.strip_prefix(PREFIX).ok_or(KeyIdError)?;
        let fits = (8..=60).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text.into())) } else { Err(KeyIdError) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_in_both_forms() {
        let id = KeyId::generate().unwrap();
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(KeyId::from_encoded(&id.encoded()), Ok(id));
    }

    #[test]
    fn nothing_else_is_an_id() {
        for text in ["", "key_", "key_1234567", "key_1234-5678", "KEY_12345678", "key_1234567\u{e9}"] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
        assert!(format!("key_{}", "a".repeat(61)).parse::<KeyId>().is_err());
        assert!(KeyId::from_encoded("a2V5XzEyMzQ1Njc4=").is_err());
    }
}
