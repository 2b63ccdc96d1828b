//! The file with the keys that checkpoints are signed with: one line for each, in the form of C2SP signed notes. While a key is being
//! replaced there are two.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::disk::{DiskError, read_private, write_given};
use crate::transparency_log::{KeyName, NoteKeyError, SignerKey};

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read or written, or others can read it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not there.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// It holds something else.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the keys.
///
/// # Errors
/// [`KeyFileError`]: not there, readable by others, or no keys.
pub fn read_keys(path: &Path) -> Result<Vec<SignerKey>, KeyFileError> {
    let bytes = Zeroizing::new(read_private(path)?.ok_or_else(|| KeyFileError::Missing(path.to_owned()))?);
    let content = |reason: String| KeyFileError::Content { path: path.to_owned(), reason };
    let text = std::str::from_utf8(&bytes).map_err(|_| content("it is not text".to_owned()))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let keys = lines.map(SignerKey::parse).collect::<Result<Vec<_>, NoteKeyError>>();
    let keys = keys.map_err(|error| content(error.to_string()))?;
    if keys.is_empty() || keys.len() > 2 {
        return Err(content("it must hold one key, or two while a key is replaced".to_owned()));
    }
    Ok(keys)
}

/// Makes a key with the name of a log, and a file for it that only its owner can read. `false` if there is a file: it stays.
///
/// # Errors
/// [`KeyFileError`].
pub fn create_key(path: &Path, origin: &str) -> Result<bool, KeyFileError> {
    let content = |error: NoteKeyError| KeyFileError::Content { path: path.to_owned(), reason: error.to_string() };
    let key = KeyName::new(origin).and_then(SignerKey::generate).map_err(content)?;
    let text = Zeroizing::new(format!("{}\n", key.to_text().expose_secret()));
    Ok(write_given(path, text.as_bytes(), false)?)
}
