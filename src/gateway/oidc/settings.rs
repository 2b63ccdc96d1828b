//! How issuers are to be asked, and what it means when one does not answer.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::issuer_url::IssuerUrl;

/// How an issuer is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name.
    pub url: IssuerUrl,
    /// Where its keys are.
    pub keys: KeySource,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Where its description says.
    #[default]
    Discovery,
    /// At another address.
    Url(IssuerUrl),
    /// In a file: the issuer cannot be reached from here.
    File(PathBuf),
}

/// How often issuers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshRules {
    /// The shortest time between two reads of an issuer's keys, whatever key ids tokens name.
    pub min_interval: Duration,
    /// How long keys are used while they cannot be read again.
    pub grace: Duration,
}

impl Default for RefreshRules {
    fn default() -> Self {
        Self { min_interval: Duration::from_secs(30), grace: Duration::from_secs(24 * 60 * 60) }
    }
}

/// An issuer's keys are not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the keys of {issuer} cannot be read: {reason}")]
pub struct IssuerError {
    /// Whose.
    pub issuer: IssuerUrl,
    /// What is wrong.
    pub reason: String,
}
