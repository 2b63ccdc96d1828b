//! Which request something comes from: the caller's address, the environment that it came to, and an id that the event log and the log have in common.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::policy_name::PolicyName;

/// Where a request comes from. An extension of each request for a page.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The peer's address, or what a trusted proxy says.
    pub address: IpAddr,
    /// The request.
    pub request: RequestId,
    /// The environment of the name or listener that it came to.
    pub entry: Option<PolicyName>,
    /// The address of the listener that it came to.
    pub local: Option<SocketAddr>,
}

impl Origin {
    /// A new request from that address.
    pub fn new(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), request: RequestId::next(), entry: None, local: None }
    }
}

/// The id of a request, as it is shown: 32 hexadecimal digits, unique among all gateways, and without a hint at how many there were.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let halves = KEYS.each_ref().map(|key| u128::from(key.hash_one(number)));
        Self::of_number(halves[0] << 64 | halves[1])
    }

    fn of_number(number: u128) -> Self {
        Self(std::array::from_fn(|at| b"0123456789abcdef"[(number >> (124 - 4 * at)) as usize & 15]))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// That a text is no id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not 32 hexadecimal digits")]
pub struct RequestIdError;

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let is_id = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        text.as_bytes().try_into().ok().filter(|_| is_id).map(Self).ok_or(RequestIdError)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_request_has_an_id_of_its_own() {
        let ids: HashSet<String> = (0..1000).map(|_| RequestId::next().to_string()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let request = RequestId::next();
        assert_eq!(request.to_string().parse(), Ok(request));
        assert_eq!(RequestId::of_number(0x0123_4567).to_string(), "00000000000000000000000001234567");
        for other in ["", "0123", &"0".repeat(33), &"A".repeat(32), &"ä".repeat(16)] {
            assert_eq!(other.parse::<RequestId>(), Err(RequestIdError), "{other}");
        }
    }
}
