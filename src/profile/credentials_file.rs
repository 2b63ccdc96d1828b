//! The credentials file that a call names (`--credentials`, `OLLAMA_AUTH_CREDENTIALS`): a host and the key for it, as JSON.
//! It is made for services and CI, so a file that others can read is refused, and nothing of its content is ever repeated in
//! an error. Its form is documented in docs/reference/credentials-file.md.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::address::{BaseUrl, HostError};
use crate::disk::{self, DiskError, Exposure};

/// A longer text, in bytes, is not a key.
const LONGEST_KEY: usize = 16 * 1024;

/// A credentials file that was named, read when it is first needed.
#[derive(Debug)]
pub struct CredentialsFile {
    path: PathBuf,
    by_flag: bool,
    exposure: Exposure,
    read: OnceCell<Credentials>,
}

/// What a credentials file holds.
#[derive(Debug)]
pub struct Credentials {
    /// The host that the key is for.
    pub url: BaseUrl,
    /// The key, or the token: both are sent as a bearer token.
    pub key: SecretString,
}

/// Why a credentials file cannot be used. No message repeats its content, but for the host.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// There is no such file.
    #[error("the credentials file {} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read, or others can read it.
    #[error("the credentials file cannot be used: {0}")]
    Unreadable(#[source] DiskError),
    /// It is not JSON of that form.
    #[error("the credentials file {} has the wrong format (line {line}, column {column})", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where the trouble is, from 1; 0 where the JSON reader cannot tell.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// Something in it is missing or makes no sense.
    #[error("the credentials file {} {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Its host cannot be read.
    #[error("the host in the credentials file {}: {source}", path.display())]
    Host {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: HostError,
    },
}

impl CredentialsError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => {
                Some("create it with mode 0600, or pass another file with --credentials".to_owned())
            }
            Self::Unreadable(error) => error.hint(),
            Self::Form { .. } | Self::Content { .. } | Self::Host { .. } => {
                Some(r#"it is JSON such as {"host":"https://ollama.com","key":"…"}"#.to_owned())
            }
        }
    }
}

/// The members that mean something; others are for other programs.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    key: Option<Secret>,
    #[serde(default)]
    token: Option<Secret>,
}

struct Secret(SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl CredentialsFile {
    /// The file at `path`, named by the flag or else by the variable. `credentials_directory` is where systemd puts what a
    /// service may read: its access control list shows up in a file's group bits.
    pub fn new(path: PathBuf, by_flag: bool, credentials_directory: Option<&Path>) -> Self {
        let from_systemd = credentials_directory.is_some_and(|folder| path.parent() == Some(folder));
        let exposure = if from_systemd { Exposure::Group } else { Exposure::Owner };
        Self { path, by_flag, exposure, read: OnceCell::new() }
    }

    /// The same file, to be read again.
    #[cfg(feature = "gateway")]
    pub fn unread(&self) -> Self {
        Self { path: self.path.clone(), by_flag: self.by_flag, exposure: self.exposure, read: OnceCell::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which other accounts may be able to read it.
    pub fn exposure(&self) -> Exposure {
        self.exposure
    }

    /// Whether `--credentials` names it, and not the variable.
    pub fn is_named_by_flag(&self) -> bool {
        self.by_flag
    }

    /// What it holds. It is read once: it may be a pipe.
    ///
    /// # Errors
    /// Everything in [`CredentialsError`].
    pub fn read(&self) -> Result<&Credentials, CredentialsError> {
        if let Some(read) = self.read.get() {
            return Ok(read);
        }
        let bytes = disk::read_input(&self.path, self.exposure).map_err(CredentialsError::Unreadable)?;
        let bytes = bytes.map(Zeroizing::new).ok_or_else(|| CredentialsError::Missing { path: self.path.clone() })?;
        let read = parse(&self.path, &bytes)?;
        Ok(self.read.get_or_init(|| read))
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Credentials, CredentialsError> {
    let content = |what| CredentialsError::Content { path: path.to_owned(), what };
    if bytes.trim_ascii().is_empty() {
        return Err(content("is empty"));
    }
    // The reader's own words may quote what it read: where it stopped has to do.
    let form: Form = serde_json::from_slice(bytes).map_err(|error| CredentialsError::Form {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let host = form.host.filter(|host| !host.trim().is_empty()).ok_or_else(|| content("names no host"))?;
    let url = BaseUrl::parse(&host).map_err(|source| CredentialsError::Host { path: path.to_owned(), source })?;
    if url.warning.is_some() {
        return Err(content("names a host whose port is not a number from 1 to 65535"));
    }
    let key = match (form.key, form.token) {
        (Some(_), Some(_)) => return Err(content("contains both a key and a token; only one of them is allowed")),
        (Some(secret), None) | (None, Some(secret)) => secret.0,
        (None, None) => return Err(content("contains neither a key nor a token")),
    };
    let text = key.expose_secret().trim();
    if text.is_empty() || text.len() > LONGEST_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(content("contains an invalid key: a key is one word of printable ASCII characters"));
    }
    Ok(Credentials { url: url.url, key: SecretString::from(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Credentials, CredentialsError> {
        parse(Path::new("/f.json"), text.as_bytes())
    }

    #[test]
    fn a_key_or_a_token_and_its_host() {
        let found = read(r#"{"host":"https://gw.example/base","key":" abc ","more":[1]}"#).unwrap();
        assert_eq!((found.url.to_string().as_str(), found.key.expose_secret()), ("https://gw.example/base", "abc"));
        assert_eq!(read(r#"{"host":"ollama.com","token":"t"}"#).unwrap().url, BaseUrl::ollama_com());
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for bad in [
            "",
            "hunter2",
            r#"["hunter2"]"#,
            r#"{"host":"h"}"#,
            r#"{"key":"hunter2"}"#,
            r#"{"host":" ","key":"hunter2"}"#,
            r#"{"host":"h","key":"hunter2","token":"hunter2"}"#,
            r#"{"host":"h","key":"hunter2 hunter2"}"#,
            r#"{"host":"h","key":"hunter2","key":"hunter2"}"#,
            r#"{"host":"h","key":["hunter2"]}"#,
            r#"{"host":"h","key":{"hunter2":1}}"#,
            r#"{"host":7,"key":"hunter2"}"#,
            r#"{"host":"u:hunter2@h","key":"x"}"#,
            r#"{"host":"h:hunter","key":"x"}"#,
            r#"{"host":"h","key":"hunter2"} hunter2"#,
        ] {
            let error = read(bad).map(|_| ()).unwrap_err();
            let shown = format!("{error} {error:?} {:?}", error.hint());
            assert!(!shown.contains("hunter"), "{bad}: {shown}");
            assert!(shown.contains("/f.json"), "{shown}");
        }
    }
}
