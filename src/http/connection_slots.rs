//! Limits the connections of each address: one caller must not take all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of each network: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: ConnectionSlots,
    network: IpAddr,
}

impl ConnectionSlots {
    /// Counts one more connection from that address, unless its network has `limit` already.
    pub fn acquire(&self, address: IpAddr, limit: usize) -> Option<ConnectionSlot> {
        let network = network(address);
        let mut open = self.lock();
        let count = open.get(&network).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        open.insert(network, count + 1);
        Some(ConnectionSlot { slots: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.slots.lock().entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The network that one caller is assumed to have: an IPv4 address, or an IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_a_limit_and_dropped_slots_are_free_again() {
        let slots = ConnectionSlots::default();
        let acquire = |text: &str| slots.acquire(text.parse().unwrap(), 2);
        let held = [acquire("192.0.2.1"), acquire("::ffff:192.0.2.1"), acquire("2001:db8::1"), acquire("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(acquire("192.0.2.1").is_none() && acquire("2001:db8::3").is_none());
        assert!(acquire("192.0.2.2").is_some() && acquire("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(slots.lock().is_empty());
        assert!(acquire("192.0.2.1").is_some());
    }
}
