//! Headers that hold a time (RFC 9110): how far this machine's clock is from the host's, and when to ask again.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Below this many seconds a difference is not worth a word: a request takes time, and a `Date` has whole seconds.
const NOTABLE: i64 = 60;

/// Seconds by which `now` (Unix time) is ahead of the `Date` header (negative: behind); `None` without a readable header.
pub(super) fn clock_offset(headers: &HeaderMap, now: i64) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = DateTimeParser::new().parse_timestamp(date).ok()?.as_second();
    Some(now - theirs)
}

/// An offset that is worth a word.
pub(super) fn notable(offset: Option<i64>) -> Option<i64> {
    offset.filter(|ahead| ahead.abs() > NOTABLE)
}

/// Nobody is told to wait longer than a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long `Retry-After` asks to wait: seconds, or a date; at most a day.
pub(super) fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST).min(LONGEST));
    }
    let then = DateTimeParser::new().parse_timestamp(text).ok()?.as_second();
    let left = u64::try_from(then - now).unwrap_or(0);
    Some(Duration::from_secs(left).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after_in_both_forms_and_within_reason() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, 1_795_211_572).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("17"), Some(17));
        assert_eq!(wait("3.5"), Some(4));
        assert_eq!(wait("18446744073709551615"), Some(86_400));
        assert_eq!(wait("Fri, 20 Nov 2026 21:53:52 GMT"), Some(60));
        assert_eq!(wait("Fri, 20 Nov 2026 21:50:52 GMT"), Some(0));
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("soon"), None);
    }

    fn notable_offset(headers: &HeaderMap, now: i64) -> Option<i64> {
        notable(clock_offset(headers, now))
    }

    #[test]
    fn tells_a_wrong_clock_from_a_right_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(notable_offset(&headers, 1_795_211_572), None);
        headers.insert(DATE, "Fri, 20 Nov 2026 21:52:52 GMT".parse().unwrap());
        assert_eq!(notable_offset(&headers, 1_795_211_572), None);
        assert_eq!(notable_offset(&headers, 1_795_211_572 + 600), Some(600));
        assert_eq!(notable_offset(&headers, 1_795_211_572 - 600), Some(-600));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(notable_offset(&headers, 0), None);
    }
}
