//! Checking a signed request.
//!
//! Strict where Ed25519 leaves room: one encoding per key and per signature, no keys or signatures that fit more than
//! one message. Freshness of `ts` and whether the key is known are the caller's to check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signature;
use thiserror::Error;

use super::challenge::Challenge;
use super::public::{PublicKey, PublicKeyError};

/// Why a header does not prove who sent a request. No message repeats any of the header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// There is no colon in it, so it is some other credential, such as an API key.
    #[error("the Authorization header holds no signature")]
    NotASignature,
    /// The key in it is none, or one that must not be trusted.
    #[error("the Authorization header is refused: {0}")]
    Key(#[from] PublicKeyError),
    /// The signature is not the canonical base64 of 64 bytes.
    #[error("the signature in the Authorization header is not canonical base64 of 64 bytes")]
    MalformedSignature,
    /// The signature is not one of this key for this request.
    #[error("the signature does not belong to this request")]
    WrongSignature,
}

/// Checks the value of an `Authorization` header against what the request should have signed, and returns the key that
/// signed it. The value may stand after `Bearer `, as the desktop app sends it.
///
/// # Errors
/// [`VerifyError`] for anything but a valid, canonical signature by an acceptable Ed25519 key.
pub fn verify(header: &str, challenge: &Challenge) -> Result<PublicKey, VerifyError> {
    let value = match header.split_once(' ') {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => value,
        _ => header,
    };
    let (blob, signature) = value.split_once(':').ok_or(VerifyError::NotASignature)?;
    let key = PublicKey::from_blob_base64(blob)?;

    let signature = STANDARD.decode(signature).map_err(|_| VerifyError::MalformedSignature)?;
    let signature = Signature::from_slice(&signature).map_err(|_| VerifyError::MalformedSignature)?;
    key.verifying()
        .verify_strict(challenge.as_str().as_bytes(), &signature)
        .map_err(|_| VerifyError::WrongSignature)?;
    Ok(key)
}
