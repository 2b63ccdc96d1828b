//! The days of a time zone, as numbers.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The first day.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// The day of a Unix second in a time zone, in days since 1970-01-01.
pub fn day_of(at: i64, zone: &TimeZone) -> i64 {
    let Ok(at) = Timestamp::from_second(at) else { return 0 };
    let date = zone.to_datetime(at).date();
    date.since(EPOCH).map_or(0, |span| i64::from(span.get_days()))
}

/// The same for many seconds, most of which are in one hour.
pub struct DayOf {
    zone: TimeZone,
    last: Option<(i64, i64)>,
}

impl DayOf {
    /// In that time zone.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    /// The day of a Unix second.
    pub fn of(&mut self, at: i64) -> i64 {
        // Time zones change by quarters of an hour.
        let quarter = at.div_euclid(900);
        match self.last {
            Some((known, day)) if known == quarter => day,
            _ => {
                let day = day_of(at, &self.zone);
                self.last = Some((quarter, day));
                day
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_of_the_time_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        for (time, day) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-28T22:59:59Z", 20540),
            ("2026-03-28T23:00:00Z", 20541),
            // Summer time begins: this day has 23 hours.
            ("2026-03-29T21:59:59Z", 20541),
            ("2026-03-29T22:00:00Z", 20542),
            // It ends: this one has 25.
            ("2026-10-24T22:00:00Z", 20751),
            ("2026-10-25T22:59:59Z", 20751),
            ("2026-10-25T23:00:00Z", 20752),
        ] {
            assert_eq!(day_of(at(time), &berlin), day, "{time}");
            assert_eq!(DayOf::new(berlin.clone()).of(at(time)), day, "{time}");
        }
        assert_eq!(day_of(-1, &TimeZone::UTC), -1);
    }
}
