//! Times and states of keys as the commands show them: those of `relative_time` and `keyspec`, for a description of a key.

use jiff::Timestamp;

use crate::api::KeyEntry;
use crate::keyspec::{KeyFacts, KeyState};
use crate::relative_time;
pub(super) use crate::relative_time::span;

/// Whether a key can be used, as far as its description tells: the member `state` of JSON.
pub(super) fn state(entry: &KeyEntry, now: i64) -> &'static str {
    match KeyState::of(facts(entry, false), now) {
        KeyState::Revoked => "revoked",
        KeyState::Expired => "expired",
        KeyState::Valid | KeyState::ExpiresSoon | KeyState::Replaced => "valid",
    }
}

/// What the state of a key follows from. `replaced`: another key that is accepted was made to replace it.
pub(super) fn facts(entry: &KeyEntry, replaced: bool) -> KeyFacts {
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_second);
    let (created_at, expires_at) = (seconds(entry.created_at), seconds(entry.expires_at));
    KeyFacts { created_at, expires_at, revoked: entry.revoked_at.is_some(), replaced }
}

/// "3 days ago", "just now"; `nothing` where there is no time.
pub(super) fn ago(time: Option<Timestamp>, now: i64, nothing: &str) -> String {
    time.map_or_else(|| nothing.to_owned(), |time| relative_time::ago(time.as_second(), now))
}

/// "3 days", "0 seconds" for what is made in the future; "?" where there is no time.
pub(super) fn age(time: Option<Timestamp>, now: i64) -> String {
    time.map_or_else(|| "?".to_owned(), |time| span(now.saturating_sub(time.as_second()).max(0)))
}

/// "in 87 days", "3 days ago", "never".
pub(super) fn until(time: Option<Timestamp>, now: i64) -> String {
    time.map_or_else(|| "never".to_owned(), |time| relative_time::until(time.as_second(), now))
}

/// A point in time for people: `2027-02-19 05:00 UTC`.
pub(super) fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_times_have_words_of_their_own() {
        let at = |seconds: i64| Some(Timestamp::from_second(seconds).unwrap());
        let now = 1_795_211_572;
        assert_eq!((until(None, now).as_str(), ago(None, now, "never").as_str()), ("never", "never"));
        assert_eq!(until(at(now + 90 * 86_400), now), "in 90 days");
        assert_eq!(until(at(now - 7200), now), "2 hours ago");
        assert_eq!(ago(at(now + 999_999), now, "never"), "just now");
        assert_eq!((age(at(now - 3 * 86_400), now), age(at(now + 9), now)), ("3 days".into(), "0 seconds".into()));
        assert_eq!(age(None, now), "?");
        assert_eq!(date(at(now).unwrap()), "2026-11-20 21:52 UTC");
    }
}
