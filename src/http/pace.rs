//! How slow somebody may be. Whoever sends or reads a byte every while would hold a connection for as long as they like; so as much as a
//! slow line carries must get through in a given time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// After so many bytes the wait begins anew. In the usual minute that is less than a modem brings.
pub const STEP: usize = 16 * 1024;

/// Counts the time of all waits since the last step, and nothing of the time between them.
pub struct Pace {
    limit: Duration,
    /// Since the last step.
    waited: Duration,
    passed: usize,
    /// When the wait that is under way began.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Waits `limit` for each step, and no longer.
    pub fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, passed: 0, since: None, timer: None }
    }

    /// To be asked whenever there is nothing to do but to wait. Ready when the wait has been too long.
    pub fn poll_too_long(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + self.limit.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            // It was set for an earlier wait. To move it for each would cost more than to be woken now and then.
            timer.as_mut().reset(end);
        }
    }

    /// A wait is over, if there was one: so many bytes got through.
    pub fn note(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.passed += bytes;
        if self.passed >= STEP {
            (self.passed, self.waited) = (0, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of all waits counts, until enough came.
    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let mut pace = Pace::new(Duration::from_secs(60));
        for (bytes, waited) in [(1, 30), (1, 60), (STEP - 2, 0), (1, 30)] {
            pace.since = Instant::now().checked_sub(Duration::from_secs(30));
            pace.note(bytes);
            assert_eq!(pace.waited.as_secs(), waited, "{bytes}");
        }
    }
}
