//! Requests per minute and requests at a time.
//!
//! A request takes its place in all limits that apply, or is refused by one and takes none: both happen under one lock, which is held for a
//! few additions. Without limits nothing is locked.
//!
//! The rate is that of the generic cell rate algorithm: of each subject there is one time, at which its whole burst is free again.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::gateway::groups::GroupsOfPerson;
use crate::gateway::limits::applicable::{Account, Applicable, Subject};
use crate::gateway::policy_name::PolicyName;
use crate::keyspec::{KeyId, LimitUse, RequestLimits};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Too many requests: as many a minute as allowed, and how long until the next.
    Rate(Subject, NonZeroU32, Duration),
    /// As many at a time as allowed.
    Streams(Subject, NonZeroU32),
}

/// What a subject uses of its limits at this gateway.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Whose limits.
    pub subject: Subject,
    /// The whole limits, of all gateways together.
    pub limits: RequestLimits,
    /// The requests of the burst that are not free again, where the rate is limited.
    pub requests: Option<u64>,
    /// The requests at the upstream server, where their number is limited.
    pub streams: Option<u32>,
    /// Why another request would be refused.
    pub exceeded: Option<Exceeded>,
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

/// What is used. There is an entry for each subject that asked since the last [`Limiter::sweep`]: no more than accounts, keys, groups and
/// environments.
#[derive(Debug, Default)]
struct Usage {
    keys: HashMap<KeyId, Arc<Bucket>>,
    people: HashMap<Uuid, Arc<Bucket>>,
    people_in: HashMap<(Uuid, PolicyName), Arc<Bucket>>,
    groups: HashMap<PolicyName, Arc<Bucket>>,
    environments: HashMap<PolicyName, Arc<Bucket>>,
    gateway: Arc<Bucket>,
}

impl Usage {
    fn bucket(&mut self, account: Account<'_>) -> Arc<Bucket> {
        fn entry<K: Clone + Eq + Hash>(all: &mut HashMap<K, Arc<Bucket>>, key: &K) -> Arc<Bucket> {
            match all.get(key) {
                Some(known) => known.clone(),
                None => all.entry(key.clone()).or_default().clone(),
            }
        }
        match account {
            Account::Key(id) => entry(&mut self.keys, id),
            Account::Person(id) => entry(&mut self.people, &id),
            Account::PersonIn(id, environment) => entry(&mut self.people_in, &(id, environment)),
            Account::Group(name) => entry(&mut self.groups, &name),
            Account::Environment(name) => entry(&mut self.environments, &name),
            Account::Gateway => self.gateway.clone(),
        }
    }
}

impl Usage {
    /// What a subject uses, if it uses anything.
    fn known(&self, account: Account<'_>) -> Option<&Arc<Bucket>> {
        match account {
            Account::Key(id) => self.keys.get(id),
            Account::Person(id) => self.people.get(&id),
            Account::PersonIn(id, environment) => self.people_in.get(&(id, environment)),
            Account::Group(name) => self.groups.get(&name),
            Account::Environment(name) => self.environments.get(&name),
            Account::Gateway => Some(&self.gateway),
        }
    }
}

/// What one subject uses. Only who holds the lock of [`Usage`] adds to it.
#[derive(Debug, Default)]
struct Bucket {
    /// When its whole burst is free, in nanoseconds of the time that passes.
    free_at: AtomicU64,
    /// Its requests at the upstream server. Their slots count it down.
    streams: AtomicU32,
}

/// A request's place among those at the upstream server, until it is dropped. By default none.
#[derive(Debug, Default)]
pub struct Slot(Box<[Arc<Bucket>]>);

impl Drop for Slot {
    fn drop(&mut self) {
        for bucket in &self.0 {
            bucket.streams.fetch_sub(1, Ordering::AcqRel);
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
        let counts = |limits: &RequestLimits| limits.requests_per_minute.is_some() || limits.streams.is_some();
        let all: SmallVec<[_; 8]> = applicable.each().filter(|(_, limits)| counts(limits)).collect();
        if all.is_empty() {
            return Ok(Slot::default());
        }
        let gateways = self.gateways();
        let usage = &mut *self.lock();
        // Read under the lock: otherwise a later request could have an earlier time.
        let now = nanoseconds(now());
        let buckets: SmallVec<[Arc<Bucket>; 8]> = all.iter().map(|(account, _)| usage.bucket(*account)).collect();
        let exceeded = all.iter().zip(&buckets).filter_map(|((account, limits), bucket)| {
            bucket.exceeds(*limits, gateways, now).map(|problem| (*account, problem))
        });
        if let Some((account, problem)) = exceeded.reduce(tighter) {
            return Err(problem.of(account.subject()));
        }
        for ((_, limits), bucket) in all.iter().zip(&buckets) {
            bucket.take(limits.share(gateways), now);
        }
        Ok(Slot(buckets.into_iter().collect()))
    }

    /// What is used of each limit that applies, the narrowest first. Takes nothing.
    pub fn used(&self, applicable: &Applicable<'_>, now: impl FnOnce() -> Duration) -> Vec<Used> {
        let gateways = self.gateways();
        let usage = &*self.lock();
        let now = nanoseconds(now());
        let used = |(account, limits): (Account<'_>, RequestLimits)| {
            let unused = Arc::default();
            let bucket = usage.known(account).unwrap_or(&unused);
            Used {
                subject: account.subject(),
                limits,
                requests: limits.share(gateways).rate().map(|(rate, burst)| {
                    let (interval, room) = pace(rate, burst);
                    bucket.begins(room, now).saturating_sub(now).div_ceil(interval)
                }),
                streams: limits.streams.map(|_| bucket.streams.load(Ordering::Acquire)),
                exceeded: bucket.exceeds(limits, gateways, now).map(|problem| problem.of(account.subject())),
            }
        };
        applicable.each().filter(|(_, limits)| !limits.is_none()).map(used).collect()
    }

    /// What a key, named by the first of its chain of replacements, uses of its limits at this gateway; `None` if it has none that are
    /// counted.
    pub fn used_by_key(&self, key: &KeyId, limits: RequestLimits, now: impl FnOnce() -> Duration) -> Option<LimitUse> {
        if limits.rate().is_none() && limits.streams.is_none() {
            return None;
        }
        let applicable = Applicable {
            key: Some(key),
            of_key: limits,
            person: Uuid::nil(),
            of_person: RequestLimits::default(),
            groups: GroupsOfPerson::new(),
            environment: None,
            of_gateway: RequestLimits::default(),
        };
        let Used { requests, streams, .. } = self.used(&applicable, now).into_iter().next()?;
        Some(LimitUse { requests, streams: streams.map(u64::from), ..LimitUse::default() })
    }

    /// What all requests together use of limits of the whole gateway, at this one of those that share them. The limits are its share.
    pub fn used_by_all(&self, limits: RequestLimits, now: impl FnOnce() -> Duration) -> Option<Used> {
        let applicable = Applicable {
            key: None,
            of_key: RequestLimits::default(),
            person: Uuid::nil(),
            of_person: RequestLimits::default(),
            groups: GroupsOfPerson::new(),
            environment: None,
            of_gateway: limits,
        };
        let used = self.used(&applicable, now).into_iter().next()?;
        Some(Used { limits: limits.share(self.gateways()), ..used })
    }

    /// The gateways that share the limits, this one among them.
    pub fn gateways(&self) -> NonZeroU32 {
        NonZeroU32::new(self.gateways.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// How many gateways share the limits. Returns the larger one of the last two counts, which holds: after the database did not answer for a while, the
    /// first gateway to count sees none of the others.
    pub fn set_gateways(&self, count: NonZeroU32) -> NonZeroU32 {
        let before = self.counted.swap(count.get(), Ordering::Relaxed);
        let count = count.max(NonZeroU32::new(before).unwrap_or(NonZeroU32::MIN));
        self.gateways.store(count.get(), Ordering::Relaxed);
        count
    }

    /// Forgets subjects that use nothing now.
    pub fn sweep(&self, now: Duration) {
        let (usage, now) = (&mut *self.lock(), nanoseconds(now));
        fn sweep<K: Eq + Hash>(all: &mut HashMap<K, Arc<Bucket>>, now: u64) {
            all.retain(|_, bucket| bucket.is_used(now));
            all.shrink_to_fit();
        }
        sweep(&mut usage.keys, now);
        sweep(&mut usage.people, now);
        sweep(&mut usage.people_in, now);
        sweep(&mut usage.groups, now);
        sweep(&mut usage.environments, now);
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
fn tighter<'a>(one: (Account<'a>, Shortage), other: (Account<'a>, Shortage)) -> (Account<'a>, Shortage) {
    match (&one.1, &other.1) {
        (Shortage::Rate(_, wait), Shortage::Rate(_, longer)) if longer > wait => other,
        (Shortage::Streams(_), Shortage::Rate(..)) => other,
        (Shortage::Streams(most), Shortage::Streams(fewer)) if fewer < most => other,
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
    fn take(&self, share: RequestLimits, now: u64) {
        if let Some((rate, burst)) = share.rate() {
            let (interval, room) = pace(rate, burst);
            self.free_at.store(self.begins(room, now).saturating_add(interval), Ordering::Relaxed);
        }
        self.streams.fetch_add(1, Ordering::AcqRel);
    }

    /// When the burst is free without the request, but not before now. What was used of a larger burst, before the limit was changed, counts
    /// as the whole of this one.
    fn begins(&self, room: u64, now: u64) -> u64 {
        self.free_at.load(Ordering::Relaxed).clamp(now, now.saturating_add(room))
    }

    fn is_used(&self, now: u64) -> bool {
        self.free_at.load(Ordering::Relaxed) > now || self.streams.load(Ordering::Acquire) > 0
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
