//! This machine's clock against a host's, which tells its time in the `Date` header of a response.

use http::header::{DATE, HeaderMap};
use jiff::fmt::rfc2822::DateTimeParser;

/// Below this many seconds a difference is not worth a word: a request takes time, and a `Date` has whole seconds.
const NOTABLE: i64 = 60;

/// Seconds by which `now` (Unix time) is ahead of the `Date` header (negative: behind); `None` without a readable header.
pub(super) fn clock_offset(headers: &HeaderMap, now: i64) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = DateTimeParser::new().parse_timestamp(date).ok()?.as_second();
    Some(now - theirs)
}

/// Such an offset, to be followed by what the clock is compared with: `95 seconds ahead of`.
pub fn offset_in_words(ahead: i64) -> String {
    let amount = ahead.unsigned_abs();
    let amount = if amount >= 120 { format!("{} minutes", amount / 60) } else { format!("{amount} seconds") };
    format!("{amount} {}", if ahead > 0 { "ahead of" } else { "behind" })
}

/// An offset that is worth a word.
pub(super) fn notable(offset: Option<i64>) -> Option<i64> {
    offset.filter(|ahead| ahead.abs() > NOTABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

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
