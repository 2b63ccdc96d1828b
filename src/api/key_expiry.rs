//! What a gateway says of the end of the API key that a request was sent with, and telling the person.

use std::sync::Arc;

use http::header::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::host_facts::GATEWAY_HEADER;
use crate::address::BaseUrl;

/// The response header with the time at which the key ends.
const HEADER: &str = "x-ollama-auth-key-expires";
/// The longest text that is read as a time, in bytes.
const LONGEST: usize = 40;

type Tell = dyn Fn(&KeyExpiry<'_>) + Send + Sync;

/// An API key that ends soon.
#[derive(Debug)]
pub struct KeyExpiry<'a> {
    /// The host that says so.
    pub host: &'a BaseUrl,
    /// The beginning of the SHA-256 of the key: tells keys apart.
    pub key: String,
    /// Where the key comes from, if that is not a profile: `OLLAMA_API_KEY`.
    pub origin: Option<&'a str>,
    /// When it ends.
    pub ends_at: Timestamp,
    /// The time of this machine, in Unix seconds.
    pub now: i64,
}

/// Tells a person that a key ends soon.
#[derive(Clone, Default)]
pub struct KeyExpiryNotice(Option<Arc<Tell>>);

impl KeyExpiryNotice {
    /// Calls `tell` for each host and key once in a process.
    pub fn new(tell: impl Fn(&KeyExpiry<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, expiry: &KeyExpiry<'_>) {
        if let Some(tell) = &self.0 {
            tell(expiry);
        }
    }
}

impl std::fmt::Debug for KeyExpiryNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyExpiryNotice")
    }
}

/// When the key ends, if the answer of a gateway says so.
pub(super) fn end_of_key(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(HEADER).filter(|_| headers.contains_key(GATEWAY_HEADER))?.to_str().ok()?;
    Some(text).filter(|text| text.len() <= LONGEST)?.parse().ok()
}

/// What tells a key apart from others, without giving anything of it away.
pub(super) fn fingerprint(key: &SecretString) -> String {
    let digest = Sha256::digest(key.expose_secret());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_from_the_answers_of_a_gateway_alone() {
        let end = |text: &[u8], is_gateway: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, http::HeaderValue::from_bytes(text).unwrap());
            if is_gateway {
                headers.insert(GATEWAY_HEADER, "1".parse().unwrap());
            }
            end_of_key(&headers).map(|end| end.as_second())
        };
        assert_eq!(end(b"2026-11-20T21:52:52Z", true), Some(1_795_211_572));
        assert_eq!(end(b"2026-11-20T21:52:52Z", false), None);
        for text in [&b"soon"[..], b"", b"\xff", b"2026-11-20", &[b'0'; 4000]] {
            assert_eq!(end(text, true), None, "{text:?}");
        }
    }

    #[test]
    fn a_fingerprint_tells_keys_apart() {
        let [one, other] = ["olauth_1", "olauth_2"].map(|key| fingerprint(&SecretString::from(key)));
        assert!(one != other && one.len() == 16);
    }
}
