//! The name of a group or an environment of the configuration.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// In bytes.
const LONGEST: usize = 32;

/// 1 to 32 of lower-case ASCII letters, digits and `-`, as the names of roles. What it names need not be defined. It is copied: a limit that a
/// request meets names whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName {
    bytes: [u8; LONGEST],
    length: u8,
}

/// A text that cannot be such a name; holds it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid name {0:?}: use 1 to 32 of a-z, 0-9 and `-`")]
pub struct PolicyNameError(pub String);

impl PolicyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl Borrow<str> for PolicyName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// As its text, which it is [borrowed](Borrow) as.
impl Hash for PolicyName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Ord for PolicyName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for PolicyName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyName {
    type Err = PolicyNameError;

    fn from_str(name: &str) -> Result<Self, PolicyNameError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let wrong = || PolicyNameError(name.to_owned());
        if !(1..=LONGEST).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(wrong());
        }
        let mut bytes = [0; LONGEST];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self { bytes, length: u8::try_from(name.len()).map_err(|_| wrong())? })
    }
}

impl TryFrom<String> for PolicyName {
    type Error = PolicyNameError;

    fn try_from(name: String) -> Result<Self, PolicyNameError> {
        name.parse()
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.as_str().to_owned()
    }
}
