//! Signatures that were accepted, as long as they could be accepted again.
//!
//! A stock client repeats a signature within a second (measured), so a repetition is no attack by itself; [`Reuse`] says what is allowed.
//! Signatures are kept by the time that passes, and not by the clock, which may be set: one that is too old today is acceptable again
//! when the clock is set back. What is dropped leaves a mark, the latest time of a dropped signature; nothing of that device from before
//! it is accepted. So no signature counts twice, whatever the clock shows, and a mark is a device's own.
//!
//! Memory is bounded for each device, each account and all together. One account's use does not shorten another's: when all
//! together are too many, the account that has most loses its oldest.

mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use self::table::Table;
use crate::gateway::clock::Moment;
use crate::identity::{Challenge, PublicKey};

/// How long after its first use a signature is taken for the second of two equal requests.
const TOGETHER: Duration = Duration::from_secs(2);

/// How often, and from where, a signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Any number of times: within two seconds from everywhere (a device can send two equal requests through two addresses), later from the
    /// first address. For requests that change nothing.
    Repeatable,
    /// Within two seconds, from the first address. For changes of models by clients that do not sign the body: `ollama rm a b` sends the
    /// same signature twice.
    Together,
    /// A single time.
    Once,
}

impl Reuse {
    /// Whether a signature is good again that was first used so long ago, from the same address or from that `first` one.
    pub(super) fn verdict(self, is_same: bool, age: Duration, first: IpAddr) -> Verdict {
        let together = age <= TOGETHER;
        match self {
            Self::Repeatable if is_same || together => Verdict::Again,
            Self::Together if is_same && together => Verdict::Again,
            _ if is_same => Verdict::Spent,
            _ => Verdict::Stolen(first),
        }
    }
}

/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not seen before.
    First,
    /// It was seen, and may be repeated so.
    Again,
    /// It was seen from this address, and is not good any more.
    Spent,
    /// It was seen from that other address.
    Stolen(IpAddr),
    /// It may have been seen: signatures of this device up to this Unix second are forgotten.
    Forgotten(i64),
    /// The device has as many as it may.
    TooManyOfDevice,
    /// Its account has.
    TooManyOfAccount,
}

/// A signature that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// Whose.
    pub key: &'a PublicKey,
    /// The account of the device.
    pub account: Uuid,
    /// For what.
    pub challenge: &'a Challenge,
    /// Its time, in Unix seconds.
    pub ts: i64,
    /// From where.
    pub address: IpAddr,
    /// How often it is good.
    pub reuse: Reuse,
}

/// The most signatures that are kept.
#[derive(Clone, Copy, Debug)]
struct Limits {
    device: usize,
    account: usize,
    all: usize,
}

impl Limits {
    /// Of one device a hundred different requests a second for two minutes and a half, of one account an eighth of all.
    const USUAL: Self = Self { device: 16 * 1024, account: 64 * 1024, all: 512 * 1024 };
}

/// The signatures that must be remembered.
#[derive(Debug)]
pub struct ReplayGuard(Mutex<Table>);

impl ReplayGuard {
    /// `marks` are the Unix seconds up to which an earlier gateway may have accepted signatures of each device.
    pub fn new(marks: HashMap<PublicKey, i64>) -> Self {
        Self(Mutex::new(Table::new(marks, Limits::USUAL)))
    }

    /// Takes note of a signature that was checked. `tolerance` is in seconds.
    pub fn admit(&self, used: Used<'_>, at: Moment, tolerance: i64) -> Verdict {
        let digest = Sha256::digest(used.challenge.as_str());
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        self.lock().admit(used, short, at, at.now.saturating_sub(tolerance))
    }

    /// Whether the store holds that the device has used signatures up to that Unix second.
    pub fn is_recorded(&self, key: &PublicKey, ts: i64) -> bool {
        self.lock().seen(key).is_some_and(|seen| ts <= seen.recorded)
    }

    /// Notes that it does.
    pub fn set_recorded(&self, key: &PublicKey, ts: i64) {
        if let Some(seen) = self.lock().seen(key) {
            seen.recorded = seen.recorded.max(ts);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
