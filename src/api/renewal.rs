//! When a budget renews that is used up, as the host says with a 429.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The code of such a refusal.
const CODE: &str = "budget";

/// When a budget renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// When.
    pub at: Timestamp,
    /// This machine's time when the host said so.
    pub told_at: Timestamp,
}

impl Renewal {
    /// From the members `code` and `renews_at` of an error, or else from its `Retry-After`.
    pub(super) fn read(
        (code, renews_at): (Option<&str>, Option<&str>),
        retry_after: Option<Duration>,
        now: i64,
    ) -> Option<Self> {
        let told_at = Timestamp::from_second(now).ok().filter(|_| code == Some(CODE))?;
        let at = renews_at.and_then(|at| at.parse().ok());
        let after = || told_at.checked_add(SignedDuration::try_from(retry_after?).ok()?).ok();
        Some(Self { at: at.or_else(after)?, told_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_budget_renews_and_nonsense_is_not_believed() {
        let read = |code, at, after: Option<u64>| {
            let read = Renewal::read((code, at), after.map(Duration::from_secs), 1_795_211_572);
            read.map(|renewal| renewal.at.to_string())
        };
        let midnight = Some("2026-11-21T00:00:00Z");
        assert_eq!(read(Some("budget"), midnight, Some(5)).as_deref(), midnight);
        assert_eq!(read(Some("budget"), None, Some(8)).unwrap(), "2026-11-20T21:53:00Z");
        assert_eq!(read(Some("budget"), Some("soon\u{1b}[2J"), Some(8)).unwrap(), "2026-11-20T21:53:00Z");
        for nothing in [
            read(Some("budget"), None, None),
            read(Some("budget"), Some(""), None),
            read(Some("budget"), None, Some(u64::MAX)),
            read(Some("rate"), midnight, Some(8)),
            read(None, midnight, None),
        ] {
            assert_eq!(nothing, None);
        }
    }
}
