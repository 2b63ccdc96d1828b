//! What a signed request signs, the header that carries the signature, and how it is verified.
//!
//! The challenge is `METHOD,PATH?ts=UNIX_SECONDS`, as stock Ollama was seen to sign it (`signing.json` of the tests). It
//! names neither host nor body, so anyone who holds the header can use it: it is a secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signature;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use url::form_urlencoded;

use crate::identity::public::{PublicKey, PublicKeyError};

/// The first line of what a second proof signs.
const SECOND_PROOF: &str = "ollama-auth second proof v1";

/// The text that a signed request signs. It is not a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    text: String,
    method_length: usize,
}

impl Challenge {
    /// The challenge of a request without other query parameters, as the stock client makes it.
    ///
    /// `method` is in capitals, `path` starts with a slash and leaves out the base path of the server (stock sends
    /// that but does not sign it), and `ts` is the time in Unix seconds, which must also be sent: see
    /// [`target`](Self::target).
    pub fn new(method: &str, path: &str, ts: i64) -> Self {
        Self::of_request(method, &format!("{path}?ts={ts}"))
    }

    /// The challenge of a request with other query parameters: all of them, `ts` among them, sorted by name and
    /// URL-encoded, as stock Ollama's cloud proxy signs and sends them. Values of one name keep their order; a
    /// parameter called `ts` is replaced.
    pub fn with_query(method: &str, path: &str, query: &[(&str, &str)], ts: i64) -> Self {
        let ts = ts.to_string();
        let mut parameters: Vec<(&str, &str)> = query.iter().copied().filter(|(name, _)| *name != "ts").collect();
        parameters.push(("ts", &ts));
        parameters.sort_by_key(|(name, _)| *name);
        let query = parameters
            .iter()
            .map(|(name, value)| format!("{}={}", query_escape(name), query_escape(value)))
            .collect::<Vec<_>>()
            .join("&");
        Self::of_request(method, &format!("{path}?{query}"))
    }

    /// The challenge of a request as it arrived, for its verifier. `target` is the request target, path and query,
    /// byte for byte, without the verifier's own base path.
    pub fn of_request(method: &str, target: &str) -> Self {
        Self { text: format!("{method},{target}"), method_length: method.len() }
    }

    /// What a second proof signs, beside the API key with that id: five lines, of which the first is always the same. No method of HTTP holds
    /// a space, so it is never what an `Authorization` signs. `target` is path and query as they are sent, without the base path.
    pub fn second_proof(key_id: &str, ts: i64, method: &str, target: &str) -> Self {
        let before = format!("{SECOND_PROOF}\n{key_id}\n{ts}\n{method}");
        Self { text: format!("{before}\n{target}"), method_length: before.len() }
    }

    /// The text that is signed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Path and query to send, so that what is sent is what was signed: `/api/me?ts=1795210715`.
    pub fn target(&self) -> &str {
        &self.text[self.method_length + 1..]
    }
}

/// Escapes a query's name or value as Go's `url.QueryEscape` does. The browsers' form encoding differs from it only in
/// the tilde, which Go leaves as it is, and the asterisk, which it escapes.
fn query_escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes())
        .map(|part| match part {
            "%7E" => "~".to_owned(),
            part => part.replace('*', "%2A"),
        })
        .collect()
}

/// The value of an `Authorization` header. It is a secret: its holder can repeat the request, at other servers too.
pub struct Authorization(SecretString);

impl Authorization {
    pub(super) fn new(key: &PublicKey, signature: &Signature) -> Self {
        let blob = STANDARD.encode(key.wire_blob());
        let signature = STANDARD.encode(signature.to_bytes());
        // Exactly as long as it must be, so that turning it into a secret does not leave a copy behind.
        let mut header = String::with_capacity(blob.len() + 1 + signature.len());
        header.push_str(&blob);
        header.push(':');
        header.push_str(&signature);
        Self(SecretString::from(header))
    }

    /// The header's value: `<base64 wire blob>:<base64 signature>`.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(****)")
    }
}

/// Why a header does not prove who sent a request. No message repeats any of the header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// There is no colon in it, so it is some other credential, such as an API key.
    #[error("the header holds no signature")]
    NotASignature,
    /// The key in it is invalid or must not be trusted.
    #[error("the key in the signature is refused: {0}")]
    Key(#[from] PublicKeyError),
    /// The signature is not the canonical base64 of 64 bytes.
    #[error("the signature is not canonical base64 of 64 bytes")]
    MalformedSignature,
    /// The signature is not one of this key for this request.
    #[error("the signature does not belong to this request")]
    WrongSignature,
}

/// Checks the value of an `Authorization` header against what the request should have signed, and returns the key that
/// signed it. The value may follow `Bearer `, as the desktop app sends it.
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
