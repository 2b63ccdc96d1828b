//! How far this machine's clock is from a host's, read from its `Date` header (RFC 9110 §6.6.1).

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap};

/// Below this many seconds a difference is not worth a word: a request takes time, and a `Date` has whole seconds.
const NOTABLE: i64 = 60;

/// Seconds by which `now` (Unix time) is ahead of the `Date` header (negative: behind); `None` without a readable header
/// or when the two agree within a minute.
pub(super) fn skew(headers: &HeaderMap, now: i64) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = DateTimeParser::new()
        .parse_timestamp(date)
        .ok()?
        .as_second();
    let ahead = now - theirs;
    (ahead.abs() > NOTABLE).then_some(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_wrong_clock_from_a_right_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(skew(&headers, 1_795_211_572), None);
        headers.insert(DATE, "Fri, 20 Nov 2026 21:52:52 GMT".parse().unwrap());
        assert_eq!(skew(&headers, 1_795_211_572), None);
        assert_eq!(skew(&headers, 1_795_211_572 + 600), Some(600));
        assert_eq!(skew(&headers, 1_795_211_572 - 600), Some(-600));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(skew(&headers, 0), None);
    }
}
