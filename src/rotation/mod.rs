//! The rotation of an API key as a state machine over a journal: killed at any point, the next run finishes it or takes it back.
//!
//! A rotation is on record, under the id that its new key will have, before that key is asked for; no step begins before the
//! journal holds the one before it. What the steps do to the host, the vault and the places where the key is used is behind
//! [`RotationBackend`], so that every point of death can be tried without a host.

mod env_file;
mod journal;
mod machine;
mod redact;

pub use env_file::{EnvFile, EnvFileError};
pub use journal::{Journal, Rotation, Step, Targets};
pub use machine::{
    KeyRequest, KeyVerification, OldKeyState, RotationBackend, RotationError, RotationOutcome, abandon_if_unusable,
    begin, resume,
};
pub use redact::Redactor;

/// What its age and its end say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is as old as is allowed, or older: its age in seconds.
    Age(i64),
    /// It ends soon: the seconds that are left. A rotation that waited for its age would come too late.
    EndsSoon(i64),
    /// Not yet: its age in seconds.
    NotYet(i64),
    /// The creation time is unknown.
    Unknown,
}

/// Decides at `now` for a key made at `created_at` that ends at `expires_at`, in Unix seconds, where keys may be `max_age` seconds old. A
/// key counts as ending soon in the last tenth of its life, seven days at most. A key from the future, as a clock that was set
/// back shows it, is new.
pub fn is_due(created_at: Option<i64>, expires_at: Option<i64>, now: i64, max_age: u64) -> Due {
    const WEEK: i64 = 7 * 86_400;
    let Some(created_at) = created_at else { return Due::Unknown };
    let age = now.saturating_sub(created_at).max(0);
    if age.unsigned_abs() >= max_age {
        return Due::Age(age);
    }
    if let Some(end) = expires_at {
        let life = end.saturating_sub(created_at);
        let left = end.saturating_sub(now);
        if left <= (life / 10).min(WEEK) {
            return Due::EndsSoon(left);
        }
    }
    Due::NotYet(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn age_and_end_are_what_counts() {
        let at = |created, expires, days: i64| is_due(Some(created), expires, days * DAY, 90 * 86_400);
        assert_eq!(at(0, None, 89), Due::NotYet(89 * DAY));
        assert_eq!(at(0, None, 90), Due::Age(90 * DAY));
        // A key of 90 days that may be 90 days old would have ended before it is due.
        assert_eq!(at(0, Some(90 * DAY), 83), Due::EndsSoon(7 * DAY));
        assert_eq!(at(0, Some(90 * DAY), 82), Due::NotYet(82 * DAY));
        assert_eq!(at(0, Some(10 * DAY), 8), Due::NotYet(8 * DAY));
        assert_eq!(at(0, Some(10 * DAY), 9), Due::EndsSoon(DAY));
        assert_eq!(is_due(None, None, 0, 0), Due::Unknown);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_due_and_nothing_overflow() {
        assert_eq!(is_due(Some(100 * DAY), Some(190 * DAY), DAY, 1), Due::NotYet(0));
        assert_eq!(is_due(Some(i64::MAX), Some(i64::MIN), 0, 1), Due::EndsSoon(i64::MIN));
        assert_eq!(is_due(Some(i64::MIN), None, i64::MAX, u64::MAX), Due::NotYet(i64::MAX));
        assert_eq!(is_due(Some(5), None, 5, 0), Due::Age(0));
    }
}
