//! How many changes an account may make. What one account uses leaves the budgets of the others as they are.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use uuid::Uuid;

/// Changes at once: a job that rotates three thousand keys at night, which takes two for each.
pub(super) const BURST: NonZeroU32 = NonZeroU32::new(6000).unwrap();
/// From then on one in this time: 8640 a day. Records are stored for `key-retention` after they ended, events for ever.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts the changes of each account. It holds no more entries than there are accounts.
pub(super) struct ChangeBudget(DefaultKeyedRateLimiter<Uuid>);

impl Default for ChangeBudget {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::keyed(quota().allow_burst(BURST)))
    }
}

fn quota() -> Quota {
    Quota::with_period(PERIOD).unwrap_or(Quota::per_minute(NonZeroU32::MIN))
}

impl ChangeBudget {
    /// Counts a change of an account. `Err` holds the seconds until the next one is possible.
    pub(super) fn take(&self, account: Uuid) -> Result<(), u64> {
        self.0
            .check_key(&account)
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1))
    }
}
