//! Pending devices: unknown keys that made a validly signed request within the last ten minutes and can be approved.
//!
//! A connect link holds no proof of who made it, so a link is accepted only for a key in this table. The table is bounded in all and
//! for each network, and each network may add new keys only slowly. Where there are too many, keys that asked once go first: before a
//! client revokes something, it asks once with a key that it throws away, to make sure that the host checks signatures. Of the others
//! the one that came last goes, so that a device that waits for its approval stays, whatever comes after it. A device whose page a
//! signed-in person has opened stays in any case.

mod code;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::gateway::secret::Secret;
use crate::gateway::store::Record;
use crate::http::server::network;
use crate::identity::PublicKey;

pub use code::DeviceCode;
use code::DeviceCodes;

/// How long a device stays pending, in seconds.
const COUNTS: i64 = 600;
/// As many in all.
const MOST: usize = 4096;
/// As many from one address, or one network of IPv6.
const MOST_FROM_ONE: usize = 64;
/// New keys that one network may add at once, in seconds: from then on one a second. A team behind one address may sign in together, and
/// a client also asks with keys that it throws away, when it creates or revokes a key.
const NEW_KEYS_AT_ONCE: i64 = 48;
/// For so many seconds the other gateways are not told again of a device that asks again.
const SHARED_FOR: u64 = 60;
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
    /// The network where it asked first. It is counted there, so that none is filled up from another one.
    network: IpAddr,
    /// Its place in the order in which devices asked first.
    number: i64,
    /// It asked in more than one second.
    asks_again: bool,
    /// The account that has opened its page.
    reviewed_by: Option<Uuid>,
    /// When the other gateways were told of it last.
    shared_at: Option<i64>,
}

impl PendingDevice {
    /// Where there are too many, the greatest goes: of those that no person looks at, the oldest that asked once, or else the newest.
    fn evicted_first(&self) -> (bool, bool, i64) {
        let is_unseen = !self.denied && self.reviewed_by.is_none();
        (is_unseen, !self.asks_again, if self.asks_again { self.number } else { -self.number })
    }
}

/// What becomes of a key that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It can be approved.
    Pending,
    /// A person has said no to it.
    Denied,
    /// It was not added, since its network has sent too many new keys. The next one is possible in a second.
    TooManyNew,
}

/// The pending devices of the last ten minutes.
#[derive(Debug, Default)]
pub struct PendingDevices {
    table: Mutex<Table>,
    deciding: tokio::sync::Mutex<()>,
    /// Without it devices have no codes.
    codes: Option<DeviceCodes>,
}

#[derive(Debug, Default)]
struct Table {
    all: HashMap<PublicKey, PendingDevice>,
    /// Recounting for each request would let a flood of requests slow the gateway down.
    networks: HashMap<IpAddr, Network>,
    /// How many keys were new so far.
    numbered: i64,
    /// When those that do not count any more were last dropped, in Unix seconds.
    swept: i64,
}

/// What is known of a network while it has entries.
#[derive(Debug, Default)]
struct Network {
    entries: usize,
    /// The Unix second when all the new keys that it may add at once are available again.
    full_at: i64,
}

impl PendingDevices {
    /// None yet. Gateways with the same secret give a device the same code.
    pub fn new(secret: &Secret) -> Self {
        Self { codes: Some(DeviceCodes::new(secret)), ..Self::default() }
    }

    /// The code that a person can type in place of opening the link of that device.
    pub fn code(&self, key: &PublicKey, now: i64) -> Option<DeviceCode> {
        self.codes.as_ref().map(|codes| codes.code(key, now))
    }

    /// The device with that code, as [`find`](Self::find) finds it. None if it were that of two.
    pub fn find_by_code(&self, code: &DeviceCode, now: i64) -> Option<PendingDevice> {
        let codes = self.codes.as_ref()?;
        let mut found = self.all(now).into_iter().filter(|device| codes.accepts(code, &device.key, now));
        found.next().filter(|_| found.next().is_none())
    }

    /// Takes note of a key whose signature was checked.
    pub fn add(&self, key: &PublicKey, address: IpAddr, now: i64) -> Asked {
        let mut table = self.lock();
        match table.all.get_mut(key).filter(|device| counts(device, now)) {
            // A denial holds for ten minutes, however often the device asks again.
            Some(device) if device.denied => Asked::Denied,
            Some(device) => {
                device.asks_again |= device.at != now;
                (device.address, device.at) = (address, now);
                Asked::Pending
            }
            None => table.add_new(key, address, now),
        }
    }

    /// Takes note of what other gateways know: devices that ask there, and those that were approved.
    pub fn note_news(&self, record: &Record, now: i64) {
        match record {
            Record::Device(device) => self.settle(&device.key),
            Record::PendingDevice(device) => {
                let at = now.saturating_sub(device.age);
                let mut table = self.lock();
                if !table.all.contains_key(&device.key) {
                    table.insert(&device.key, network(device.address), device.address, at);
                }
                if let Some(known) = table.all.get_mut(&device.key) {
                    // One that asks again is not counted as one that asked once.
                    known.asks_again |= known.at != at;
                    // A denial here may not be known there.
                    known.denied = device.denied || (known.denied && counts(known, now));
                    known.at = known.at.max(at);
                    known.shared_at = known.shared_at.max(Some(at));
                }
            }
            _ => {}
        }
    }

    /// Whether the other gateways are to be told of a device now; takes note that they are.
    pub fn is_to_be_shared(&self, key: &PublicKey, now: i64) -> bool {
        let mut table = self.lock();
        let Some(device) = table.all.get_mut(key) else { return false };
        let is_due = device.shared_at.is_none_or(|at| now.abs_diff(at) >= SHARED_FOR);
        if is_due {
            device.shared_at = Some(now);
        }
        is_due
    }

    /// Notes that they were not.
    pub fn was_not_shared(&self, key: &PublicKey) {
        if let Some(device) = self.lock().all.get_mut(key) {
            device.shared_at = None;
        }
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
    fn add_new(&mut self, key: &PublicKey, address: IpAddr, now: i64) -> Asked {
        self.take(key);
        let network = network(address);
        let (mut full_at, latest) = (now, now.saturating_add(NEW_KEYS_AT_ONCE));
        if let Some(known) = self.networks.get_mut(&network) {
            // A clock that was set back leaves nobody waiting for the time that it showed.
            known.full_at = known.full_at.clamp(now, latest);
            full_at = known.full_at;
        }
        if full_at >= latest {
            return Asked::TooManyNew;
        }
        self.insert(key, network, address, now);
        if let Some(known) = self.networks.get_mut(&network) {
            known.full_at = full_at + 1;
        }
        Asked::Pending
    }

    /// Adds one, and drives another out if there are too many.
    fn insert(&mut self, key: &PublicKey, network: IpAddr, address: IpAddr, now: i64) {
        self.make_room(network, now);
        self.numbered += 1;
        let (key, number) = (key.clone(), self.numbered);
        let device = PendingDevice {
            key: key.clone(),
            address,
            at: now,
            denied: false,
            network,
            number,
            asks_again: false,
            reviewed_by: None,
            shared_at: None,
        };
        self.networks.entry(network).or_default().entries += 1;
        self.all.insert(key, device);
    }

    /// Drives one out where there are as many as there may be: of the same network, or else of those that have most.
    fn make_room(&mut self, network: IpAddr, now: i64) {
        let is_crowded = |table: &Self| table.entries(network) >= MOST_FROM_ONE;
        if self.all.len() < MOST && !is_crowded(self) {
            return;
        }
        if self.swept != now {
            self.swept = now;
            let over: Vec<PublicKey> =
                self.all.values().filter(|device| !counts(device, now)).map(|device| device.key.clone()).collect();
            over.iter().for_each(|key| self.take(key));
        }
        let most = self.networks.values().map(|network| network.entries).max().unwrap_or_default();
        let is_crowded = is_crowded(self);
        if self.all.len() < MOST && !is_crowded {
            return;
        }
        let loses = |device: &&PendingDevice| match is_crowded {
            true => device.network == network,
            false => self.entries(device.network) == most,
        };
        let evicted = self.all.values().filter(loses).max_by_key(|device| device.evicted_first());
        if let Some(key) = evicted.map(|device| device.key.clone()) {
            self.take(&key);
        }
    }

    fn entries(&self, network: IpAddr) -> usize {
        self.networks.get(&network).map_or(0, |network| network.entries)
    }

    fn take(&mut self, key: &PublicKey) {
        let Some(device) = self.all.remove(key) else { return };
        if let Entry::Occupied(mut network) = self.networks.entry(device.network) {
            network.get_mut().entries -= 1;
            if network.get().entries == 0 {
                network.remove();
            }
        }
    }
}

fn counts(device: &PendingDevice, now: i64) -> bool {
    (now - device.at).abs() <= COUNTS
}

#[cfg(test)]
mod tests;
