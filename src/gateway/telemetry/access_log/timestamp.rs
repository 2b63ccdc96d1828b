//! The text of a second. Many requests end in the same one.

use jiff::Timestamp;

/// See the module.
#[derive(Debug, Default)]
pub struct CachedTimestamp {
    second: Option<i64>,
    text: String,
}

impl CachedTimestamp {
    /// RFC 3339 in UTC, such as `2027-01-31T12:00:00Z`, of a Unix time in seconds.
    pub fn text(&mut self, second: i64) -> &str {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = Timestamp::from_second(second).unwrap_or_default().to_string();
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_told_in_utc() {
        let mut cached = CachedTimestamp::default();
        for (second, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (1_801_396_800, "2027-01-31T12:00:00Z"),
            (1_801_396_801, "2027-01-31T12:00:01Z"),
            (i64::MAX, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(cached.text(second), text);
        }
    }
}
