//! Who knocked: keys that made a validly signed request lately without being known.
//!
//! A connect link holds no proof of who made it, so a link is taken only for a key that is in here. Whoever sends many keys drives
//! out their own knocks first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
pub struct Knocks(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    all: HashMap<PublicKey, Knock>,
    /// How many there are of each network. To count them anew for each knock would let a crowd stop everybody else.
    from: HashMap<IpAddr, usize>,
    /// When those that do not count any more were last dropped, in Unix seconds.
    swept: i64,
}

impl Knocks {
    /// Takes note of a key whose signature was checked. Returns whether a person has said no to it.
    pub fn knock(&self, key: &PublicKey, address: IpAddr, now: i64) -> bool {
        let mut table = self.lock();
        if let Some(known) = table.all.get(key).filter(|knock| counts(knock, now)) {
            // A no holds for ten minutes, however often the device goes on asking.
            if known.denied {
                return true;
            }
        } else {
            table.make_room(network(address), now);
        }
        table.put(Knock { key: key.clone(), address, at: now, denied: false });
        false
    }

    /// The knock of that key, if it counts and nobody has said no.
    pub fn find(&self, key: &PublicKey, now: i64) -> Option<Knock> {
        self.lock().all.get(key).filter(|knock| counts(knock, now) && !knock.denied).cloned()
    }

    /// The same by its fingerprint (`SHA256:…`).
    pub fn find_by_fingerprint(&self, fingerprint: &str, now: i64) -> Option<Knock> {
        self.all(now).into_iter().find(|knock| knock.key.fingerprint() == fingerprint)
    }

    /// All that count and are open, the latest first.
    pub fn all(&self, now: i64) -> Vec<Knock> {
        let mut open: Vec<Knock> =
            self.lock().all.values().filter(|knock| counts(knock, now) && !knock.denied).cloned().collect();
        open.sort_by_key(|knock| std::cmp::Reverse(knock.at));
        open
    }

    /// Forgets a key: it is known now.
    pub fn settle(&self, key: &PublicKey) {
        self.lock().take(key);
    }

    /// Remembers that a person said no.
    pub fn deny(&self, key: &PublicKey) {
        if let Some(knock) = self.lock().all.get_mut(key) {
            knock.denied = true;
        }
    }

    /// A panic elsewhere leaves the table as it was after its last whole change.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Drives one out where there are as many as there may be: of the same network, or else of the one that has most.
    fn make_room(&mut self, place: IpAddr, now: i64) {
        let crowded = |table: &Self| table.from.get(&place).is_some_and(|count| *count >= MOST_FROM_ONE);
        if self.all.len() < MOST && !crowded(self) {
            return;
        }
        if self.swept != now {
            self.swept = now;
            let over: Vec<PublicKey> =
                self.all.values().filter(|knock| !counts(knock, now)).map(|knock| knock.key.clone()).collect();
            over.iter().for_each(|key| self.take(key));
        }
        let loses = match (crowded(self), self.all.len() >= MOST) {
            (true, _) => Some(place),
            (false, true) => self.from.iter().max_by_key(|(_, count)| **count).map(|(place, _)| *place),
            (false, false) => None,
        };
        let Some(loses) = loses else { return };
        let theirs = self.all.values().filter(|knock| network(knock.address) == loses);
        if let Some(key) = theirs.min_by_key(|knock| knock.at).map(|knock| knock.key.clone()) {
            self.take(&key);
        }
    }

    fn put(&mut self, knock: Knock) {
        self.take(&knock.key);
        *self.from.entry(network(knock.address)).or_default() += 1;
        self.all.insert(knock.key.clone(), knock);
    }

    fn take(&mut self, key: &PublicKey) {
        let Some(knock) = self.all.remove(key) else { return };
        if let Entry::Occupied(mut count) = self.from.entry(network(knock.address)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn counts(knock: &Knock, now: i64) -> bool {
    (now - knock.at).abs() <= COUNTS
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

    /// Each from a network of its own, as whoever has a /48 can send them.
    #[test]
    fn a_crowd_from_everywhere_is_bounded_and_counted_right() {
        let knocks = Knocks::default();
        let from = |n: usize| IpAddr::from([0x2001, 0xdb8, (n >> 16) as u16, n as u16, 0, 0, 0, 1]);
        let crowd: Vec<PublicKey> = (0..MOST + 100).map(|_| key()).collect();
        for (n, key) in crowd.iter().enumerate() {
            knocks.knock(key, from(n), 1000 + (n % 3) as i64);
            // Again, and from elsewhere.
            knocks.knock(key, from(n / 2), 1000 + (n % 3) as i64);
        }
        let consistent = |table: &Table| {
            let mut counted: HashMap<IpAddr, usize> = HashMap::new();
            table.all.values().for_each(|knock| *counted.entry(network(knock.address)).or_default() += 1);
            counted == table.from
        };
        assert!(knocks.lock().all.len() == MOST && consistent(&knocks.lock()));
        for key in &crowd[..] {
            knocks.settle(key);
        }
        assert!(knocks.lock().all.is_empty() && knocks.lock().from.is_empty());
        knocks.knock(&crowd[0], from(0), 1000);
        for (n, key) in crowd.iter().enumerate().skip(1).take(MOST) {
            knocks.knock(key, from(n), 1700);
        }
        assert!(knocks.lock().all.len() == MOST && consistent(&knocks.lock()), "what is over is dropped first");
        assert!(knocks.find(&crowd[1], 1700).is_some());
    }
}
