//! Pending devices: unknown keys that made a validly signed request within the last ten minutes and can be approved.
//!
//! A connect link holds no proof of who made it, so a link is accepted only for a key in this table. The table is bounded in all and for each
//! address. A caller that sends many keys pushes out pending devices of their own address only, and of these first the ones that
//! asked once: a program that waits for its approval asks again and again. A device whose page a signed-in person has opened stays.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::http::server::network;
use crate::identity::PublicKey;

/// How long a device stays pending, in seconds.
const COUNTS: i64 = 600;
/// As many in all.
const MOST: usize = 4096;
/// As many from one address, or one network of IPv6.
const MOST_FROM_ONE: usize = 64;
/// Devices that stay because one account has opened their pages.
const MAX_REVIEWED_BY_ACCOUNT: usize = 8;

/// A key that made itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDevice {
    /// The key.
    pub key: PublicKey,
    /// Where its last signed request came from.
    pub address: IpAddr,
    /// When, in Unix seconds.
    pub at: i64,
    /// A person has said no to it.
    pub denied: bool,
    /// It asked in more than one second.
    asks_again: bool,
    /// The account that has opened its page.
    reviewed_by: Option<Uuid>,
}

impl PendingDevice {
    /// Where there are too many, the least goes: of those on which no person has an eye, what asked once, and of these the oldest.
    fn weight(&self) -> (bool, bool, i64) {
        (self.denied || self.reviewed_by.is_some(), self.asks_again, self.at)
    }
}

/// The pending devices of the last ten minutes.
#[derive(Debug, Default)]
pub struct PendingDevices {
    table: Mutex<Table>,
    deciding: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    all: HashMap<PublicKey, PendingDevice>,
    /// The number of entries for each network. Recounting for each request would let a flood of requests slow the gateway down.
    from: HashMap<IpAddr, usize>,
    /// When those that do not count any more were last dropped, in Unix seconds.
    swept: i64,
}

impl PendingDevices {
    /// Takes note of a key whose signature was checked. Returns whether a person has said no to it.
    pub fn add(&self, key: &PublicKey, address: IpAddr, now: i64) -> bool {
        let mut table = self.lock();
        let mut device =
            PendingDevice { key: key.clone(), address, at: now, denied: false, asks_again: false, reviewed_by: None };
        if let Some(known) = table.all.get(key).filter(|device| counts(device, now)) {
            // A denial holds for ten minutes, however often the device asks again.
            if known.denied {
                return true;
            }
            device.asks_again = known.asks_again || known.at != now;
            device.reviewed_by = known.reviewed_by;
        } else {
            table.make_room(network(address), now);
        }
        table.put(device);
        false
    }

    /// The pending device with that key, unless it expired or was denied.
    pub fn find(&self, key: &PublicKey, now: i64) -> Option<PendingDevice> {
        self.lock().all.get(key).filter(|device| counts(device, now) && !device.denied).cloned()
    }

    /// The same by its fingerprint (`SHA256:…`).
    pub fn find_by_fingerprint(&self, fingerprint: &str, now: i64) -> Option<PendingDevice> {
        self.all(now).into_iter().find(|device| device.key.fingerprint() == fingerprint)
    }

    /// All that count and are open, the latest first.
    pub fn all(&self, now: i64) -> Vec<PendingDevice> {
        let mut open: Vec<PendingDevice> =
            self.lock().all.values().filter(|device| counts(device, now) && !device.denied).cloned().collect();
        open.sort_by_key(|device| std::cmp::Reverse(device.at));
        open
    }

    /// Keeps the device from being pushed out, since a signed-in person is looking at it. Of the devices that an account has opened, the
    /// last ones stay.
    pub fn mark_reviewed(&self, key: &PublicKey, account: Uuid) {
        let mut table = self.lock();
        let Some(device) = table.all.get_mut(key) else { return };
        device.reviewed_by = Some(account);
        let reviewed = table.all.values().filter(|device| device.reviewed_by == Some(account) && device.key != *key);
        let mut others: Vec<(i64, PublicKey)> = reviewed.map(|device| (device.at, device.key.clone())).collect();
        if others.len() < MAX_REVIEWED_BY_ACCOUNT {
            return;
        }
        others.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (_, other) in others.split_off(MAX_REVIEWED_BY_ACCOUNT - 1) {
            if let Some(device) = table.all.get_mut(&other) {
                device.reviewed_by = None;
            }
        }
    }

    /// Forgets a key: it is known now.
    pub fn settle(&self, key: &PublicKey) {
        self.lock().take(key);
    }

    /// Remembers that a person said no.
    pub fn deny(&self, key: &PublicKey) {
        if let Some(device) = self.lock().all.get_mut(key) {
            device.denied = true;
        }
    }

    /// To be held while a pending device is looked up and then approved or denied, so that only one person decides.
    pub async fn decide(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.deciding.lock().await
    }

    /// A panic elsewhere leaves the table as it was after its last whole change.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
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
                self.all.values().filter(|device| !counts(device, now)).map(|device| device.key.clone()).collect();
            over.iter().for_each(|key| self.take(key));
        }
        let loses = match (crowded(self), self.all.len() >= MOST) {
            (true, _) => Some(place),
            (false, true) => self.from.iter().max_by_key(|(_, count)| **count).map(|(place, _)| *place),
            (false, false) => None,
        };
        let Some(loses) = loses else { return };
        let theirs = self.all.values().filter(|device| network(device.address) == loses);
        let next = theirs.min_by_key(|device| device.weight());
        if let Some(key) = next.map(|device| device.key.clone()) {
            self.take(&key);
        }
    }

    fn put(&mut self, device: PendingDevice) {
        self.take(&device.key);
        *self.from.entry(network(device.address)).or_default() += 1;
        self.all.insert(device.key.clone(), device);
    }

    fn take(&mut self, key: &PublicKey) {
        let Some(device) = self.all.remove(key) else { return };
        if let Entry::Occupied(mut count) = self.from.entry(network(device.address)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn counts(device: &PendingDevice, now: i64) -> bool {
    (now - device.at).abs() <= COUNTS
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
    fn a_device_is_pending_for_ten_minutes() {
        let (pending, key) = (PendingDevices::default(), key());
        assert!(pending.find(&key, 1000).is_none());
        pending.add(&key, address(1), 1000);
        assert_eq!(pending.find(&key, 1600).unwrap().address, address(1));
        assert_eq!(pending.find_by_fingerprint(&key.fingerprint(), 1600).unwrap().key, key);
        assert!(pending.find(&key, 1601).is_none() && pending.all(1601).is_empty());
        pending.add(&key, address(2), 1700);
        assert_eq!(pending.find(&key, 1700).unwrap().address, address(2));
        pending.settle(&key);
        assert!(pending.find(&key, 1700).is_none());
    }

    #[test]
    fn a_denial_holds_for_ten_minutes() {
        let (pending, key) = (PendingDevices::default(), key());
        pending.add(&key, address(1), 1000);
        pending.deny(&key);
        assert!(pending.find(&key, 1000).is_none());
        assert!(pending.add(&key, address(1), 1500) && pending.find(&key, 1500).is_none());
        assert!(!pending.add(&key, address(1), 1601), "and ends");
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (pending, mine) = (PendingDevices::default(), key());
        pending.add(&mine, address(1), 1000);
        let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
        for (host, key) in crowd.iter().enumerate() {
            pending.add(key, IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 7, host as u16]), 1001 + host as i64);
        }
        assert!(pending.find(&mine, 1100).is_some());
        assert_eq!(pending.all(1100).len(), 1 + MOST_FROM_ONE);
        let last = pending.find(&crowd[69], 1100).unwrap();
        assert_eq!(last.address.to_string(), "2001:db8:0:1::7:45", "and is shown as it is");
    }

    #[test]
    fn too_many_devices_from_one_address_evict_each_other() {
        let (pending, mine) = (PendingDevices::default(), key());
        pending.add(&mine, address(1), 1000);
        let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
        for (second, key) in crowd.iter().enumerate() {
            pending.add(key, address(2), 1001 + second as i64);
        }
        assert!(pending.find(&mine, 1100).is_some());
        assert_eq!(pending.all(1100).len(), 1 + MOST_FROM_ONE);
        assert!(pending.find(&crowd[0], 1100).is_none() && pending.find(&crowd[69], 1100).is_some());
    }

    /// Somebody behind the same NAT sends new keys while a person compares fingerprints.
    #[test]
    fn a_device_that_waits_outlasts_a_flood_from_its_address() {
        let (pending, waiting, opened, denied) = (PendingDevices::default(), key(), key(), key());
        let ada = Uuid::from_u128(1);
        pending.add(&opened, address(1), 1000);
        pending.mark_reviewed(&opened, ada);
        pending.add(&denied, address(1), 1000);
        pending.deny(&denied);
        pending.add(&waiting, address(1), 1000);
        for second in 0..500 {
            for _ in 0..5 {
                pending.add(&key(), address(1), 1001 + second);
            }
            if second % 10 == 0 {
                pending.add(&waiting, address(1), 1001 + second);
            }
        }
        assert_eq!(pending.lock().all.len(), MOST_FROM_ONE);
        assert!(pending.find(&waiting, 1501).is_some() && pending.find(&opened, 1501).is_some());
        assert!(pending.add(&denied, address(1), 1501), "a denial is not washed away");
    }

    #[test]
    fn an_account_keeps_a_few_devices_only() {
        let pending = PendingDevices::default();
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (keys, theirs) = ((0..20).map(|_| key()).collect::<Vec<_>>(), key());
        pending.add(&theirs, address(1), 1000);
        pending.mark_reviewed(&theirs, bob);
        for (second, key) in keys.iter().enumerate() {
            pending.add(key, address(1), 1000 + second as i64);
            pending.mark_reviewed(key, ada);
            pending.mark_reviewed(key, ada);
        }
        pending.mark_reviewed(&key(), ada);
        let reviewed = |account| pending.all(1020).iter().filter(|device| device.reviewed_by == Some(account)).count();
        assert_eq!((reviewed(ada), reviewed(bob)), (MAX_REVIEWED_BY_ACCOUNT, 1));
        for n in 0..200 {
            pending.add(&key(), address(1), 1100 + n);
        }
        assert!(pending.find(&keys[19], 1300).is_some() && pending.find(&theirs, 1300).is_some());
        assert!(pending.find(&keys[0], 1300).is_none());
        assert_eq!(pending.lock().all.len(), MOST_FROM_ONE);
    }

    /// An IPv6 caller controls at least 2^64 addresses.
    #[test]
    fn addresses_of_one_network_are_limited_together() {
        let (pending, mine) = (PendingDevices::default(), key());
        let mine_from = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        pending.add(&mine, mine_from(1), 1000);
        for last in 0..70 {
            pending.add(&key(), IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, last]), 1001);
        }
        assert_eq!(pending.all(1001).len(), 1 + MOST_FROM_ONE);
        assert!(pending.find(&mine, 1001).is_some());
    }

    /// Each from a network of its own, as a caller with a /48 can send them.
    #[test]
    fn the_total_is_bounded_and_counted_correctly() {
        let pending = PendingDevices::default();
        let from = |n: usize| IpAddr::from([0x2001, 0xdb8, (n >> 16) as u16, n as u16, 0, 0, 0, 1]);
        let crowd: Vec<PublicKey> = (0..MOST + 100).map(|_| key()).collect();
        for (n, key) in crowd.iter().enumerate() {
            pending.add(key, from(n), 1000 + (n % 3) as i64);
            // Again, and from elsewhere.
            pending.add(key, from(n / 2), 1000 + (n % 3) as i64);
        }
        let consistent = |table: &Table| {
            let mut counted: HashMap<IpAddr, usize> = HashMap::new();
            table.all.values().for_each(|device| *counted.entry(network(device.address)).or_default() += 1);
            counted == table.from
        };
        assert!(pending.lock().all.len() == MOST && consistent(&pending.lock()));
        for key in &crowd[..] {
            pending.settle(key);
        }
        assert!(pending.lock().all.is_empty() && pending.lock().from.is_empty());
        pending.add(&crowd[0], from(0), 1000);
        for (n, key) in crowd.iter().enumerate().skip(1).take(MOST) {
            pending.add(key, from(n), 1700);
        }
        assert!(pending.lock().all.len() == MOST && consistent(&pending.lock()), "what is over is dropped first");
        assert!(pending.find(&crowd[1], 1700).is_some());
    }
}
