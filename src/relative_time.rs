//! Times relative to now, in the words that pages and commands share. All times are Unix seconds.

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long ago a time was: `just now`, `3 minutes ago`. A time in the future counts as now.
pub fn ago(at: i64, now: i64) -> String {
    match now.saturating_sub(at) {
        ..10 => "just now".to_owned(),
        seconds => format!("{} ago", span(seconds)),
    }
}

/// How far off a time is: `in 90 days`, to the nearest unit, so that a key made for 90 days expires in 90 days. For a time in the
/// past, how long ago it was.
pub fn until(at: i64, now: i64) -> String {
    match at.saturating_sub(now) {
        ..=0 => ago(at, now),
        seconds => format!("in {}", in_units(seconds, |seconds, unit| seconds.saturating_add(unit / 2) / unit)),
    }
}

/// A number of seconds as `3 minutes`, `36 hours`, `90 days`, rounded down.
pub fn span(seconds: i64) -> String {
    in_units(seconds, |seconds, unit| seconds / unit)
}

/// Times under two days are shown in hours: a single day would be too coarse.
fn in_units(seconds: i64, round: impl Fn(i64, i64) -> i64) -> String {
    let (minutes, hours) = (round(seconds, MINUTE), round(seconds, HOUR));
    let (count, unit) = match seconds {
        ..MINUTE => (seconds, "second"),
        _ if minutes < 60 => (minutes, "minute"),
        _ if hours < 48 => (hours, "hour"),
        _ => (round(seconds, DAY), "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_times_are_rounded_down() {
        let all = [-5, 9, 10, 59, 60, 119, 3600, 172_799, 172_800, 90 * DAY - 1].map(|seconds| ago(0, seconds));
        let days = "89 days ago";
        let expected = ["just now", "just now", "10 seconds ago", "59 seconds ago", "1 minute ago", "1 minute ago"];
        assert_eq!(all[..6], expected);
        assert_eq!(all[6..], ["1 hour ago", "47 hours ago", "2 days ago", days]);
    }

    #[test]
    fn future_times_are_rounded_to_the_nearest_unit() {
        let all = [1, 59, 60, 89, 90, 3599, 7200, 86_399, 172_799, 90 * DAY - 1].map(|at| until(at, 0));
        assert_eq!(all[..5], ["in 1 second", "in 59 seconds", "in 1 minute", "in 1 minute", "in 2 minutes"]);
        assert_eq!(all[5..], ["in 1 hour", "in 2 hours", "in 24 hours", "in 2 days", "in 90 days"]);
        assert_eq!((until(0, 0), until(-7200, 0)), ("just now".to_owned(), "2 hours ago".to_owned()));
        assert_eq!(until(i64::MAX, -1).split(' ').count(), 3);
    }

    #[test]
    fn a_span_of_nothing_has_a_unit_too() {
        assert_eq!((span(0), span(1), span(91 * DAY)), ("0 seconds".into(), "1 second".into(), "91 days".into()));
    }
}
