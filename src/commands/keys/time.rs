//! Times of keys in words: how long ago, how long still. Coarse, since days are what matters.

use jiff::Timestamp;

use crate::api::KeyEntry;

/// Whether a key can be used, as far as its description tells.
pub(super) fn state(entry: &KeyEntry, now: i64) -> &'static str {
    if entry.revoked_at.is_some() {
        "revoked"
    } else if entry.expires_at.is_some_and(|end| end.as_second() <= now) {
        "expired"
    } else {
        "valid"
    }
}

/// "3d ago", "just now"; `nothing` where there is no time.
pub(super) fn ago(time: Option<Timestamp>, now: i64, nothing: &str) -> String {
    match time.map(|time| now.saturating_sub(time.as_second())) {
        None => nothing.to_owned(),
        Some(seconds) if seconds < 60 => "just now".to_owned(),
        Some(seconds) => format!("{} ago", span(seconds)),
    }
}

/// "3d", "0s" for what is made in the future; "?" where there is no time.
pub(super) fn age(time: Option<Timestamp>, now: i64) -> String {
    time.map_or_else(|| "?".to_owned(), |time| span(now.saturating_sub(time.as_second()).max(0)))
}

/// "in 87d", "3d ago", "never".
pub(super) fn until(time: Option<Timestamp>, now: i64) -> String {
    match time.map(|time| time.as_second().saturating_sub(now)) {
        None => "never".to_owned(),
        Some(seconds) if seconds <= 0 => ago(time, now, ""),
        Some(seconds) => format!("in {}", span(seconds)),
    }
}

/// A point in time for people: `2027-02-19 05:00 UTC`.
pub(super) fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// "3d", "47h": seconds in the largest unit that leaves little out.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let at = |seconds: i64| Some(Timestamp::from_second(seconds).unwrap());
        let now = 1_795_211_572;
        assert_eq!(until(None, now), "never");
        assert_eq!(until(at(now + 90 * 86_400), now), "in 90d");
        assert_eq!(until(at(now + 59), now), "in 59s");
        assert_eq!(until(at(now - 7200), now), "2h ago");
        assert_eq!(ago(at(now), now, "never"), "just now");
        assert_eq!(ago(at(now + 999_999), now, "never"), "just now");
        assert_eq!(ago(None, now, "never"), "never");
        assert_eq!(age(at(now - 3 * 86_400), now), "3d");
        assert_eq!(age(at(now + 9), now), "0s");
        assert_eq!(age(None, now), "?");
        assert_eq!(date(at(now).unwrap()), "2026-11-20 21:52 UTC");
    }
}
