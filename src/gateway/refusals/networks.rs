//! From how many networks refusals came that are counted together.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http::server::network;

/// Networks that are told apart in all records together. Each takes some 18 bytes.
pub const MAX_NETWORKS: usize = 1 << 17;

/// How many networks all sets have together.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<AtomicUsize>);

#[cfg(test)]
impl Total {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Networks, each once.
#[derive(Debug)]
pub struct Networks {
    all: HashSet<u64>,
    /// Whether there were more than may be stored.
    is_full: bool,
    total: Total,
}

impl Networks {
    /// None yet. They are bounded with those of all other sets of that total.
    pub fn new(total: &Total) -> Self {
        Self { all: HashSet::new(), is_full: false, total: total.clone() }
    }

    /// Adds the network of an address.
    pub fn add(&mut self, address: IpAddr) {
        let network = number(address);
        if self.all.contains(&network) {
            return;
        }
        if self.total.0.load(Ordering::Relaxed) >= MAX_NETWORKS {
            self.is_full = true;
            return;
        }
        self.total.0.fetch_add(1, Ordering::Relaxed);
        self.all.insert(network);
    }

    /// How many there are, and whether that is all.
    pub fn count(&self) -> (usize, bool) {
        (self.all.len(), !self.is_full)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.all.len(), Ordering::Relaxed);
    }
}

/// A number for each network: of IPv6 its 64 bits; of IPv4 the address, where IPv6 has multicast addresses, which send nothing.
fn number(address: IpAddr) -> u64 {
    match network(address) {
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        IpAddr::V4(v4) => 0xff << 56 | u64::from(v4.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn each_network_counts_once() {
        let (total, address) = (Total::default(), |text: &str| text.parse().unwrap());
        let mut networks = Networks::new(&total);
        for text in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"] {
            networks.add(address(text));
        }
        assert_eq!(networks.count(), (4, true));
    }

    #[test]
    fn all_sets_together_are_bounded() {
        let total = Total::default();
        let (mut one, mut other) = (Networks::new(&total), Networks::new(&total));
        let address = |number: usize| IpAddr::from(Ipv6Addr::from_bits((number as u128) << 64));
        for number in 0..MAX_NETWORKS {
            one.add(address(number));
        }
        assert_eq!(one.count(), (MAX_NETWORKS, true));
        one.add(address(7));
        other.add(address(1));
        assert_eq!((one.count(), other.count()), ((MAX_NETWORKS, true), (0, false)));
        drop(one);
        other.add(address(1));
        assert_eq!(other.count(), (1, false));
        drop(other);
        assert_eq!(total.count(), 0);
    }
}
