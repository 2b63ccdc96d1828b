//! What can go wrong with a store, each case naming the store or file and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::passphrase::{PassphraseError, PassphraseOrigin};
use crate::disk::DiskError;

/// A failure to read or write a secret. No variant holds a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// No keyring is available: no session bus, or no service on it.
    #[error("no keyring can be reached: {0}")]
    KeyringUnavailable(String),
    /// The keyring did not answer in time.
    #[error("the keyring did not answer within {} s", .0.as_secs_f64())]
    KeyringTimeout(Duration),
    /// The keyring is locked, and the person did not unlock it.
    #[error("the keyring is locked: {0}")]
    KeyringLocked(String),
    /// The keyring answered with another failure.
    #[error("the keyring failed: {0}")]
    Keyring(String),
    /// The Linux kernel's keyring cannot be used.
    #[error("the kernel keyring cannot be used: {0}")]
    KernelKeyring(String),
    /// The passphrase does not open the encrypted file.
    #[error("wrong passphrase for {} (from {origin})", path.display())]
    WrongPassphrase {
        /// The encrypted file.
        path: PathBuf,
        /// Where the passphrase came from.
        origin: PassphraseOrigin,
    },
    /// The encrypted file needs a passphrase and no source has one.
    #[error("{} needs a passphrase, but none is set", path.display())]
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
        /// Where it was moved to; `None` when it could not be moved.
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
                "cron, ssh and containers cannot reach a keyring; where the keyring works, run: ollama-auth store move --to file\n\
                 or use an encrypted file from the start: --store file or OLLAMA_AUTH_STORE=file"
            }
            Self::KeyringTimeout(_) => {
                "look for an unlock prompt on another screen, or restart the keyring service\n\
                 for cron, use the encrypted file instead: ollama-auth store move --to file"
            }
            Self::KeyringLocked(_) => {
                "unlock the keyring (log in to the desktop) and run the command again\n\
                 for cron, while it is unlocked, run: ollama-auth store move --to file"
            }
            Self::Keyring(_) => "check the keyring with the system's password manager, or use --store file",
            Self::KernelKeyring(_) => {
                "write the passphrase to a file that only you can read, and set OLLAMA_AUTH_PASSPHRASE_FILE to that file"
            }
            Self::WrongPassphrase { path, origin } => {
                let fix = match origin {
                    PassphraseOrigin::Prompt => "run the command again".to_owned(),
                    origin => format!("correct the passphrase in {origin}"),
                };
                return Some(format!(
                    "{fix}; if the passphrase is lost, move {} away and sign in again",
                    path.display()
                ));
            }
            Self::NoPassphrase { .. } => {
                "set OLLAMA_AUTH_PASSPHRASE, pass --passphrase-file FILE, or run the command in a terminal"
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
