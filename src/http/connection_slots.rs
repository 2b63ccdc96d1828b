//! How many connections each address has: one caller who opens all that there may be would leave none to others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses that have connections. What one caller can be assumed to have counts as one: of IPv6 a /64.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place, given up at drop.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: ConnectionSlots,
    place: IpAddr,
}

impl ConnectionSlots {
    /// A place for one more connection from that address, unless it has `most` already.
    pub fn admit(&self, address: IpAddr, most: usize) -> Option<ConnectionSlot> {
        let place = network(address);
        let mut open = self.lock();
        let count = open.get(&place).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        open.insert(place, count + 1);
        Some(ConnectionSlot { slots: self.clone(), place })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.slots.lock().entry(self.place) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What one caller can be assumed to have: an IPv4 address, or a /64 of IPv6.
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
    fn each_network_has_so_many_and_gets_them_back() {
        let slots = ConnectionSlots::default();
        let admit = |text: &str| slots.admit(text.parse().unwrap(), 2);
        let seats = [admit("192.0.2.1"), admit("::ffff:192.0.2.1"), admit("2001:db8::1"), admit("2001:db8::2")];
        assert!(seats.iter().all(Option::is_some));
        assert!(admit("192.0.2.1").is_none() && admit("2001:db8::3").is_none());
        assert!(admit("192.0.2.2").is_some() && admit("2001:db8:0:1::1").is_some());
        drop(seats);
        assert!(slots.lock().is_empty());
        assert!(admit("192.0.2.1").is_some());
    }
}
