//! Limits on sign-in attempts: for a name from an address, for an address, and for a name; or, for a browser that proves that the
//! person has signed in with it before, for that browser alone. Otherwise anybody behind the same address could lock that person out.
//!
//! Each is counted in one of 65,536 buckets, chosen by a keyed hash, so that memory is bounded whatever is sent. Two that meet in
//! one bucket share its limit.
//!
//! The limit for a name does not apply to an address from which that person has signed in: otherwise anybody with a few addresses
//! could lock out a person who signs in with a new browser.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::http::server::network;

const BUCKETS: u64 = 1 << 16;
/// After so many attempts unused buckets are dropped, which looks at all of them.
const CLEAN_UP_EVERY: u32 = 4096;

/// So many attempts at once, and from then on one in this time.
#[derive(Clone, Copy)]
pub struct Limit {
    /// At once.
    pub burst: u32,
    /// Between two from then on.
    pub period: Duration,
}

const fn limit(burst: u32, seconds: u64) -> Limit {
    Limit { burst, period: Duration::from_secs(seconds) }
}

/// For a name from an address.
pub const OF_PAIR: Limit = limit(5, 10);
/// For an address.
pub const OF_ADDRESS: Limit = limit(20, 3);
/// For a name.
pub const OF_NAME: Limit = limit(30, 5);
/// For an address from which browsers come back from a provider.
pub const OF_RETURNS: Limit = limit(60, 1);
/// For a browser in which that person has signed in.
pub const OF_BROWSER: Limit = limit(5, 10);

type Limiter<C> = RateLimiter<u32, DefaultKeyedStateStore<u32>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// In the tests of the pages no time passes, however slow the machine is.
#[cfg(test)]
pub type ThrottleClock = governor::clock::FakeRelativeClock;
#[cfg(not(test))]
pub type ThrottleClock = governor::clock::DefaultClock;

/// The limits and what was counted.
pub struct SignInThrottle<C: Clock = ThrottleClock> {
    pair: Limiter<C>,
    address: Limiter<C>,
    name: Limiter<C>,
    returns: Limiter<C>,
    /// Only who knows the password gets into it, so it cannot be filled up.
    browser: Limiter<C>,
    /// Pairs of a name and an address from which that person has signed in.
    trusted: Mutex<HashSet<u32>>,
    buckets: RandomState,
    attempts: AtomicU32,
    clock: C,
}

impl<C: Clock + Clone> SignInThrottle<C> {
    /// Without attempts.
    pub fn new(clock: C) -> Self {
        let limiter = |Limit { burst, period }: Limit| {
            let quota = Quota::with_period(period).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
            let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
            RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
        };
        Self {
            pair: limiter(OF_PAIR),
            address: limiter(OF_ADDRESS),
            name: limiter(OF_NAME),
            returns: limiter(OF_RETURNS),
            browser: limiter(OF_BROWSER),
            trusted: Mutex::default(),
            buckets: RandomState::new(),
            attempts: AtomicU32::new(0),
            clock: clock.clone(),
        }
    }

    /// Counts one attempt. `browser` is the checked cookie of a browser in which this person has signed in.
    ///
    /// # Errors
    /// When it exceeds a limit: how long to wait.
    pub fn count_attempt(&self, name: &str, address: IpAddr, browser: Option<&str>) -> Result<(), Duration> {
        self.count_at(name, address, browser)?;
        self.count_name(name, address, browser)
    }

    /// The limit for a name alone.
    ///
    /// # Errors
    /// As [`count_attempt`](Self::count_attempt).
    pub fn count_name(&self, name: &str, address: IpAddr, browser: Option<&str>) -> Result<(), Duration> {
        if browser.is_some() || self.trusted().contains(&self.bucket((name, network(address)))) {
            return Ok(());
        }
        self.count(&self.name, self.bucket(name))
    }

    /// The same without the limit for a name: where several gateways count together, they know together who is trusted.
    ///
    /// # Errors
    /// As [`count_attempt`](Self::count_attempt).
    pub fn count_at(&self, name: &str, address: IpAddr, browser: Option<&str>) -> Result<(), Duration> {
        if self.attempts.fetch_add(1, Ordering::Relaxed) % CLEAN_UP_EVERY == CLEAN_UP_EVERY - 1 {
            for limiter in [&self.pair, &self.address, &self.name, &self.returns, &self.browser] {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        }
        if let Some(browser) = browser {
            return self.count(&self.browser, self.bucket((name, browser)));
        }
        let address = network(address);
        self.count(&self.address, self.bucket(address))?;
        self.count(&self.pair, self.bucket((name, address)))
    }

    /// Counts a browser that comes back from a provider. Wrong passwords from the same address are no part of that.
    ///
    /// # Errors
    /// When it exceeds the limit: how long to wait.
    pub fn count_return(&self, address: IpAddr) -> Result<(), Duration> {
        self.count(&self.returns, self.bucket(network(address)))
    }

    /// Remembers that this person signed in from this address, until the gateway ends.
    pub fn trust(&self, name: &str, address: IpAddr) {
        let pair = self.bucket((name, network(address)));
        self.trusted().insert(pair);
    }

    fn trusted(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, limiter: &Limiter<C>, bucket: u32) -> Result<(), Duration> {
        limiter.check_key(&bucket).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn bucket(&self, what: impl std::hash::Hash) -> u32 {
        u32::try_from(self.buckets.hash_one(what) % BUCKETS).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn throttle() -> (SignInThrottle<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (SignInThrottle::new(clock.clone()), clock)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn five_attempts_and_then_one_every_ten_seconds() {
        let (throttle, clock) = throttle();
        for _ in 0..5 {
            throttle.count_attempt("ada", address(1), None).unwrap();
        }
        let wait = throttle.count_attempt("ada", address(1), None).unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        throttle.count_attempt("bob", address(1), None).unwrap();
        throttle.count_attempt("ada", address(2), None).unwrap();
        clock.advance(Duration::from_secs(10));
        throttle.count_attempt("ada", address(1), None).unwrap();
        assert!(throttle.count_attempt("ada", address(1), None).is_err());
    }

    #[test]
    fn many_names_and_many_addresses_are_limited_too() {
        let (throttle, _) = throttle();
        let by_name = (0..50).filter(|n| throttle.count_attempt(&format!("user{n}"), address(1), None).is_ok()).count();
        assert_eq!(by_name, 20);
        let by_address = (2..102).filter(|n| throttle.count_attempt("ada", address(*n), None).is_ok()).count();
        assert_eq!(by_address, 30);
        let one_network = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        assert_eq!(
            (0..50).filter(|n| throttle.count_attempt(&format!("u{n}"), one_network(*n), None).is_ok()).count(),
            20
        );
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), address(1));
    }

    #[test]
    fn attempts_of_others_do_not_lock_out_an_address_that_signed_in() {
        let (throttle, clock) = throttle();
        throttle.count_attempt("ada", address(1), None).unwrap();
        throttle.trust("ada", address(1));
        let by_others = (2..102).filter(|n| throttle.count_attempt("ada", address(*n), None).is_ok()).count();
        assert_eq!(by_others, 29);
        assert!(throttle.count_attempt("ada", address(200), None).is_err(), "other addresses have to wait");
        for _ in 0..4 {
            throttle.count_attempt("ada", address(1), None).unwrap();
        }
        assert!(throttle.count_attempt("ada", address(1), None).is_err(), "but guessing is limited there too");
        clock.advance(Duration::from_secs(10));
        throttle.count_attempt("ada", address(1), None).unwrap();
    }

    #[test]
    fn a_known_browser_is_counted_apart_and_limited_too() {
        let (throttle, clock) = throttle();
        while throttle.count_attempt("ada", address(1), None).is_ok() {}
        for n in 0..50 {
            let _ = throttle.count_attempt(&format!("user{n}"), address(1), None);
        }
        for _ in 0..5 {
            throttle.count_attempt("ada", address(1), Some("hers")).unwrap();
        }
        assert!(throttle.count_attempt("ada", address(1), Some("hers")).is_err());
        assert!(throttle.count_attempt("ada", address(2), Some("hers")).is_err(), "at every address");
        throttle.count_attempt("ada", address(1), Some("her other one")).unwrap();
        clock.advance(Duration::from_secs(10));
        throttle.count_attempt("ada", address(1), Some("hers")).unwrap();
        assert!(throttle.count_attempt("ada", address(1), Some("hers")).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, clock) = throttle();
        for n in 0..200_000_u32 {
            let _ = throttle.count_attempt(&format!("user{n}"), IpAddr::from(n.to_be_bytes()), None);
        }
        assert!(throttle.pair.len() <= BUCKETS as usize && throttle.address.len() <= BUCKETS as usize);
        clock.advance(Duration::from_secs(3600));
        for _ in 0..CLEAN_UP_EVERY {
            let _ = throttle.count_attempt("ada", address(1), None);
        }
        assert!(throttle.pair.len() < 10 && throttle.name.len() < 10, "unused buckets are dropped");
    }
}
