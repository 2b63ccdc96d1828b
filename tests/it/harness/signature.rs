//! Checks signed requests independently of the product: straight from the received request line, with
//! `ed25519-dalek`. The facts are those of `fixtures/vectors/signing.json`.

use std::fmt::Write as _;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::http::Request;

/// What precedes the 32 bytes of an Ed25519 key in SSH's wire form.
const PREFIX: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

/// How far `ts` may lie from the server's clock, in seconds, either way.
pub const TOLERANCE: i64 = 60;

/// A public key in the forms that the protocol uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `ssh-ed25519 AAAA…`
    pub line: String,
    /// Unpadded base64url of the line: the `key` of a connect URL.
    pub encoded: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

impl Key {
    fn from_blob(blob: &[u8]) -> Self {
        let line = format!("ssh-ed25519 {}", BASE64_STANDARD.encode(blob));
        Self {
            encoded: BASE64_URL_SAFE_NO_PAD.encode(&line),
            fingerprint: format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob))),
            line,
        }
    }

    /// From the `key` of a connect URL or of a `DELETE`.
    pub fn from_encoded(encoded: &str) -> Result<Self, String> {
        let line = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| format!("not an encoded key: {encoded}"))?;
        let blob = line
            .strip_prefix("ssh-ed25519 ")
            .and_then(|blob| BASE64_STANDARD.decode(blob).ok())
            .filter(|blob| blob.len() == PREFIX.len() + 32 && blob.starts_with(PREFIX))
            .ok_or_else(|| format!("not a key line: {line}"))?;
        Ok(Self::from_blob(&blob))
    }

    /// Whether `text` is one of the three forms of this key.
    pub fn is(&self, text: &str) -> bool {
        [&self.line, &self.encoded, &self.fingerprint].contains(&&text.to_owned())
    }
}

/// Checks the signature of a request. `base_path` (such as `/prefix`) is sent but not signed; `now` is the server's
/// clock in seconds. The error says what is wrong, and holds no signature.
pub fn check(request: &Request, base_path: &str, now: i64) -> Result<Key, String> {
    let header = request.authorization().ok_or("no Authorization header")?;
    let header = header.strip_prefix("Bearer ").unwrap_or(header);
    let (blob, signature) = header.split_once(':').ok_or("no colon in the header")?;
    let blob = BASE64_STANDARD.decode(blob).map_err(|_| "the key is not canonical base64")?;
    let raw: [u8; 32] = blob
        .strip_prefix(PREFIX)
        .and_then(|raw| raw.try_into().ok())
        .ok_or("the key is not an ssh-ed25519 wire blob")?;
    let signature = BASE64_STANDARD.decode(signature).map_err(|_| "the signature is not canonical base64")?;
    let signature = Signature::from_slice(&signature).map_err(|_| "not 64 bytes of signature")?;
    let key = VerifyingKey::from_bytes(&raw).map_err(|_| "not a point of the curve")?;

    let path = request.path().strip_prefix(base_path).ok_or("the path lies outside the base path")?;
    let mut query: Vec<_> = request.raw_query().split('&').collect();
    query.sort_by_key(|pair| pair.split('=').next().unwrap_or_default().to_owned());
    let challenge = format!("{},{path}?{}", request.method, query.join("&"));
    key.verify_strict(challenge.as_bytes(), &signature)
        .map_err(|_| format!("the signature is not one of {challenge}"))?;

    let mut stamps = query.iter().filter_map(|pair| pair.strip_prefix("ts="));
    let (Some(ts), None) = (stamps.next(), stamps.next()) else {
        return Err("ts must be given once".to_owned());
    };
    let ts: i64 = ts.parse().map_err(|_| "ts is not a number")?;
    if (ts - now).abs() > TOLERANCE {
        return Err(format!("ts is {} s off", ts - now));
    }
    Ok(Key::from_blob(&blob))
}

/// Whether the request carries something that looks like a signature (and not an API key).
pub fn is_signed(request: &Request) -> bool {
    request.authorization().is_some_and(|value| value.contains(':'))
}

/// A device key of the harness itself: for its own tests, and the key of a stock server.
pub struct TestDevice(SigningKey);

impl TestDevice {
    /// The key whose secret is 32 times `seed`.
    pub fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    fn blob(&self) -> Vec<u8> {
        [PREFIX, self.0.verifying_key().as_bytes()].concat()
    }

    /// Its public half.
    pub fn key(&self) -> Key {
        Key::from_blob(&self.blob())
    }

    /// The `Authorization` value for a challenge such as `POST,/api/me?ts=1`.
    pub fn sign(&self, challenge: &str) -> String {
        let mut header = BASE64_STANDARD.encode(self.blob());
        let signature = self.0.sign(challenge.as_bytes()).to_bytes();
        write!(header, ":{}", BASE64_STANDARD.encode(signature)).expect("a string grows");
        header
    }
}
