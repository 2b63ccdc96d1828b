//! Telling the holder of an API key in time that it ends.

use axum::http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::authn::{Caller, Credential};

/// The header of every answer to an API key that ends soon: when, as RFC 3339 says.
pub const HEADER: HeaderName = HeaderName::from_static("x-ollama-auth-key-expires");

/// How long before its end a key's holder is told, in seconds.
const NOTICE: i64 = 7 * 86_400;
/// A key that is made for less than this is told in the last part of its life only: otherwise it would be told from the start.
const LONG_LIFE: i64 = 14 * 86_400;
const LAST_PART: i64 = 8;

/// When the caller's API key ends, in Unix seconds, if that is to be told at `now`.
pub fn end_to_tell(caller: &Caller, now: i64) -> Option<i64> {
    let Credential::Key(key) = caller.credential() else { return None };
    let oldest = caller.environment().and_then(|rules| rules.max_key_age);
    let by_environment = oldest.map(|oldest| key.created_at.saturating_add(oldest));
    let end = caller.role().end_of(key).into_iter().chain(by_environment).min()?;
    is_soon(key.created_at, end, now).then_some(end)
}

/// The value of the header.
pub fn value(end: i64) -> Option<HeaderValue> {
    let end = Timestamp::from_second(end).ok()?;
    HeaderValue::from_str(&end.to_string()).ok()
}

fn is_soon(created_at: i64, end: i64, now: i64) -> bool {
    let life = end.saturating_sub(created_at);
    let notice = if life < LONG_LIFE { life / LAST_PART } else { NOTICE };
    now >= end.saturating_sub(notice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn the_end_is_told_a_week_before_or_in_the_last_eighth_of_a_short_life() {
        for (life, told_from) in [(90 * DAY, 83 * DAY), (14 * DAY, 7 * DAY), (8 * DAY, 7 * DAY), (3600, 3150)] {
            assert!(!is_soon(5, 5 + life, 5 + told_from - 1) && is_soon(5, 5 + life, 5 + told_from), "{life}");
        }
        assert!(!is_soon(0, i64::MAX, i64::MAX - NOTICE - 1));
    }

    #[test]
    fn the_value_is_a_time_of_rfc_3339() {
        assert_eq!(value(1_795_211_572).unwrap(), "2026-11-20T21:52:52Z");
        assert_eq!(value(i64::MAX), None);
    }
}
