//! The keys of signed notes (<https://c2sp.org/signed-note>): a name, an Ed25519 key, and an id that is derived from both.
//!
//! ```text
//! NAME+ID+BASE64                the verifier key
//! PRIVATE+KEY+NAME+ID+BASE64    the signer key, in the form of golang.org/x/mod/sumdb/note
//! ```
//!
//! The id is eight hex digits, the base64 a byte for the algorithm and 32 for the key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The byte that stands for Ed25519.
const ED25519: u8 = 1;
const SIGNER_PREFIX: &str = "PRIVATE+KEY+";

/// Why a text is no key, or no name of one. None of them contains a part of a secret key.
#[derive(Debug, thiserror::Error)]
pub enum NoteKeyError {
    /// A name has a form of its own, since lines and keys contain it.
    #[error("the name of a key is a text without spaces, plus signs and control characters")]
    Name,
    /// Not the parts that a verifier key has.
    #[error("a verifier key has the form NAME+ID+KEY, with 8 hex digits as ID and base64 as KEY")]
    VerifierForm,
    /// Not the parts that a signer key has.
    #[error("a signer key has the form PRIVATE+KEY+NAME+ID+KEY, with 8 hex digits as ID and base64 as KEY")]
    SignerForm,
    /// The id is that of another name, another key or another algorithm.
    #[error("the ID of the key does not match its name and its public key")]
    Id,
    /// Only Ed25519 is supported.
    #[error("the key is for algorithm {0}, and only 1 (Ed25519) is supported")]
    Algorithm(u8),
    /// Not 32 bytes, not a point, or one that accepts signatures of others.
    #[error("the key is not a valid Ed25519 public key")]
    PublicKey,
    /// The system has none.
    #[error("no random numbers from the system: {0}")]
    Random(#[from] getrandom::Error),
}

/// What a key is called: usually the origin of the log that it signs for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NoteKeyError::Name`] when it is empty, or contains spaces of any kind, plus signs or control characters.
    pub fn new(name: &str) -> Result<Self, NoteKeyError> {
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(is_wrong) {
            return Err(NoteKeyError::Name);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of a key, with which anyone can check its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: KeyName, key: VerifyingKey) -> Self {
        let encoded = Sha256::new().chain_update(&name.0).chain_update([b'\n', ED25519]).chain_update(key).finalize();
        let id = u32::from_be_bytes([encoded[0], encoded[1], encoded[2], encoded[3]]);
        Self { name, id, key }
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Its id, which each of its signatures contains.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether that is this key's signature of the text.
    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

/// The text of the verifier key.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, id, key) = parts(text).ok_or(NoteKeyError::VerifierForm)?;
        let name = KeyName::new(name)?;
        let (algorithm, key) = key.split_first().ok_or(NoteKeyError::VerifierForm)?;
        if *algorithm != ED25519 {
            return Err(NoteKeyError::Algorithm(*algorithm));
        }
        let key = key.try_into().map_err(|_| NoteKeyError::PublicKey)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| NoteKeyError::PublicKey)?;
        if key.is_weak() {
            return Err(NoteKeyError::PublicKey);
        }
        let key = Self::new(name, key);
        if key.id == id { Ok(key) } else { Err(NoteKeyError::Id) }
    }
}

/// The secret half of a key. It is wiped when dropped and prints as its public half.
pub struct SignerKey {
    signing: SigningKey,
    verifier: VerifierKey,
}

impl SignerKey {
    /// Makes a new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`NoteKeyError::Random`] when there are none.
    pub fn generate(name: KeyName) -> Result<Self, NoteKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)?;
        Ok(Self::from_seed(name, &seed))
    }

    /// The key with that seed, which is the secret.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, signing.verifying_key());
        Self { signing, verifier }
    }

    /// Reads the text of a signer key.
    ///
    /// # Errors
    /// [`NoteKeyError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, NoteKeyError> {
        let rest = text.strip_prefix(SIGNER_PREFIX).ok_or(NoteKeyError::SignerForm)?;
        let (name, id, key) = parts(rest).ok_or(NoteKeyError::SignerForm)?;
        let name = KeyName::new(name)?;
        let (algorithm, seed) = key.split_first().ok_or(NoteKeyError::SignerForm)?;
        if *algorithm != ED25519 {
            return Err(NoteKeyError::Algorithm(*algorithm));
        }
        let key = Self::from_seed(name, seed.try_into().map_err(|_| NoteKeyError::SignerForm)?);
        if key.verifier.id == id { Ok(key) } else { Err(NoteKeyError::Id) }
    }

    /// The text of the signer key: a secret.
    pub fn to_text(&self) -> SecretString {
        let mut key = Zeroizing::new(vec![ED25519]);
        key.extend_from_slice(&*Zeroizing::new(self.signing.to_bytes()));
        let key = Zeroizing::new(STANDARD.encode(&*key));
        format!("{SIGNER_PREFIX}{}+{:08x}+{}", self.verifier.name, self.verifier.id, *key).into()
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text. Ed25519 is deterministic: the same text always gets the same signature.
    pub(super) fn sign(&self, text: &[u8]) -> [u8; Signature::BYTE_SIZE] {
        self.signing.sign(text).to_bytes()
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.verifier)
    }
}

/// Name, id and bytes of a key; each has one spelling.
fn parts(text: &str) -> Option<(&str, u32, Zeroizing<Vec<u8>>)> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let is_hex = id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() != 8 || !is_hex {
        return None;
    }
    Some((name, u32::from_str_radix(id, 16).ok()?, Zeroizing::new(STANDARD.decode(key).ok()?)))
}
