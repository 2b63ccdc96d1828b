//! Where the passphrase of the encrypted file comes from: values that were read elsewhere, a file, systemd's
//! credentials folder, or a prompt. Nothing here reads the environment or the terminal.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::disk::{self, DiskError, Exposure};

/// The name of the passphrase in `$CREDENTIALS_DIRECTORY`.
pub const PASSPHRASE_CREDENTIAL: &str = "ollama-auth-passphrase";
const VARIABLE: &str = "OLLAMA_AUTH_PASSPHRASE";

/// The purpose of a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphrasePurpose {
    /// To open an existing file.
    Unlock,
    /// To open an existing file, after a passphrase that was typed did not.
    Retry,
    /// To protect a new file; a prompt should ask twice.
    Create,
}

/// Why a source that was set gave no passphrase.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// The named file does not exist.
    #[error("the passphrase file {} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read, or others can.
    #[error("the passphrase cannot be used: {0}")]
    Unreadable(#[source] DiskError),
    /// The file is not text.
    #[error("the passphrase in {} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The source holds an empty passphrase.
    #[error("the passphrase from {origin} is empty")]
    Empty {
        /// Its source.
        origin: PassphraseOrigin,
    },
    /// The person broke off the prompt with Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The prompt failed.
    #[error("no passphrase was entered: {0}")]
    Prompt(String),
}

impl PassphraseError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable(error) => error.hint(),
            Self::Missing { path } => {
                Some(format!("write the passphrase to {}, mode 0600, or name another file", path.display()))
            }
            Self::Empty { origin: PassphraseOrigin::Variable } => {
                Some(format!("give {VARIABLE} a value, or unset it to use another source"))
            }
            Self::NotText { .. } | Self::Empty { .. } | Self::Interrupted | Self::Prompt(_) => None,
        }
    }
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseOrigin {
    /// `OLLAMA_AUTH_PASSPHRASE`.
    Variable,
    /// A file that was named, or the one in `$CREDENTIALS_DIRECTORY`.
    File(PathBuf),
    /// A person typed it.
    Prompt,
}

impl fmt::Display for PassphraseOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(VARIABLE),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Prompt => f.write_str("the prompt"),
        }
    }
}

/// A passphrase and where it comes from.
#[derive(Debug)]
pub struct Passphrase {
    /// The passphrase, never empty.
    pub secret: SecretString,
    /// Its source.
    pub origin: PassphraseOrigin,
}

/// Something that can be asked for the passphrase of the encrypted file.
pub trait PassphraseSource: Send + Sync {
    /// Gives the passphrase, or `None` when no source is set. May block, for a prompt.
    ///
    /// # Errors
    /// A source that is set but gives nothing usable is an error, not a reason to try the next.
    fn passphrase(&self, purpose: PassphrasePurpose) -> Result<Option<Passphrase>, PassphraseError>;

    /// Whether it gives one without asking a person.
    fn is_given(&self) -> bool;
}

/// A function that asks a person; `Ok(None)` when prompting is impossible.
pub type PassphrasePrompt =
    Box<dyn Fn(PassphrasePurpose) -> Result<Option<SecretString>, PassphraseError> + Send + Sync>;

/// The sources in the order in which they are tried; the first that is set decides.
#[derive(Default)]
pub struct Passphrases {
    /// The value of `OLLAMA_AUTH_PASSPHRASE`.
    pub variable: Option<SecretString>,
    /// A file that holds the passphrase and no more; a trailing line break is cut off.
    pub file: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`; used when it holds a file `ollama-auth-passphrase`.
    pub credentials_directory: Option<PathBuf>,
    /// Asks a person.
    pub prompt: Option<PassphrasePrompt>,
}

impl Passphrases {
    /// Whether a person is asked, since no other source is set.
    pub fn prompts(&self) -> bool {
        self.prompt.is_some() && !self.is_given()
    }
}

impl PassphraseSource for Passphrases {
    fn is_given(&self) -> bool {
        let credential = self.credentials_directory.as_ref().map(|folder| folder.join(PASSPHRASE_CREDENTIAL));
        self.variable.is_some() || self.file.is_some() || credential.is_some_and(|file| file.exists())
    }

    fn passphrase(&self, purpose: PassphrasePurpose) -> Result<Option<Passphrase>, PassphraseError> {
        if let Some(value) = &self.variable {
            return not_empty(value.clone(), PassphraseOrigin::Variable).map(Some);
        }
        if let Some(path) = &self.file {
            let secret = read_passphrase_file(path)?;
            return Ok(Some(Passphrase { secret, origin: PassphraseOrigin::File(path.clone()) }));
        }
        if let Some(folder) = &self.credentials_directory {
            let found = from_file(&folder.join(PASSPHRASE_CREDENTIAL), Exposure::Group)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match &self.prompt {
            None => Ok(None),
            Some(prompt) => prompt(purpose)?.map(|typed| not_empty(typed, PassphraseOrigin::Prompt)).transpose(),
        }
    }
}

/// The passphrase in a file that a person named; a trailing line break is cut off.
///
/// # Errors
/// A file that does not exist, is open to other accounts, or holds no passphrase.
pub fn read_passphrase_file(path: &Path) -> Result<SecretString, PassphraseError> {
    let found = from_file(path, Exposure::Owner)?.ok_or_else(|| PassphraseError::Missing { path: path.to_owned() })?;
    Ok(found.secret)
}

fn from_file(path: &Path, exposure: Exposure) -> Result<Option<Passphrase>, PassphraseError> {
    let bytes = disk::read_input(path, exposure).map_err(PassphraseError::Unreadable)?;
    let Some(bytes) = bytes.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| PassphraseError::NotText { path: path.to_owned() })?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    not_empty(SecretString::from(line), PassphraseOrigin::File(path.to_owned())).map(Some)
}

fn not_empty(secret: SecretString, origin: PassphraseOrigin) -> Result<Passphrase, PassphraseError> {
    if secret.expose_secret().is_empty() {
        return Err(PassphraseError::Empty { origin });
    }
    Ok(Passphrase { secret, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(path: &Path, content: &[u8]) {
        disk::write_atomic(path, content).unwrap();
    }

    fn ask(sources: &Passphrases) -> Option<String> {
        let found = sources.passphrase(PassphrasePurpose::Unlock).unwrap();
        found.map(|found| found.secret.expose_secret().to_owned())
    }

    fn refusal(sources: &Passphrases) -> String {
        let error = sources.passphrase(PassphrasePurpose::Unlock).unwrap_err();
        error.to_string()
    }

    #[test]
    fn the_first_source_that_is_set_decides() {
        let folder = tempfile::tempdir().unwrap();
        private(&folder.path().join("file"), b"from file\r\n");
        private(&folder.path().join(PASSPHRASE_CREDENTIAL), b"from credentials\n\n");
        let mut sources = Passphrases {
            variable: Some("from variable".into()),
            file: Some(folder.path().join("file")),
            credentials_directory: Some(folder.path().to_owned()),
            prompt: Some(Box::new(|_| Ok(Some("from prompt".into())))),
        };
        assert_eq!(ask(&sources).unwrap(), "from variable");
        sources.variable = None;
        assert_eq!(ask(&sources).unwrap(), "from file");
        sources.file = None;
        // One line break is cut off, no more: the rest could be meant.
        assert_eq!(ask(&sources).unwrap(), "from credentials\n");
        sources.credentials_directory = Some(folder.path().join("none"));
        assert_eq!(ask(&sources).unwrap(), "from prompt");
        sources.prompt = None;
        assert_eq!(ask(&sources), None);
    }

    #[test]
    fn a_source_without_a_usable_passphrase_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let with_file = |name: &str, content: &[u8]| {
            let file = folder.path().join(name);
            private(&file, content);
            Passphrases { file: Some(file), ..Passphrases::default() }
        };
        assert!(refusal(&with_file("empty", b"\n")).ends_with("empty is empty"));
        assert!(refusal(&with_file("binary", b"\xff")).ends_with("is not UTF-8 text"));
        let missing = Passphrases { file: Some(folder.path().join("missing")), ..Passphrases::default() };
        assert!(refusal(&missing).ends_with("missing does not exist"));
        let empty = Passphrases { variable: Some("".into()), ..Passphrases::default() };
        assert!(refusal(&empty).contains(VARIABLE));
    }

    #[cfg(unix)]
    #[test]
    fn a_passphrase_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        private(&file, b"secret");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let sources = Passphrases { file: Some(file), ..Passphrases::default() };
        let error = sources.passphrase(PassphrasePurpose::Unlock).unwrap_err();
        assert!(error.to_string().contains("open to other accounts"));
        assert!(error.hint().unwrap().starts_with("run: chmod 600 "));
    }
}
