//! How many connections each address has: one caller who opens all that there may be would leave none to others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::Config;
use super::host::network;

/// Even where there are few connections, a browser and the programs beside it need some.
const LEAST: usize = 16;

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

/// How many connections that address may have of the `all` that there may be. A trusted proxy, which stands for many slots, may
/// have all of them.
pub fn share(config: &Config, address: IpAddr, all: usize) -> usize {
    let address = address.to_canonical();
    if config.trusted_proxies.iter().any(|proxies| proxies.contains(&address)) {
        return all;
    }
    match config.max_connections_per_address {
        0 => (all / 4).max(LEAST),
        most => most,
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

    #[test]
    fn a_quarter_is_for_one_address_and_all_for_a_proxy() {
        let mut config = Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() };
        let [proxy, other] = ["::ffff:10.0.0.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        assert_eq!((share(&config, other, 10_000), share(&config, other, 2)), (2_500, LEAST));
        config.max_connections_per_address = 7;
        assert_eq!((share(&config, other, 10_000), share(&config, proxy, 10_000)), (7, 10_000));
    }
}
