//! Who knocked: keys that made a validly signed request lately without being known.
//!
//! A connect link holds no proof of who made it, so a link is taken only for a key that is in here. Whoever sends many keys drives
//! out their own knocks first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::host::network;
use crate::identity::PublicKey;

/// How long a knock counts, in seconds.
const COUNTS: i64 = 600;
/// As many in all.
const MOST: usize = 4096;
/// As many from one address, or one network of IPv6.
const MOST_FROM_ONE: usize = 64;

/// A key that made itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// The key.
    pub key: PublicKey,
    /// Where its last signed request came from.
    pub address: IpAddr,
    /// When, in Unix seconds.
    pub at: i64,
    /// A person has said no to it.
    pub denied: bool,
}

/// The knocks of the last ten minutes.
#[derive(Debug, Default)]
pub struct Knocks(Mutex<HashMap<PublicKey, Knock>>);

impl Knocks {
    /// Takes note of a key whose signature was checked. Returns whether a person has said no to it.
    pub fn knock(&self, key: &PublicKey, address: IpAddr, now: i64) -> bool {
        let mut all = self.lock();
        if let Some(knock) = all.get_mut(key).filter(|knock| counts(knock, now)) {
            // A no holds for ten minutes, however often the device goes on asking.
            if !knock.denied {
                (knock.at, knock.address) = (now, address);
            }
            return knock.denied;
        }
        let full = all.len() >= MOST;
        let place = network(address);
        let from_one = |knock: &&Knock| network(knock.address) == place;
        if full || all.values().filter(from_one).count() >= MOST_FROM_ONE {
            all.retain(|_, knock| counts(knock, now));
            let crowded = all.values().filter(from_one).count() >= MOST_FROM_ONE;
            let oldest = |pick: &dyn Fn(&Knock) -> bool| {
                all.values().filter(|knock| pick(knock)).min_by_key(|knock| knock.at).map(|knock| knock.key.clone())
            };
            let leaves = match (crowded, all.len() >= MOST) {
                (true, _) => oldest(&|knock| network(knock.address) == place),
                (false, true) => {
                    let busiest = busiest(&all);
                    oldest(&|knock| Some(network(knock.address)) == busiest)
                }
                (false, false) => None,
            };
            if let Some(key) = leaves {
                all.remove(&key);
            }
        }
        all.insert(key.clone(), Knock { key: key.clone(), address, at: now, denied: false });
        false
    }

    /// The knock of that key, if it counts and nobody has said no.
    pub fn find(&self, key: &PublicKey, now: i64) -> Option<Knock> {
        self.lock().get(key).filter(|knock| counts(knock, now) && !knock.denied).cloned()
    }

    /// The same by its fingerprint (`SHA256:…`).
    pub fn find_by_fingerprint(&self, fingerprint: &str, now: i64) -> Option<Knock> {
        self.all(now).into_iter().find(|knock| knock.key.fingerprint() == fingerprint)
    }

    /// All that count and are open, the latest first.
    pub fn all(&self, now: i64) -> Vec<Knock> {
        let mut open: Vec<Knock> =
            self.lock().values().filter(|knock| counts(knock, now) && !knock.denied).cloned().collect();
        open.sort_by_key(|knock| std::cmp::Reverse(knock.at));
        open
    }

    /// Forgets a key: it is known now.
    pub fn settle(&self, key: &PublicKey) {
        self.lock().remove(key);
    }

    /// Remembers that a person said no.
    pub fn deny(&self, key: &PublicKey) {
        if let Some(knock) = self.lock().get_mut(key) {
            knock.denied = true;
        }
    }

    /// A panic elsewhere leaves the table as it was after its last whole change.
    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, Knock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counts(knock: &Knock, now: i64) -> bool {
    (now - knock.at).abs() <= COUNTS
}

fn busiest(all: &HashMap<PublicKey, Knock>) -> Option<IpAddr> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for knock in all.values() {
        *counts.entry(network(knock.address)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DeviceKey;

    fn key() -> PublicKey {
        DeviceKey::generate().unwrap().public().clone()
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_knock_counts_for_ten_minutes() {
        let (knocks, key) = (Knocks::default(), key());
        assert!(knocks.find(&key, 1000).is_none());
        knocks.knock(&key, address(1), 1000);
        assert_eq!(knocks.find(&key, 1600).unwrap().address, address(1));
        assert_eq!(knocks.find_by_fingerprint(&key.fingerprint(), 1600).unwrap().key, key);
        assert!(knocks.find(&key, 1601).is_none() && knocks.all(1601).is_empty());
        knocks.knock(&key, address(2), 1700);
        assert_eq!(knocks.find(&key, 1700).unwrap().address, address(2));
        knocks.settle(&key);
        assert!(knocks.find(&key, 1700).is_none());
    }

    #[test]
    fn a_no_holds_however_often_is_asked() {
        let (knocks, key) = (Knocks::default(), key());
        knocks.knock(&key, address(1), 1000);
        knocks.deny(&key);
        assert!(knocks.find(&key, 1000).is_none());
        assert!(knocks.knock(&key, address(1), 1500) && knocks.find(&key, 1500).is_none());
        assert!(!knocks.knock(&key, address(1), 1601), "and ends");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (knocks, mine) = (Knocks::default(), key());
        knocks.knock(&mine, address(1), 1000);
        let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
        for (host, key) in crowd.iter().enumerate() {
            knocks.knock(key, IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 7, host as u16]), 1001 + host as i64);
        }
        assert!(knocks.find(&mine, 1100).is_some());
        assert_eq!(knocks.all(1100).len(), 1 + MOST_FROM_ONE);
        let last = knocks.find(&crowd[69], 1100).unwrap();
        assert_eq!(last.address.to_string(), "2001:db8:0:1::7:45", "and is shown as it is");
    }

    #[test]
    fn a_crowd_from_one_address_drives_out_its_own() {
        let (knocks, mine) = (Knocks::default(), key());
        knocks.knock(&mine, address(1), 1000);
        let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
        for (second, key) in crowd.iter().enumerate() {
            knocks.knock(key, address(2), 1001 + second as i64);
        }
        assert!(knocks.find(&mine, 1100).is_some());
        assert_eq!(knocks.all(1100).len(), 1 + MOST_FROM_ONE);
        assert!(knocks.find(&crowd[0], 1100).is_none() && knocks.find(&crowd[69], 1100).is_some());
    }

    /// Whoever has IPv6 has at least 2^64 addresses of it.
    #[test]
    fn many_addresses_of_one_network_are_one_crowd() {
        let (knocks, mine) = (Knocks::default(), key());
        let mine_from = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        knocks.knock(&mine, mine_from(1), 1000);
        for last in 0..70 {
            knocks.knock(&key(), IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, last]), 1001);
        }
        assert_eq!(knocks.all(1001).len(), 1 + MOST_FROM_ONE);
        assert!(knocks.find(&mine, 1001).is_some());
    }
}
