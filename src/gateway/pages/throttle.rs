//! How often a sign-in may be tried: for a name from an address, from an address, and for a name.
//!
//! Each is counted in one of 65,536 places, chosen by a hash that nobody outside can work out, so that memory is bounded
//! whatever is sent. Two that meet in one place share it.
//!
//! What others try by a name does not hold up whoever signed in by it lately, from the same address: else anybody with a few
//! addresses could lock anybody out.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::http::connection_slots::network;

const PLACES: u64 = 1 << 16;
/// After so many tries the places are dropped that nobody uses any more: that looks at all of them.
const TIDY_EVERY: u32 = 4096;

type Limiter<C> = RateLimiter<u32, DefaultKeyedStateStore<u32>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// See the module.
pub struct Throttle<C: Clock = DefaultClock> {
    pair: Limiter<C>,
    address: Limiter<C>,
    name: Limiter<C>,
    /// The names and addresses that belong together.
    proven: Mutex<HashSet<u32>>,
    places: RandomState,
    tries: AtomicU32,
    clock: C,
}

impl<C: Clock + Clone> Throttle<C> {
    /// With nobody counted.
    pub fn new(clock: C) -> Self {
        let limiter = |burst: u32, every: Duration| {
            let quota = Quota::with_period(every).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
            let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
            RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
        };
        Self {
            pair: limiter(5, Duration::from_secs(10)),
            address: limiter(20, Duration::from_secs(3)),
            name: limiter(30, Duration::from_secs(5)),
            proven: Mutex::default(),
            places: RandomState::new(),
            tries: AtomicU32::new(0),
            clock: clock.clone(),
        }
    }

    /// Counts one try.
    ///
    /// # Errors
    /// When it is one too many: how long to wait.
    pub fn check(&self, name: &str, address: IpAddr) -> Result<(), Duration> {
        if self.tries.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            for limiter in [&self.pair, &self.address, &self.name] {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        }
        let address = network(address);
        self.count(&self.address, self.place(address))?;
        let pair = self.place((name, address));
        self.count(&self.pair, pair)?;
        if self.proven().contains(&pair) {
            return Ok(());
        }
        self.count(&self.name, self.place(name))
    }

    /// Remembers that somebody signed in, until the gateway ends.
    pub fn remember(&self, name: &str, address: IpAddr) {
        let pair = self.place((name, network(address)));
        self.proven().insert(pair);
    }

    fn proven(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, limiter: &Limiter<C>, place: u32) -> Result<(), Duration> {
        limiter.check_key(&place).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn place(&self, what: impl std::hash::Hash) -> u32 {
        u32::try_from(self.places.hash_one(what) % PLACES).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn throttle() -> (Throttle<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Throttle::new(clock.clone()), clock)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn five_tries_and_then_one_in_ten_seconds() {
        let (throttle, clock) = throttle();
        for _ in 0..5 {
            throttle.check("ada", address(1)).unwrap();
        }
        let wait = throttle.check("ada", address(1)).unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        throttle.check("bob", address(1)).unwrap();
        throttle.check("ada", address(2)).unwrap();
        clock.advance(Duration::from_secs(10));
        throttle.check("ada", address(1)).unwrap();
        assert!(throttle.check("ada", address(1)).is_err());
    }

    #[test]
    fn neither_many_names_nor_many_addresses_help() {
        let (throttle, _) = throttle();
        let by_name = (0..50).filter(|n| throttle.check(&format!("user{n}"), address(1)).is_ok()).count();
        assert_eq!(by_name, 20);
        let by_address = (2..102).filter(|n| throttle.check("ada", address(*n)).is_ok()).count();
        assert_eq!(by_address, 30);
        let one_network = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        assert_eq!((0..50).filter(|n| throttle.check(&format!("u{n}"), one_network(*n)).is_ok()).count(), 20);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), address(1));
    }

    #[test]
    fn nobody_is_locked_out_where_they_signed_in() {
        let (throttle, clock) = throttle();
        throttle.check("ada", address(1)).unwrap();
        throttle.remember("ada", address(1));
        let by_others = (2..102).filter(|n| throttle.check("ada", address(*n)).is_ok()).count();
        assert_eq!(by_others, 29);
        assert!(throttle.check("ada", address(200)).is_err(), "from elsewhere it is to wait");
        for _ in 0..4 {
            throttle.check("ada", address(1)).unwrap();
        }
        assert!(throttle.check("ada", address(1)).is_err(), "but may not guess on and on");
        clock.advance(Duration::from_secs(10));
        throttle.check("ada", address(1)).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, clock) = throttle();
        for n in 0..200_000_u32 {
            let _ = throttle.check(&format!("user{n}"), IpAddr::from(n.to_be_bytes()));
        }
        assert!(throttle.pair.len() <= PLACES as usize && throttle.address.len() <= PLACES as usize);
        clock.advance(Duration::from_secs(3600));
        for _ in 0..TIDY_EVERY {
            let _ = throttle.check("ada", address(1));
        }
        assert!(throttle.pair.len() < 10 && throttle.name.len() < 10, "what is over is dropped");
    }
}
