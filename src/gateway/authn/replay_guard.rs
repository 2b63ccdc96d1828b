//! Signatures that were accepted, while their time is valid.
//!
//! A stock client repeats a signature within a second (measured), so the same one is good again, but from the same address only;
//! for a request that changes something it is good once. Memory is bounded: a device that sends too many signatures gets a 429.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::identity::{Challenge, PublicKey};

/// As many live signatures of one device: a hundred requests a second for two minutes and a half.
const MOST_OF_ONE: usize = 16 * 1024;
/// And of all.
const MOST: usize = 512 * 1024;

/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not seen before.
    First,
    /// It was seen from the same address, and may be.
    Again,
    /// It was seen, and is good once.
    Spent,
    /// It was seen from that other address.
    Stolen(IpAddr),
    /// The table is full.
    TooMany,
    /// It is from a time whose signatures are forgotten already: the clock was set back, or the tolerance made longer.
    Forgotten,
}

/// A signature that was used.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// Whose.
    pub key: &'a PublicKey,
    /// For what.
    pub challenge: &'a Challenge,
    /// Its time, in Unix seconds.
    pub ts: i64,
    /// From where.
    pub address: IpAddr,
    /// It is good once.
    pub once: bool,
}

/// The signatures that must be remembered.
#[derive(Debug, Default)]
pub struct ReplayGuard(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<PublicKey, Seen>,
    total: usize,
    swept: i64,
    /// What was signed before this Unix second may have been seen.
    remembers_from: i64,
}

/// One device's signatures, by their `ts`.
#[derive(Debug, Default)]
struct Seen {
    by_ts: BTreeMap<i64, HashMap<[u8; 16], IpAddr>>,
    total: usize,
}

impl ReplayGuard {
    /// Takes note of a signature that was checked. `tolerance` is in seconds.
    pub fn admit(&self, used: Used<'_>, now: i64, tolerance: i64) -> Verdict {
        let Used { key, challenge, ts, address, once } = used;
        let digest = Sha256::digest(challenge.as_str());
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);

        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(now, tolerance);
        if ts < table.remembers_from {
            return Verdict::Forgotten;
        }
        let full = table.total >= MOST;
        let seen = table.by_key.entry(key.clone()).or_default();
        if let Some(first) = seen.by_ts.get(&ts).and_then(|seen| seen.get(&short)) {
            return match *first {
                from if from != address => Verdict::Stolen(from),
                _ if once => Verdict::Spent,
                _ => Verdict::Again,
            };
        }
        if full || seen.total >= MOST_OF_ONE {
            return Verdict::TooMany;
        }
        seen.by_ts.entry(ts).or_default().insert(short, address);
        seen.total += 1;
        table.total += 1;
        Verdict::First
    }
}

impl Table {
    /// Forgets what is too old to be accepted anyway. Once a second is enough.
    fn sweep(&mut self, now: i64, tolerance: i64) {
        if self.swept == now {
            return;
        }
        self.swept = now;
        let oldest = now.saturating_sub(tolerance);
        self.remembers_from = self.remembers_from.max(oldest);
        self.by_key.retain(|_, seen| {
            seen.by_ts = seen.by_ts.split_off(&oldest);
            seen.total = seen.by_ts.values().map(HashMap::len).sum();
            seen.total > 0
        });
        self.total = self.by_key.values().map(|seen| seen.total).sum();
    }
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
    fn a_signature_is_repeated_only_from_its_address() {
        let (guard, key, other) = (ReplayGuard::default(), key(), key());
        let admit = |key, text: &str, from, once, now| {
            let challenge = &Challenge::new("POST", text, 1000);
            guard.admit(Used { key, challenge, ts: 1000, address: address(from), once }, now, 60)
        };
        assert_eq!(admit(&key, "/api/me", 1, false, 1000), Verdict::First);
        assert_eq!(admit(&key, "/api/me", 1, false, 1060), Verdict::Again);
        assert_eq!(admit(&key, "/api/me", 2, false, 1060), Verdict::Stolen(address(1)));
        assert_eq!(admit(&other, "/api/me", 2, false, 1060), Verdict::First);
        assert_eq!(admit(&key, "/api/signout", 1, true, 1060), Verdict::First);
        assert_eq!(admit(&key, "/api/signout", 1, true, 1060), Verdict::Spent);
    }

    #[test]
    fn signatures_are_remembered_while_they_are_valid() {
        let (guard, key) = (ReplayGuard::default(), key());
        let challenge = Challenge::new("GET", "/api/tags", 1050);
        let admit = |from, now| {
            let used = Used { key: &key, challenge: &challenge, ts: 1050, address: address(from), once: false };
            guard.admit(used, now, 60)
        };
        assert_eq!(admit(1, 1000), Verdict::First);
        assert_eq!(admit(2, 1110), Verdict::Stolen(address(1)));
        assert_eq!(guard.0.lock().unwrap().total, 1);
        assert_eq!(admit(2, 1111), Verdict::Forgotten);
        assert_eq!(guard.0.lock().unwrap().total, 0);
    }

    /// The clock is set back, or a longer tolerance configured: what was forgotten is not taken for new.
    #[test]
    fn forgotten_signatures_are_refused() {
        let (guard, key) = (ReplayGuard::default(), key());
        let admit = |ts, from, now, tolerance| {
            let challenge = Challenge::new("POST", "/api/user/keys", ts);
            let used = Used { key: &key, challenge: &challenge, ts, address: address(from), once: true };
            guard.admit(used, now, tolerance)
        };
        assert_eq!(admit(1000, 1, 1000, 60), Verdict::First);
        assert_eq!(admit(1100, 1, 1100, 60), Verdict::First);
        assert_eq!(admit(1000, 1, 1010, 60), Verdict::Forgotten);
        assert_eq!(admit(1000, 2, 1100, 600), Verdict::Forgotten);
        assert_eq!(admit(1039, 1, 1039, 60), Verdict::Forgotten);
        assert_eq!(admit(1040, 1, 1040, 60), Verdict::First);
        assert_eq!(admit(1100, 1, 1040, 60), Verdict::Spent);
    }

    #[test]
    fn a_device_cannot_fill_the_memory_of_others() {
        let (guard, greedy, modest) = (ReplayGuard::default(), key(), key());
        let admit = |key, text: &str| {
            let challenge = &Challenge::new("GET", text, 1000);
            guard.admit(Used { key, challenge, ts: 1000, address: address(1), once: false }, 1000, 60)
        };
        for count in 0..MOST_OF_ONE {
            assert_eq!(admit(&greedy, &format!("/{count}")), Verdict::First);
        }
        assert_eq!(admit(&greedy, "/"), Verdict::TooMany);
        assert_eq!(admit(&modest, "/"), Verdict::First);
    }
}
