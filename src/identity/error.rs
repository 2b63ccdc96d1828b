//! Why a device key cannot be made, read or written, and what to do about it.

use thiserror::Error;

// What a text is that is not an OpenSSH private key.
pub(super) const EMPTY: &str = "an empty file";
pub(super) const PUBLIC: &str = "a public key";
pub(super) const PEM: &str = "a key in the older PEM format";
pub(super) const PUTTY: &str = "a PuTTY key";
pub(super) const CERTIFICATE: &str = "a certificate";
pub(super) const OTHER: &str = "something else: its BEGIN line is missing";

/// Why a device key cannot be made, read or written. No message repeats any of the key's text.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The text is not an OpenSSH private key at all; holds what it looks like instead.
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
            Self::NotOpenSsh(what) => hint_for_foreign(what),
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

fn hint_for_foreign(what: &str) -> Option<&'static str> {
    match what {
        PUBLIC => Some("name the private key: the file of the same name without .pub"),
        PEM => Some("convert a copy of it with `ssh-keygen -p -f FILE`, which writes OpenSSH's format"),
        PUTTY => Some("convert it with `puttygen FILE -O private-openssh-new -o NEWFILE`"),
        _ => Some("name an OpenSSH private key, such as ~/.ollama/id_ed25519"),
    }
}
