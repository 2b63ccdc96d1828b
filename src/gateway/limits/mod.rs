//! How much callers may use: requests per minute and requests at a time, of each key, each person and the gateway.
//!
//! A request takes its place in all limits that apply, or is refused by one and takes none: both happen under one lock, which is held for a
//! few additions. Without limits nothing is locked.
//!
//! The rate is that of the generic cell rate algorithm: of each subject there is one time, at which its whole burst is free again.

mod refusal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::keyspec::{KeyId, RequestLimits};

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of an API key, with those that replace it.
    Key,
    /// Of a person: all devices and keys together.
    Person,
    /// Of the gateway: all callers together.
    Gateway,
}

/// The limits that apply to one request.
#[derive(Clone, Copy, Debug)]
pub struct Applicable<'a> {
    /// The first key of the chain of replacements, if a key asks. So a replacement does not begin anew.
    pub key: Option<&'a KeyId>,
    /// Those of the key.
    pub of_key: RequestLimits,
    /// The person's account.
    pub person: Uuid,
    /// Those of the person.
    pub of_person: RequestLimits,
    /// Those of the gateway.
    pub of_gateway: RequestLimits,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Too many requests: as many a minute as allowed, and how long until the next.
    Rate(Subject, NonZeroU32, Duration),
    /// As many at a time as allowed.
    Streams(Subject, NonZeroU32),
}

/// See the module.
#[derive(Debug)]
pub struct Limiter {
    usage: Mutex<Usage>,
    /// The gateways that share the limits, this one among them.
    gateways: AtomicU32,
    /// How many were counted last.
    counted: AtomicU32,
}

/// What is used. There is an entry for each subject that asked since the last [`Limiter::sweep`]: no more than accounts and keys.
#[derive(Debug, Default)]
struct Usage {
    keys: HashMap<KeyId, Bucket>,
    people: HashMap<Uuid, Bucket>,
    gateway: Bucket,
}

/// What one subject uses.
#[derive(Debug, Default)]
struct Bucket {
    /// When its whole burst is free, in nanoseconds of the time that passes.
    free_at: u64,
    /// Its requests at the upstream server. Their slots count it down.
    streams: Arc<AtomicU32>,
}

/// A request's place among those at the upstream server, until it is dropped. By default none.
#[derive(Debug, Default)]
pub struct Slot(Option<Box<[Option<Arc<AtomicU32>>; 3]>>);

impl Drop for Slot {
    fn drop(&mut self) {
        for streams in self.0.iter().flat_map(|all| all.iter()).flatten() {
            streams.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self { usage: Mutex::default(), gateways: AtomicU32::new(1), counted: AtomicU32::new(1) }
    }
}

impl Limiter {
    /// Takes the request's place in each limit, or in none. `now` is the time that has passed since some moment.
    ///
    /// # Errors
    /// The tightest limit that it exceeds: of the rates that which makes it wait longest; otherwise the smallest number at a time.
    pub fn admit(&self, applicable: &Applicable<'_>, now: impl FnOnce() -> Duration) -> Result<Slot, Exceeded> {
        let Applicable { key, of_key, person, of_person, of_gateway } = *applicable;
        let counts = |limits: RequestLimits| limits.requests_per_minute.is_some() || limits.streams.is_some();
        let key = key.filter(|_| counts(of_key));
        if key.is_none() && !counts(of_person) && !counts(of_gateway) {
            return Ok(Slot::default());
        }
        let gateways = NonZeroU32::new(self.gateways.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN);
        let usage = &mut *self.lock();
        // Read under the lock: otherwise a later request could have an earlier time.
        let now = nanoseconds(now());
        let key = key.map(|id| (Subject::Key, of_key, usage.keys.entry(id.clone()).or_default()));
        let person = counts(of_person).then(|| (Subject::Person, of_person, usage.people.entry(person).or_default()));
        let gateway = counts(of_gateway).then_some((Subject::Gateway, of_gateway, &mut usage.gateway));
        let mut all = [key, person, gateway];
        let exceeded = all.iter().flatten().filter_map(|(subject, limits, bucket)| {
            bucket.exceeds(*limits, gateways, now).map(|problem| problem.of(*subject))
        });
        if let Some(tightest) = exceeded.reduce(tighter) {
            return Err(tightest);
        }
        let taken = all.each_mut().map(|one| {
            let (_, limits, bucket) = one.as_mut()?;
            Some(bucket.take(limits.share(gateways), now))
        });
        Ok(Slot(Some(taken.into())))
    }

    /// How many gateways share the limits. Of the last two counts the larger one holds: after the database did not answer for a while, the
    /// first gateway to count sees none of the others.
    pub fn set_gateways(&self, count: NonZeroU32) {
        let before = self.counted.swap(count.get(), Ordering::Relaxed);
        self.gateways.store(count.get().max(before), Ordering::Relaxed);
    }

    /// Forgets subjects that use nothing now.
    pub fn sweep(&self, now: Duration) {
        let (usage, now) = (&mut *self.lock(), nanoseconds(now));
        usage.keys.retain(|_, bucket| bucket.is_used(now));
        usage.people.retain(|_, bucket| bucket.is_used(now));
        usage.keys.shrink_to_fit();
        usage.people.shrink_to_fit();
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a bucket has too little of.
enum Shortage {
    Rate(NonZeroU32, Duration),
    Streams(NonZeroU32),
}

impl Shortage {
    fn of(self, subject: Subject) -> Exceeded {
        match self {
            Self::Rate(per_minute, wait) => Exceeded::Rate(subject, per_minute, wait),
            Self::Streams(most) => Exceeded::Streams(subject, most),
        }
    }
}

/// The one that is to be told. Of equal ones the first.
fn tighter(one: Exceeded, other: Exceeded) -> Exceeded {
    match (&one, &other) {
        (Exceeded::Rate(_, _, wait), Exceeded::Rate(_, _, longer)) if longer > wait => other,
        (Exceeded::Streams(..), Exceeded::Rate(..)) => other,
        (Exceeded::Streams(_, most), Exceeded::Streams(_, fewer)) if fewer < most => other,
        _ => one,
    }
}

impl Bucket {
    /// What prevents one more request.
    fn exceeds(&self, limits: RequestLimits, gateways: NonZeroU32, now: u64) -> Option<Shortage> {
        let share = limits.share(gateways);
        if let (Some((rate, burst)), Some((whole, _))) = (share.rate(), limits.rate()) {
            let (interval, room) = pace(rate, burst);
            let wait = self.begins(room, now).saturating_add(interval).saturating_sub(now.saturating_add(room));
            if wait > 0 {
                return Some(Shortage::Rate(whole, Duration::from_nanos(wait)));
            }
        }
        let is_full = share.streams.is_some_and(|most| self.streams.load(Ordering::Acquire) >= most.get());
        limits.streams.filter(|_| is_full).map(Shortage::Streams)
    }

    /// Takes one request out.
    fn take(&mut self, share: RequestLimits, now: u64) -> Arc<AtomicU32> {
        if let Some((rate, burst)) = share.rate() {
            let (interval, room) = pace(rate, burst);
            self.free_at = self.begins(room, now).saturating_add(interval);
        }
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.streams.clone()
    }

    /// When the burst is free without the request, but not before now. What was used of a larger burst, before the limit was changed, counts
    /// as the whole of this one.
    fn begins(&self, room: u64, now: u64) -> u64 {
        self.free_at.clamp(now, now.saturating_add(room))
    }

    fn is_used(&self, now: u64) -> bool {
        self.free_at > now || Arc::strong_count(&self.streams) > 1
    }
}

/// The nanoseconds between two requests, and those of the whole burst.
fn pace(per_minute: NonZeroU32, burst: NonZeroU32) -> (u64, u64) {
    let interval = 60_000_000_000 / u64::from(per_minute.get());
    (interval, interval.saturating_mul(burst.get().into()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The smallest size of a request, and whose limit that is.
pub fn request_size(applicable: &Applicable<'_>) -> Option<(Subject, NonZeroU64)> {
    let all = [
        (Subject::Key, applicable.of_key.request_size),
        (Subject::Person, applicable.of_person.request_size),
        (Subject::Gateway, applicable.of_gateway.request_size),
    ];
    all.into_iter().filter_map(|(subject, size)| Some((subject, size?))).min_by_key(|(_, size)| *size)
}
