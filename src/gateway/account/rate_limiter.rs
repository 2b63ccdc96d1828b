//! How often a key without the scope `keys` may change something of itself. Each change stays on record, and an account holds so many:
//! whoever got hold of such a key could otherwise use all of them up, and nobody could make or replace a key of that account again.
//!
//! All keys of which one replaces the other are counted as one, since a replacement can ask for the next.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;

use super::super::rejection::Rejection;
use crate::keyspec::KeyId;

/// More than a rotation needs that is cut short every minute for half a day; and a twentieth of what an account may have.
const BURST: u32 = 1000;
/// From then on: in a year a third of what an account may have on record.
const EVERY: Duration = Duration::from_secs(900);
/// After so many changes what nobody uses any more is dropped.
const TIDY_EVERY: u32 = 4096;

type Limiter<C> = governor::RateLimiter<KeyId, DefaultKeyedStateStore<KeyId>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// See the module.
pub struct RateLimiter<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    changes: AtomicU32,
    clock: C,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new(DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimiter<C> {
    fn new(clock: C) -> Self {
        let quota = Quota::with_period(EVERY).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
        let quota = quota.allow_burst(NonZeroU32::new(BURST).unwrap_or(NonZeroU32::MIN));
        let limiter = governor::RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone());
        Self { limiter, changes: AtomicU32::new(0), clock }
    }

    /// Counts a change of the keys that began with `first`.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub fn count(&self, first: KeyId) -> Result<(), Rejection> {
        if self.changes.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&first).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now()).as_secs().saturating_add(1);
            Rejection::new(429, format!("this key changes itself too limiter; it may again in {wait} s"))
                .header("retry-after", &wait.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_thousand_and_then_one_in_a_quarter_of_an_hour() {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::new(clock.clone());
        let [one, other] = ["key_12345678", "key_87654321"].map(|id| id.parse::<KeyId>().unwrap());
        for _ in 0..BURST {
            limiter.count(one.clone()).unwrap();
        }
        let refused = limiter.count(one.clone()).unwrap_err();
        assert!(
            refused.status() == 429 && ["900 s", "901 s"].iter().any(|wait| refused.message().contains(wait)),
            "{}",
            refused.message()
        );
        limiter.count(other).unwrap();
        clock.advance(EVERY);
        limiter.count(one.clone()).unwrap();
        assert!(limiter.count(one).is_err());
    }
}
