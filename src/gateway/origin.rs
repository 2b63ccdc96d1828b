//! Which request something comes from: the caller's address, the environment that it came to, and an id that the event log and the log have in common.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A request, shown as 32 hexadecimal digits: unique among all gateways, and without a hint at how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for RequestId {
    /// Only here is anything computed: most requests are never named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        KEYS.iter().try_for_each(|key| write!(f, "{:016x}", key.hash_one(self.0)))
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
        let request = RequestId::next();
        assert_eq!(request.to_string(), request.to_string());
    }
}
