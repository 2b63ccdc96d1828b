//! How many callers without an account are told apart. One with an IPv6 network has as many addresses as he likes, and could fill the event
//! log with them.

use super::window::WINDOWS;

/// Pairs of subject and network that are told apart in a window. Those that follow are counted together.
pub const MAX_NEW: usize = 256;

/// The new ones of a window. While they go on to come, the windows get longer.
#[derive(Debug, Default)]
pub struct Strangers {
    /// Unix seconds.
    since: i64,
    /// The place of the window in [`WINDOWS`].
    place: usize,
    new: usize,
}

impl Strangers {
    /// Whether one that comes at that Unix second for the first time in a window of its own is told apart.
    pub fn admit(&mut self, now: i64) -> bool {
        let (age, seconds) = (now.abs_diff(self.since), WINDOWS[self.place]);
        if age >= seconds {
            // Until it was quiet for the longest window: otherwise pauses between bursts would keep the windows short.
            let goes_on = self.new > 0 && age < 2 * WINDOWS[WINDOWS.len() - 1];
            let place = if goes_on { (self.place + 1).min(WINDOWS.len() - 1) } else { 0 };
            *self = Self { since: now, place, new: 0 };
        }
        if self.new >= MAX_NEW {
            return false;
        }
        self.new += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(strangers: &mut Strangers, at: i64, count: usize) -> usize {
        (0..count).filter(|_| strangers.admit(at)).count()
    }

    #[test]
    fn so_many_are_admitted_in_a_window_and_the_windows_get_longer() {
        let (mut strangers, start) = (Strangers::default(), 1_000_000);
        assert_eq!(admitted(&mut strangers, start, 1000), MAX_NEW);
        assert_eq!(admitted(&mut strangers, start + 59, 1000), 0);
        assert_eq!(admitted(&mut strangers, start + 60, 1000), MAX_NEW);
        assert_eq!(admitted(&mut strangers, start + 659, 1000), 0);
        let all: usize = (660..86_400).map(|second| admitted(&mut strangers, start + second, 1)).sum();
        assert!((23 * MAX_NEW..=25 * MAX_NEW).contains(&all), "{all} in a day");
    }

    #[test]
    fn pauses_between_bursts_do_not_keep_the_windows_short() {
        for pause in [60, 120, 600, 1200, 3600] {
            let mut strangers = Strangers::default();
            let times = (0..86_400 / pause).map(|burst| 1_000_000 + burst * pause);
            let all: usize = times.map(|at| admitted(&mut strangers, at, MAX_NEW)).sum();
            assert!(all <= 27 * MAX_NEW, "{pause}: {all} in a day");
        }
    }

    #[test]
    fn after_a_quiet_time_the_window_is_short_again() {
        let mut strangers = Strangers::default();
        for at in [0, 60, 660, 4260] {
            assert_eq!(admitted(&mut strangers, 1_000_000 + at, 1000), MAX_NEW, "{at}");
        }
        // Set back by somebody.
        assert_eq!(admitted(&mut strangers, 5, 1000), MAX_NEW);
        assert_eq!(admitted(&mut strangers, 65, 1000), MAX_NEW);
    }
}
