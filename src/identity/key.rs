//! The device's secret key.
//!
//! It can be made, read, written and asked to sign, and nothing else: it is not `Clone`, it is wiped when dropped, and
//! it prints as the fingerprint of its public half.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::challenge::{Authorization, Challenge};
use super::openssh;
use super::openssh::IdentityError;
use super::public::PublicKey;

/// An Ed25519 key pair that identifies this device at one origin.
pub struct DeviceKey {
    signing: SigningKey,
    public: PublicKey,
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
