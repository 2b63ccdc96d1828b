//! Sizes, numbers, times and digests in the words that stock Ollama uses, which people and their scripts know.

use jiff::Timestamp;

/// Characters of a digest that are shown.
const SHORT_DIGEST: usize = 12;
/// Seconds of an hour, a day and a year of 365 days.
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// "4.1 MB", "23 GB": powers of 1000, with one decimal below ten.
pub fn bytes(count: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| count >= *size) else {
        return format!("{count} B");
    };
    if count >= 10 * size || count.is_multiple_of(size) {
        return format!("{} {unit}", count / size);
    }
    format!("{:.1} {unit}", count as f64 / size as f64)
}

/// "8.0B", "137M", "1.01M", "22K".
pub fn number(count: u64) -> String {
    let of = |size: u64| count as f64 / size as f64;
    match count {
        1_000_000_000.. if count.is_multiple_of(1_000_000_000) => format!("{:.0}B", of(1_000_000_000)),
        1_000_000_000.. => format!("{:.1}B", of(1_000_000_000)),
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{:.0}M", of(1_000_000)),
        1_000_000.. => format!("{:.2}M", of(1_000_000)),
        1000.. => format!("{:.0}K", of(1000)),
        _ => count.to_string(),
    }
}

/// "3 days ago", "4 minutes from now", "Never" where there is no time, "Forever" in more than twenty years.
pub fn time(time: Option<Timestamp>, now: i64) -> String {
    let Some(time) = time else { return "Never".to_owned() };
    let since = now.saturating_sub(time.as_second());
    match since {
        _ if -since >= 21 * YEAR => "Forever".to_owned(),
        ..0 => format!("{} from now", span(-since)),
        _ => format!("{} ago", span(since)),
    }
}

fn span(seconds: i64) -> String {
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / 60),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / (24 * 7)),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / (24 * 30)),
        _ => format!("{} years", seconds / YEAR),
    }
}

/// The first characters of a digest.
pub fn id(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(SHORT_DIGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_stock_writes_them() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 KB"),
            (1500, "1.5 KB"),
            (4_051_964, "4.1 MB"),
            (20_038_286, "20 MB"),
            (10_999_999, "10 MB"),
            (2_000_000_000, "2 GB"),
            (1_100_000_000_000, "1.1 TB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (count, text) in
            [(7, "7"), (22_700, "23K"), (1_008_768, "1.01M"), (137_000_000, "137M"), (8_030_261_312, "8.0B")]
        {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn times_as_stock_writes_them() {
        let now = 1_795_211_572;
        let at = |seconds: i64| time(Some(Timestamp::from_second(now + seconds).unwrap()), now);
        for (seconds, text) in [
            (0, "Less than a second ago"),
            (-1, "1 second ago"),
            (-59, "59 seconds ago"),
            (-119, "About a minute ago"),
            (-3599, "59 minutes ago"),
            (-3600, "About an hour ago"),
            (-5399, "About an hour ago"),
            (-5400, "2 hours ago"),
            (-47 * HOUR, "47 hours ago"),
            (-3 * DAY, "3 days ago"),
            (-20 * DAY, "2 weeks ago"),
            (-200 * DAY, "6 months ago"),
            (-3 * YEAR, "3 years ago"),
            (240, "4 minutes from now"),
            (22 * YEAR, "Forever"),
        ] {
            assert_eq!(at(seconds), text, "{seconds}");
        }
        assert_eq!(time(None, now), "Never");
    }

    #[test]
    fn a_digest_of_any_length_is_cut() {
        assert_eq!(id("65172b9f48b9891d2c15"), "65172b9f48b9");
        assert_eq!((id("sha256:ab"), id("")), ("ab".to_owned(), String::new()));
    }
}
