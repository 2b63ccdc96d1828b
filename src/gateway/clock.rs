//! The time, handed in so that tests have their own: the Unix time, which people and programs set, and how long the process runs, which
//! they cannot.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Seconds by which the Unix time and the time since the start may differ before that means that somebody has set the clock: both are
/// read as they pass, and the clock is adjusted in small steps.
const DRIFT: i64 = 2;

/// Gives the Unix time in seconds, and the time that has passed.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// What both clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The Unix time in seconds.
    pub now: i64,
    /// Since some moment in the past: it never goes back.
    pub elapsed: Duration,
}

impl Clock {
    /// The Unix time of `now`, and the time that the system counts by itself.
    pub fn system(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let began = Instant::now();
        Self { now: Arc::new(now), elapsed: Arc::new(move || began.elapsed()) }
    }

    /// A clock that nobody sets: time passes as `now` says.
    #[cfg(test)]
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let now = Arc::new(now);
        let elapsed = {
            let now = now.clone();
            move || Duration::from_secs(u64::try_from(now()).unwrap_or_default())
        };
        Self { now, elapsed: Arc::new(elapsed) }
    }

    /// The Unix time in seconds.
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    /// The time that has passed since some moment: it never goes back.
    pub fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }

    /// Both.
    pub fn moment(&self) -> Moment {
        Moment { now: self.now(), elapsed: (self.elapsed)() }
    }
}

impl Moment {
    /// The Unix time of this moment by the clock as it is at `current`. If the clock was set in between, that is another than the clock
    /// showed then, and known to a second: it may be told a second too late.
    pub fn by_clock_of(self, current: Self) -> i64 {
        let passed = i64::try_from(current.elapsed.saturating_sub(self.elapsed).as_secs()).unwrap_or(i64::MAX);
        let set_by = current.now.saturating_sub(self.now).saturating_sub(passed);
        if set_by.abs() <= DRIFT { self.now } else { self.now.saturating_add(set_by) }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_moment_is_told_by_the_clock_that_was_set_since() {
        let at = |now, elapsed| Moment { now, elapsed: Duration::from_secs(elapsed) };
        let start = at(1000, 7);
        for (current, shown) in [
            (at(1000, 7), 1000),
            (at(1100, 107), 1000),
            (at(1102, 107), 1000),
            (at(4700, 107), 4600),
            (at(-2500, 107), -2600),
            (at(1097, 107), 997),
        ] {
            assert_eq!(start.by_clock_of(current), shown, "{current:?}");
        }
    }
}
