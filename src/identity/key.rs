//! The device's secret key.
//!
//! It can be made, read, written and asked to sign, and nothing else: it is not `Clone`, it is wiped when dropped, and
//! it prints as the fingerprint of its public half.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use secrecy::SecretString;
use thiserror::Error;
use zeroize::Zeroizing;

use super::challenge::{Authorization, Challenge};
use super::openssh;
use super::public::PublicKey;

/// An Ed25519 key pair that identifies this device at one origin.
pub struct DeviceKey {
    signing: SigningKey,
    public: PublicKey,
}

/// Why a device key cannot be made, read or written. No message repeats any of the key's text.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The text is no OpenSSH private key at all; holds what it looks like instead.
    #[error("this is not an OpenSSH private key but {0}")]
    NotOpenSsh(&'static str),
    /// A key of another kind; holds its algorithm, or `unknown`.
    #[error("the key is of type {0}, and an Ollama device key must be ssh-ed25519")]
    NotEd25519(String),
    /// The key is protected and no passphrase was given.
    #[error("the key is protected by a passphrase, and none was given")]
    Encrypted,
    /// The passphrase does not open the key. Damage to the encrypted part cannot be told from this.
    #[error("wrong passphrase for the key (or its encrypted part is damaged)")]
    WrongPassphrase,
    /// The key is protected by means that are not supported; holds which.
    #[error("the key is protected in a way that is not supported: {0}")]
    UnsupportedProtection(String),
    /// It begins as an OpenSSH private key and then breaks the format; holds where and how.
    #[error("the private key is damaged: {0}")]
    Corrupt(String),
    /// An empty passphrase would silently mean no protection at all.
    #[error("the passphrase is empty, which would leave the key unprotected")]
    EmptyPassphrase,
    /// The operating system gave no random bytes.
    #[error("no random numbers from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// The key could not be written in OpenSSH's format; holds the reason.
    #[error("cannot write the key in OpenSSH's format: {0}")]
    Encode(String),
}

impl IdentityError {
    /// What the user can do about it, where there is something. `FILE` in it stands for the key's file.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOpenSsh(what) => openssh::hint_for_foreign(what),
            Self::NotEd25519(_) => {
                Some("make a key with `ssh-keygen -t ed25519 -f FILE`, or let `ollama-auth signin` make one")
            }
            Self::Encrypted => Some("give the passphrase that the key was protected with"),
            Self::WrongPassphrase => Some(
                "check the passphrase with `ssh-keygen -y -f FILE`; if it is right, restore the file from a backup",
            ),
            Self::UnsupportedProtection(_) => Some(
                "protect it anew with `ssh-keygen -p -Z aes256-ctr -a 24 -f FILE`, which leaves the key itself as it is",
            ),
            Self::Corrupt(_) => {
                Some("restore the file from a backup, or sign in with a new key; the damaged file is left as it is")
            }
            Self::EmptyPassphrase => Some("give a passphrase, or ask for an unprotected key by name"),
            Self::Random(_) | Self::Encode(_) => None,
        }
    }
}

impl DeviceKey {
    /// Makes a new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`IdentityError::Random`] when there are none.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)?;
        Ok(Self::from_signing(SigningKey::from_bytes(&seed)))
    }

    /// Reads an OpenSSH private key (`-----BEGIN OPENSSH PRIVATE KEY-----`), as `ssh-keygen` and stock Ollama write it.
    /// A passphrase is used only if the key is protected by one.
    ///
    /// # Errors
    /// Any [`IdentityError`] but `EmptyPassphrase`, `Random` and `Encode`.
    pub fn from_openssh(pem: &str, passphrase: Option<&SecretString>) -> Result<Self, IdentityError> {
        openssh::decode(pem, passphrase).map(Self::from_signing)
    }

    /// Writes the key in OpenSSH's format with an empty comment, protected if there is a passphrase (AES-256-CTR with
    /// a key from 24 rounds of bcrypt, today's default of `ssh-keygen`).
    ///
    /// # Errors
    /// [`IdentityError::EmptyPassphrase`], [`IdentityError::Random`] or [`IdentityError::Encode`].
    pub fn to_openssh(&self, passphrase: Option<&SecretString>) -> Result<SecretString, IdentityError> {
        openssh::encode(&self.signing, passphrase)
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a challenge. Ed25519 is deterministic: the same challenge always yields the same header.
    pub fn authorize(&self, challenge: &Challenge) -> Authorization {
        let signature = self.signing.sign(challenge.as_str().as_bytes());
        Authorization::new(&self.public, &signature)
    }

    fn from_signing(signing: SigningKey) -> Self {
        let public = PublicKey::of(&signing);
        Self { signing, public }
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.public.fingerprint())
    }
}
