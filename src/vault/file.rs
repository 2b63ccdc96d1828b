//! What the two file stores share: their lock, their version check, and what becomes of a file that makes no sense.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::VaultError;
use crate::disk::{self, Lock};

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
    pub(super) fn leave(self, path: &Path) -> VaultError {
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
pub(super) fn lock_beside(path: &Path) -> Result<Lock, VaultError> {
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
    let Versioned { version: found } = serde_json::from_slice(bytes).map_err(no_json)?;
    if found == 0 {
        return Err(Unreadable::Broken("its version is 0".to_owned()));
    }
    if found > known {
        return Err(Unreadable::Other(VaultError::NewerVersion { path: path.to_owned(), found }));
    }
    Ok(())
}

/// The place of a JSON error without the text around it, which could be a secret.
pub(super) fn no_json(error: serde_json::Error) -> Unreadable {
    let what = if error.is_eof() { "it ends too early" } else { "it is not the JSON it should be" };
    Unreadable::Broken(format!("{what}: line {}, column {}", error.line(), error.column()))
}
