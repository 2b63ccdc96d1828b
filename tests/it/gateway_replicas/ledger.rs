//! What was asked for and what was confirmed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What became of something that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody asked.
    None,
    /// It was confirmed, at that moment at the latest.
    Confirmed(Instant),
    /// It may have happened or not.
    Unknown,
}

/// A key that was confirmed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key itself.
    pub key: String,
    /// What became of its revocation.
    pub revoked: Outcome,
}

/// What all tasks know together.
#[derive(Default)]
pub struct Ledger {
    keys: Mutex<HashMap<String, Entry>>,
    /// When keys were confirmed.
    confirmed: Mutex<Vec<Instant>>,
    /// Ids of keys of which one at most may exist, since they were asked for with the same signature.
    pub once: Mutex<Vec<Vec<String>>>,
    /// Changes that were not confirmed.
    pub unknown: AtomicU64,
    /// Streams that arrived in full, and that broke off.
    pub whole: AtomicU64,
    /// See `whole`.
    pub cut: AtomicU64,
    /// Requests with a key that was revoked long enough before, and with one that is valid.
    pub looks: AtomicU64,
}

impl Ledger {
    /// A key was confirmed.
    pub fn created(&self, id: String, key: String) {
        self.keys.lock().unwrap().insert(id, Entry { key, revoked: Outcome::None });
        self.confirmed.lock().unwrap().push(Instant::now());
    }

    /// The longest time between two confirmed keys.
    pub fn longest_pause(&self) -> Duration {
        let confirmed = self.confirmed.lock().unwrap();
        confirmed.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// The revocation of a key was asked for, with that outcome.
    pub fn revoked(&self, id: &str, outcome: Outcome) {
        self.keys.lock().unwrap().get_mut(id).expect("a key that was created").revoked = outcome;
    }

    /// All keys.
    pub fn keys(&self) -> HashMap<String, Entry> {
        self.keys.lock().unwrap().clone()
    }

    /// A key whose revocation was confirmed at least so long ago: the one that `number` picks.
    pub fn revoked_for(&self, age: Duration, number: u64) -> Option<String> {
        let keys = self.keys.lock().unwrap();
        let is_old = |entry: &&Entry| matches!(entry.revoked, Outcome::Confirmed(at) if at.elapsed() > age);
        let old: Vec<&Entry> = keys.values().filter(is_old).collect();
        let place = usize::try_from(number).unwrap_or_default().checked_rem(old.len())?;
        Some(old[place].key.clone())
    }

    /// Counts one more.
    pub fn count(what: &AtomicU64) {
        what.fetch_add(1, Ordering::Relaxed);
    }
}
