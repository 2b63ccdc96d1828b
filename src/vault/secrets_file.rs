//! What the two file stores share: entries as JSON, the lock, the version check, and the handling of a damaged file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::VaultError;
use crate::disk;
use crate::disk::Lock;

const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Why a store file could not be read: broken ones are moved aside under the lock, others left alone.
pub(super) enum Unreadable {
    Broken(String),
    Other(VaultError),
}

impl<E: Into<VaultError>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Unreadable {
    /// Leaves a broken file where it is and makes the error that says so.
    pub(super) fn keep_in_place(self, path: &Path) -> VaultError {
        match self {
            Self::Other(error) => error,
            Self::Broken(reason) => VaultError::Corrupt { path: path.to_owned(), aside: None, reason },
        }
    }

    /// Moves a broken file aside and makes the error that says so.
    pub(super) fn move_aside(self, path: &Path) -> VaultError {
        match self {
            Self::Other(error) => error,
            Self::Broken(reason) => {
                VaultError::Corrupt { path: path.to_owned(), aside: disk::move_aside(path).ok(), reason }
            }
        }
    }
}

/// Takes the lock that guards a store file.
pub(super) fn lock_file(path: &Path) -> Result<Lock, VaultError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    Ok(Lock::acquire(Path::new(&name), LOCK_DEADLINE)?)
}

/// Reads the version alone, so that the layout of a newer file need not be understood.
pub(super) fn check_version(path: &Path, bytes: &[u8], known: u64) -> Result<(), Unreadable> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version: found } = serde_json::from_slice(bytes).map_err(json_error)?;
    if found == 0 {
        return Err(Unreadable::Broken("its version is 0".to_owned()));
    }
    if found > known {
        return Err(Unreadable::Other(VaultError::NewerVersion { path: path.to_owned(), found }));
    }
    Ok(())
}

/// The place of a JSON error without the text around it, which could be a secret.
pub(super) fn json_error(error: serde_json::Error) -> Unreadable {
    let what = if error.is_eof() { "it ends too early" } else { "it is not valid JSON of this format" };
    Unreadable::Broken(format!("{what}: line {}, column {}", error.line(), error.column()))
}

/// The secrets of a file by the written form of their [`super::EntryId`].
pub(super) type Entries = BTreeMap<String, Secret>;

/// Text that is wiped when dropped, never printed, and written out only by a file store.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }

            fn visit_string<E>(self, text: String) -> Result<Secret, E> {
                Ok(Secret(Zeroizing::new(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An upper bound of the entries' length as JSON, in bytes, so that a buffer need not grow and leave copies
/// behind. Escaping makes a byte six at most.
pub(super) fn json_bound(entries: &Entries) -> usize {
    entries.iter().map(|(name, secret)| 6 * (name.len() + secret.expose().len()) + 16).sum::<usize>() + 64
}
