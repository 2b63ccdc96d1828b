//! Signed notes (<https://c2sp.org/signed-note>): a text, an empty line, and a line for each signature.
//!
//! ```text
//! a text of one or more lines
//!
//! — NAME BASE64
//! ```
//!
//! The base64 is the id of the key (four bytes) and the signature. Nothing of the text may be believed before [`Note::verify`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note_key::{KeyName, SignerKey, VerifierKey};

/// What a line of a signature begins with: an em dash and a space.
pub(super) const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note of a log.
    #[error("the signed note is longer than {} bytes", Note::MAX_LENGTH)]
    TooLong,
    /// A text and nothing else.
    #[error("the signed note is not UTF-8, or contains control characters")]
    NotText,
    /// Text and signatures are divided by an empty line, and every line has an end.
    #[error("the signed note does not end with an empty line and lines of signatures")]
    NoSignatures,
    /// A line behind the empty one that is no signature.
    #[error("line {0} of the signatures is not a signature")]
    SignatureLine(usize),
    /// More than any log has signers.
    #[error("the signed note has more than {} signatures", Note::MAX_SIGNATURES)]
    TooManySignatures,
    /// The text was changed, or the signature.
    #[error("the signature of key {name}+{id:08x} does not match the text")]
    BadSignature {
        /// The key's name.
        name: KeyName,
        /// The key's id.
        id: u32,
    },
    /// No signature is of a known key.
    #[error("none of the known keys has signed this")]
    NotSigned,
    /// Nothing says which of them is meant.
    #[error("two of the known keys are both called {name}+{id:08x}")]
    AmbiguousKey {
        /// Their name.
        name: KeyName,
        /// Their id.
        id: u32,
    },
    /// Nothing to sign with.
    #[error("no key to sign with")]
    NoKey,
    /// Such a text could not be read back.
    #[error("only a text that ends with a line break, without control characters, can be signed")]
    Unsignable,
}

/// A signature as a note contains it, of a key that may be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: KeyName,
    id: u32,
    signature: Vec<u8>,
}

/// A text with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// The longest note that is read, in bytes.
    pub const MAX_LENGTH: usize = 1_000_000;
    /// The most signatures that are read.
    pub const MAX_SIGNATURES: usize = 100;

    /// Signs a text with each of the keys.
    ///
    /// # Errors
    /// [`NoteError::NoKey`] without a key, [`NoteError::Unsignable`] for a text that no note can contain, and what
    /// [`parse`](Self::parse) refuses because it is too much.
    pub fn sign(text: &str, keys: &[SignerKey]) -> Result<Self, NoteError> {
        if keys.is_empty() {
            return Err(NoteError::NoKey);
        }
        if !text.ends_with('\n') || !is_plain(text) {
            return Err(NoteError::Unsignable);
        }
        if keys.len() > Self::MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signature = |key: &SignerKey| NoteSignature {
            name: key.verifier().name().clone(),
            id: key.verifier().id(),
            signature: key.sign(text.as_bytes()).to_vec(),
        };
        let note = Self { text: text.to_owned(), signatures: keys.iter().map(signature).collect() };
        if note.to_string().len() > Self::MAX_LENGTH {
            return Err(NoteError::TooLong);
        }
        Ok(note)
    }

    /// Reads a note. Its signatures are not checked.
    ///
    /// # Errors
    /// [`NoteError`] for anything that is not written exactly as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_LENGTH {
            return Err(NoteError::TooLong);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if !is_plain(whole) {
            return Err(NoteError::NotText);
        }
        // The text may have empty lines too; the last one divides.
        let end = whole.rfind("\n\n").ok_or(NoteError::NoSignatures)? + 1;
        let (text, lines) = (&whole[..end], &whole[end + 1..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let mut signatures = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == Self::MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine(at + 1))?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, with the line break at its end. Anyone can have written it until [`verify`](Self::verify) says otherwise.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The known keys that have signed the text: one at least. Signatures of other keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when one that claims to be of a known key is not, even if others are good;
    /// [`NoteError::NotSigned`] when there is none of a known key; [`NoteError::AmbiguousKey`].
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for NoteSignature { name, id, signature } in &self.signatures {
            let mut candidates = known.iter().filter(|key| key.name() == name && key.id() == *id);
            let Some(key) = candidates.next() else { continue };
            if candidates.any(|other| other != key) {
                return Err(NoteError::AmbiguousKey { name: name.clone(), id: *id });
            }
            if !key.has_signed(self.text.as_bytes(), signature) {
                return Err(NoteError::BadSignature { name: name.clone(), id: *id });
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        if signers.is_empty() { Err(NoteError::NotSigned) } else { Ok(signers) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, signature } in &self.signatures {
            let bytes = [&id.to_be_bytes()[..], signature].concat();
            writeln!(f, "{SIGNATURE_PREFIX}{name} {}", STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (id, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        let name = KeyName::new(name).ok()?;
        Some(Self { name, id: u32::from_be_bytes(*id), signature: signature.to_vec() })
    }
}

/// Whether no character is below a space, but for line breaks.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}
