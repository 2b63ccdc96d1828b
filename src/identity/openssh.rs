//! OpenSSH's private-key format, in and out, and why a key cannot be made, read or written.
//!
//! The `ssh-key` crate does the cryptography. What is around it, the armour and the clear-text header, is read here,
//! since only that tells a user *what* is wrong with a file, and keeps a hostile header from costing minutes of key
//! derivation. Format: PROTOCOL.key of OpenSSH.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Cipher, Kdf, LineEnding, PrivateKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::identity::public::{ALGORITHM, printable, take_string, take_u32};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Rounds of bcrypt when writing: the default of `ssh-keygen` since OpenSSH 9.4.
const ROUNDS: u32 = 24;
/// Rounds of bcrypt accepted when reading; each costs some milliseconds, and the number comes from the file.
const MAX_ROUNDS: u32 = 4096;

pub(super) fn decode(pem: &str, passphrase: Option<&SecretString>) -> Result<SigningKey, IdentityError> {
    let bytes = unarmour(pem)?;
    let encrypted = check_header(&bytes)?;
    let key = PrivateKey::from_bytes(&bytes).map_err(|err| damaged(&err))?;

    let key = if encrypted {
        let passphrase = passphrase.ok_or(IdentityError::Encrypted)?;
        if passphrase.expose_secret().is_empty() {
            return Err(IdentityError::WrongPassphrase);
        }
        key.decrypt(passphrase.expose_secret()).map_err(|err| match err {
            ssh_key::Error::Crypto => IdentityError::WrongPassphrase,
            other => damaged(&other),
        })?
    } else {
        key
    };
    match key.key_data() {
        KeypairData::Ed25519(pair) => SigningKey::try_from(pair).map_err(|err| damaged(&err)),
        _ => Err(corrupt("its private part is of another type than its public part")),
    }
}

pub(super) fn encode(signing: &SigningKey, passphrase: Option<&SecretString>) -> Result<SecretString, IdentityError> {
    let unwritable = |err: ssh_key::Error| IdentityError::Encode(err.to_string());
    let pair = KeypairData::Ed25519(Ed25519Keypair::from(signing));
    let mut key = PrivateKey::new(pair, "").map_err(unwritable)?;

    if let Some(passphrase) = passphrase {
        if passphrase.expose_secret().is_empty() {
            return Err(IdentityError::EmptyPassphrase);
        }
        let mut salt = vec![0; 16];
        getrandom::fill(&mut salt)?;
        let check = getrandom::u32()?;
        let kdf = Kdf::Bcrypt { salt, rounds: ROUNDS };
        key = key.encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase.expose_secret()).map_err(unwritable)?;
    }
    let pem = key.to_openssh(LineEnding::LF).map_err(unwritable)?;
    Ok(SecretString::from(pem.as_str()))
}

/// The bytes between the BEGIN and END lines. Line lengths and line ends do not matter: OpenSSH and Go differ in them.
fn unarmour(pem: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let (_, rest) = pem.split_once(BEGIN).ok_or_else(|| IdentityError::NotOpenSsh(recognise(pem)))?;
    let (body, after) = rest.split_once(END).ok_or_else(|| {
        corrupt("its last line (-----END OPENSSH PRIVATE KEY-----) is missing, so the file was cut short")
    })?;
    if body.contains("-----") || after.contains(BEGIN) {
        return Err(corrupt("there is more than one private key in the file"));
    }

    let mut symbols = Zeroizing::new(Vec::with_capacity(body.len()));
    symbols.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    // Decoded in place into one allocation, so that no copy of the key is left behind by a growing vector.
    let mut bytes = Zeroizing::new(vec![0; symbols.len() / 4 * 3 + 3]);
    let length = STANDARD.decode_slice(&*symbols, &mut bytes).map_err(|err| match err {
        base64::DecodeSliceError::DecodeError(base64::DecodeError::InvalidByte(at, _)) => {
            corrupt(&format!("character {} between its BEGIN and END lines is not base64", at + 1))
        }
        _ => corrupt("the base64 between its BEGIN and END lines is incomplete"),
    })?;
    bytes.truncate(length);
    Ok(bytes)
}

/// What a text without OpenSSH's BEGIN line is instead.
fn recognise(text: &str) -> &'static str {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        EMPTY
    } else if text.starts_with("ssh-")
        || text.starts_with("ecdsa-")
        || text.starts_with("sk-")
        || (text.contains("-----BEGIN") && text.contains("PUBLIC KEY-----"))
    {
        PUBLIC
    } else if text.starts_with("PuTTY-User-Key-File") {
        PUTTY
    } else if text.contains("-----BEGIN CERTIFICATE") {
        CERTIFICATE
    } else if text.contains("-----BEGIN") && text.contains("PRIVATE KEY-----") {
        PEM
    } else {
        OTHER
    }
}

/// Reads the clear-text header and says whether the private part is encrypted.
fn check_header(bytes: &[u8]) -> Result<bool, IdentityError> {
    let cut = || corrupt("its data ends too early, so the file was cut short");
    if bytes.is_empty() {
        return Err(corrupt("there is nothing between its BEGIN and END lines"));
    }
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| corrupt("its data does not start with openssh-key-v1"))?;
    let cipher = take_string(&mut rest).ok_or_else(cut)?;
    let kdf = take_string(&mut rest).ok_or_else(cut)?;
    let mut options = take_string(&mut rest).ok_or_else(cut)?;
    let keys = take_u32(&mut rest).ok_or_else(cut)?;
    if keys != 1 {
        return Err(corrupt(&format!("it says that it holds {keys} keys instead of one")));
    }
    let mut public = take_string(&mut rest).ok_or_else(cut)?;
    let algorithm = take_string(&mut public).ok_or_else(cut)?;
    if algorithm != ALGORITHM.as_bytes() {
        return Err(IdentityError::NotEd25519(printable(algorithm)));
    }
    take_string(&mut rest).ok_or_else(cut)?;

    let encrypted = cipher != b"none";
    if !encrypted && kdf != b"none" {
        return Err(corrupt("it names a key derivation but no cipher"));
    }
    if encrypted {
        let name = printable(cipher);
        if name.parse::<Cipher>().is_err() || name == "3des-cbc" {
            return Err(IdentityError::UnsupportedProtection(format!("cipher {name}")));
        }
        if kdf != b"bcrypt" {
            return Err(IdentityError::UnsupportedProtection(format!("key derivation {}", printable(kdf))));
        }
        take_string(&mut options).ok_or_else(cut)?;
        match take_u32(&mut options).ok_or_else(cut)? {
            0 => return Err(corrupt("it asks for 0 rounds of key derivation")),
            rounds if rounds > MAX_ROUNDS => {
                return Err(IdentityError::UnsupportedProtection(format!(
                    "{rounds} rounds of key derivation, more than {MAX_ROUNDS}"
                )));
            }
            _ => {}
        }
    }
    Ok(encrypted)
}

fn damaged(err: &ssh_key::Error) -> IdentityError {
    match err {
        ssh_key::Error::Crypto => corrupt("its private part does not match its own check values"),
        ssh_key::Error::PublicKey => corrupt("its private part does not belong to its public part"),
        ssh_key::Error::TrailingData { remaining }
        | ssh_key::Error::Encoding(ssh_key::encoding::Error::TrailingData { remaining }) => {
            corrupt(&format!("{remaining} bytes follow the end of the key"))
        }
        other => {
            // The message can repeat a name out of the file.
            let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
            let said: String = other.to_string().chars().map(plain).collect();
            corrupt(&format!("its data is not in OpenSSH's format ({said})"))
        }
    }
}

fn corrupt(reason: &str) -> IdentityError {
    IdentityError::Corrupt(reason.to_owned())
}

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
    /// The passphrase does not open the key. Damage to the encrypted part looks the same.
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
    /// What the user can do about it, where there is something. `FILE` in it is a placeholder for the key's file.
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
                "protect it again with `ssh-keygen -p -Z aes256-ctr -a 24 -f FILE`, which leaves the key itself as it is",
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
