//! The names of stores and of their entries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::Origin;

/// A place where secrets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// The operating system's keyring.
    Keyring,
    /// A file encrypted with a passphrase.
    File,
    /// A file that only its mode protects.
    Plaintext,
}

impl StoreKind {
    /// Every kind, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Keyring, Self::File, Self::Plaintext];

    /// The word for it on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::File => "file",
            Self::Plaintext => "plaintext",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a store; choose keyring, file or plaintext")]
pub struct UnknownStore(String);

impl FromStr for StoreKind {
    type Err = UnknownStore;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownStore(word.to_owned()))
    }
}

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// An Ed25519 device key, as an OpenSSH private key.
    DeviceKey,
    /// The successor of a device key during a rotation.
    NextDeviceKey,
    /// An API key.
    ApiKey,
    /// The successor of an API key during a rotation.
    NextApiKey,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DeviceKey => "device-key",
            Self::NextDeviceKey => "next-device-key",
            Self::ApiKey => "api-key",
            Self::NextApiKey => "next-api-key",
        })
    }
}

/// The name of a secret in a store, written `device-key:<profile>:<origin>`.
///
/// The origin is part of it, so that editing the host of a profile cannot send a secret elsewhere. No two
/// identifiers are written alike: the origin begins at the last `:http://` or `:https://`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    /// What the secret is.
    pub kind: EntryKind,
    /// The profile it belongs to.
    pub profile: String,
    /// The only origin it may be sent to.
    pub origin: Origin,
}

impl EntryId {
    /// Names a secret.
    pub fn new(kind: EntryKind, profile: impl Into<String>, origin: Origin) -> Self {
        Self { kind, profile: profile.into(), origin }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.profile, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in StoreKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let error = "Keyring".parse::<StoreKind>().unwrap_err();
        assert!(error.to_string().contains("keyring, file or plaintext"));
    }

    #[test]
    fn an_entry_is_named_by_kind_profile_and_origin() {
        let origin: Origin = "https://ollama.com".parse().unwrap();
        let id = EntryId::new(EntryKind::ApiKey, "work:8443", origin);
        assert_eq!(id.to_string(), "api-key:work:8443:https://ollama.com");
    }
}
