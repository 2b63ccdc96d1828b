//! What can go wrong with a store, each case naming the store or file and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::passphrase::PassphraseError;
use crate::disk::DiskError;

/// A failure to read or write a secret. No variant holds a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no keyring to talk to: no session bus, or no service on it.
    #[error("no keyring can be reached: {0}")]
    KeyringUnavailable(String),
    /// The keyring did not answer in time.
    #[error("the keyring did not answer within {} s", .0.as_secs_f64())]
    KeyringTimeout(Duration),
    /// The keyring is locked, and nobody unlocked it when asked.
    #[error("the keyring is locked: {0}")]
    KeyringLocked(String),
    /// The keyring answered with another failure.
    #[error("the keyring failed: {0}")]
    Keyring(String),
    /// The passphrase does not open the encrypted file.
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase {
        /// The encrypted file.
        path: PathBuf,
    },
    /// The encrypted file needs a passphrase and no source has one.
    #[error("{} needs a passphrase, and none was given", path.display())]
    NoPassphrase {
        /// The encrypted file.
        path: PathBuf,
    },
    /// A passphrase source failed.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// A store file is damaged. Nothing in it was changed.
    #[error("{} is damaged ({reason}){}", path.display(), crate::disk::location_note(aside.as_deref()))]
    Corrupt {
        /// Where the file was expected.
        path: PathBuf,
        /// Where it was moved to; `None` when it could not be moved and lies where it was.
        aside: Option<PathBuf>,
        /// What is wrong with it.
        reason: String,
    },
    /// A store file is of a version this program does not know. It is left as it is.
    #[error("{} was written by a newer ollama-auth (version {found})", path.display())]
    NewerVersion {
        /// The store file.
        path: PathBuf,
        /// The version it declares.
        found: u64,
    },
    /// Other accounts can read or change a store file, so it is not trusted.
    #[error("{} is open to other accounts (mode {mode:04o})", path.display())]
    Permissions {
        /// The store file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
    /// A worker thread could not be started or ended early.
    #[error("the credential store failed: {0}")]
    Internal(String),
}

impl From<DiskError> for VaultError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Exposed { path, mode } => Self::Permissions { path, mode },
            DiskError::Broken { path, aside, reason } => Self::Corrupt { path, aside, reason },
            DiskError::NewerVersion { path, found, .. } => Self::NewerVersion { path, found },
            other => Self::Disk(other),
        }
    }
}

impl VaultError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::KeyringUnavailable(_) => {
                "cron, ssh and containers have no session bus: run `ollama-auth store move --to file` once \
                 where the keyring works, or use --store file (OLLAMA_AUTH_STORE=file) from the start"
            }
            Self::KeyringTimeout(_) => {
                "look for an unlock prompt on another screen, or restart the keyring service; \
                 where nobody can answer a prompt, use --store file (`ollama-auth store move --to file`)"
            }
            Self::KeyringLocked(_) => {
                "unlock it (logging in to the desktop does) and run the command again; where nobody can \
                 answer its prompt, as in cron, use `ollama-auth store move --to file` while it is unlocked"
            }
            Self::Keyring(_) => "look into the keyring with the system's password manager, or use --store file",
            Self::WrongPassphrase { .. } => {
                "the passphrase comes from OLLAMA_AUTH_PASSPHRASE, a passphrase file, \
                 $CREDENTIALS_DIRECTORY or a prompt, the first of them that is set: check that one; \
                 if it is lost, move the file away and sign in again"
            }
            Self::NoPassphrase { .. } => {
                "set OLLAMA_AUTH_PASSPHRASE, name a passphrase file, or run the command in a terminal"
            }
            Self::Corrupt { aside: Some(_), .. } => {
                "restore it from a backup, or sign in again: the next sign-in starts a new file"
            }
            Self::Corrupt { path, .. } => {
                return Some(format!("move {} away and sign in again", path.display()));
            }
            Self::NewerVersion { .. } => "update ollama-auth",
            Self::Permissions { path, .. } => return Some(crate::disk::chmod(path)),
            Self::Disk(error) => return error.hint(),
            Self::Passphrase(error) => return error.hint(),
            Self::Internal(_) => return None,
        };
        Some(text.to_owned())
    }
}
