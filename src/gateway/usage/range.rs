//! The time that totals of usage are added up for: from what a person typed to whole hours or days of the gateway.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::gateway::local_day::day_of;
use crate::gateway::store::UsagePeriod;

/// In seconds.
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// The longest time that is added up by the hour unless hours are asked for, in seconds.
const LONGEST_HOURLY: i64 = 2 * DAY;
/// It began no longer ago than that: older hours may not be kept any more.
const OLDEST_HOURLY: i64 = 3 * DAY;

/// An end of a time, as a person typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageTime {
    /// That many seconds ago.
    Ago(u64),
    /// The beginning of a day, wherever the gateway is.
    Date(Date),
    /// That Unix second.
    At(i64),
}

impl UsageTime {
    fn instant(self, now: i64, zone: &TimeZone) -> i64 {
        match self {
            Self::Ago(seconds) => now.saturating_sub_unsigned(seconds),
            Self::Date(date) => date.to_zoned(zone.clone()).map_or(0, |start| start.timestamp().as_second()),
            Self::At(at) => at,
        }
    }

    /// The day that it is in, or with which the time ends.
    fn day(self, now: i64, zone: &TimeZone) -> i64 {
        match self {
            // Today is the last of so many days.
            Self::Ago(seconds) if seconds > 0 && seconds.is_multiple_of(DAY.unsigned_abs()) => {
                day_of(now, zone).saturating_add(1).saturating_sub_unsigned(seconds / DAY.unsigned_abs())
            }
            Self::Date(date) => day_number(date),
            Self::Ago(_) | Self::At(_) => day_of(self.instant(now, zone), zone),
        }
    }
}

/// Whole hours or days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRange {
    /// Which of them.
    pub period: UsagePeriod,
    /// Their numbers.
    pub periods: Range<i64>,
}

impl UsageRange {
    /// From `since` until before `until`, or through the hour or day of `now`. `None` if that is empty.
    /// `asked`: by the hour, or by the day; otherwise by what is exact enough and kept.
    pub fn new(
        since: UsageTime,
        until: Option<UsageTime>,
        asked: Option<UsagePeriod>,
        now: i64,
        zone: &TimeZone,
    ) -> Option<Self> {
        let begin = since.instant(now, zone);
        let end = until.map_or(now, |until| until.instant(now, zone));
        // A date means whole days.
        let has_date = [Some(since), until].iter().flatten().any(|time| matches!(time, UsageTime::Date(_)));
        let is_short = end.saturating_sub(begin) <= LONGEST_HOURLY && begin >= now.saturating_sub(OLDEST_HOURLY);
        let usual = if !has_date && is_short { UsagePeriod::Hour } else { UsagePeriod::Day };
        let period = asked.unwrap_or(usual);
        if until.is_some() && end <= begin {
            return None;
        }
        let periods = match (period, until) {
            (UsagePeriod::Hour, None) => begin.div_euclid(HOUR)..now.div_euclid(HOUR).saturating_add(1),
            // An hour that has begun is wanted whole.
            (UsagePeriod::Hour, Some(_)) => begin.div_euclid(HOUR)..(end - 1).div_euclid(HOUR).saturating_add(1),
            (UsagePeriod::Day, None) => since.day(now, zone)..day_of(now, zone).saturating_add(1),
            (UsagePeriod::Day, Some(until)) => since.day(now, zone)..end_day(until, now, zone),
        };
        (!periods.is_empty()).then_some(Self { period, periods })
    }

    /// The time zone in which it is told: hours are those of UTC.
    pub fn zone_name(&self, zone: &TimeZone) -> String {
        match self.period {
            UsagePeriod::Hour => "UTC".to_owned(),
            UsagePeriod::Day => zone.iana_name().unwrap_or("UTC").to_owned(),
        }
    }

    /// The beginning of its first hour, or its first day.
    pub fn from(&self) -> String {
        period_text(self.period, self.periods.start)
    }

    /// The same of the first that is not in it any more.
    pub fn until(&self) -> String {
        period_text(self.period, self.periods.end)
    }
}

/// The beginning of an hour, or a date.
pub fn period_text(period: UsagePeriod, number: i64) -> String {
    let seconds = if period == UsagePeriod::Hour { HOUR } else { DAY };
    let at = Timestamp::from_second(number.saturating_mul(seconds)).unwrap_or_default();
    match period {
        UsagePeriod::Hour => at.to_string(),
        UsagePeriod::Day => TimeZone::UTC.to_datetime(at).date().to_string(),
    }
}

/// The first day after the time. A day that has begun is wanted whole.
fn end_day(until: UsageTime, now: i64, zone: &TimeZone) -> i64 {
    match until {
        UsageTime::At(at) => day_of(at.saturating_sub(1), zone).saturating_add(1),
        UsageTime::Ago(seconds) if !seconds.is_multiple_of(DAY.unsigned_abs()) || seconds == 0 => {
            day_of(until.instant(now, zone).saturating_sub(1), zone).saturating_add(1)
        }
        UsageTime::Ago(_) | UsageTime::Date(_) => until.day(now, zone),
    }
}

/// Days since 1970-01-01.
fn day_number(date: Date) -> i64 {
    let start = date.to_zoned(TimeZone::UTC).map_or(0, |start| start.timestamp().as_second());
    start.div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"];

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn date(text: &str) -> UsageTime {
        UsageTime::Date(text.parse().unwrap())
    }

    fn range(
        since: UsageTime,
        until: Option<UsageTime>,
        asked: Option<UsagePeriod>,
        now: &str,
        name: &str,
    ) -> (String, String) {
        let range = UsageRange::new(since, until, asked, at(now), &zone(name)).unwrap();
        (range.from(), range.until())
    }

    fn texts(from: &str, until: &str) -> (String, String) {
        (from.to_owned(), until.to_owned())
    }

    #[test]
    fn a_month_is_its_days_in_every_zone() {
        for name in ZONES {
            for (from, until) in
                [("2026-11-01", "2026-12-01"), ("2026-03-01", "2026-04-01"), ("2026-10-25", "2026-10-26")]
            {
                let found = range(date(from), Some(date(until)), None, "2026-12-05T12:00:00Z", name);
                assert_eq!(found, texts(from, until), "{name}");
            }
        }
    }

    #[test]
    fn days_ago_are_whole_days_and_today_is_the_last() {
        let by = None;
        for (now, name, from, until) in [
            ("2026-11-30T22:59:59Z", "Europe/Berlin", "2026-11-01", "2026-12-01"),
            ("2026-11-30T23:00:00Z", "Europe/Berlin", "2026-11-02", "2026-12-02"),
            ("2026-12-01T04:59:59Z", "America/New_York", "2026-11-01", "2026-12-01"),
            ("2026-11-30T18:30:00Z", "Asia/Kolkata", "2026-11-02", "2026-12-02"),
            // The clocks were changed within these days.
            ("2026-10-30T22:59:59Z", "Europe/Berlin", "2026-10-01", "2026-10-31"),
        ] {
            let month = range(UsageTime::Ago(30 * 86_400), None, by, now, name);
            assert_eq!(month, texts(from, until), "{now} {name}");
            // What comes before and after another time are all days, each once.
            let (week, _) = range(UsageTime::Ago(7 * 86_400), None, by, now, name);
            let before = range(UsageTime::Ago(30 * 86_400), Some(UsageTime::Ago(7 * 86_400)), by, now, name);
            assert_eq!(before, (from.to_owned(), week));
        }
    }

    #[test]
    fn instants_are_in_the_days_of_the_gateway() {
        let since = UsageTime::At(at("2026-10-31T23:30:00Z"));
        let until = |text: &str| Some(UsageTime::At(at(text)));
        let (by, now) = (Some(UsagePeriod::Day), "2026-12-05T12:00:00Z");
        // Midnight in Berlin ends a day, a second later begins the next.
        let found = range(since, until("2026-11-30T23:00:00Z"), by, now, "Europe/Berlin");
        assert_eq!(found, texts("2026-11-01", "2026-12-01"));
        let found = range(since, until("2026-11-30T23:00:01Z"), by, now, "Europe/Berlin");
        assert_eq!(found, texts("2026-11-01", "2026-12-02"));
        assert_eq!(range(since, None, by, now, "America/New_York"), texts("2026-10-31", "2026-12-06"));
    }

    #[test]
    fn a_short_time_of_late_is_by_the_hour() {
        let now = "2026-11-30T12:30:00Z";
        let period = |since, until, asked: Option<UsagePeriod>| {
            UsageRange::new(since, until, asked, at(now), &zone("Europe/Berlin")).unwrap().period
        };
        let (hours, days) = (UsagePeriod::Hour, UsagePeriod::Day);
        let person = None;
        let (one, two, four) = (UsageTime::Ago(86_400), UsageTime::Ago(2 * 86_400), UsageTime::Ago(4 * 86_400));
        assert_eq!(period(one, None, person), hours);
        assert_eq!(period(two, None, person), hours);
        assert_eq!(period(four, Some(UsageTime::Ago(3 * 86_400)), person), days);
        assert_eq!(period(date("2026-11-30"), None, person), days);
        assert_eq!(period(two, Some(date("2026-11-30")), person), days);
        assert_eq!(period(one, None, Some(UsagePeriod::Day)), days);
        assert_eq!(period(date("2026-11-01"), None, Some(UsagePeriod::Hour)), hours);
        let found = range(date("2026-11-30"), None, Some(UsagePeriod::Hour), now, "Europe/Berlin");
        assert_eq!(found, texts("2026-11-29T23:00:00Z", "2026-11-30T13:00:00Z"));
    }

    #[test]
    fn a_time_that_ends_before_it_begins_is_none() {
        let now = at("2026-11-30T12:30:00Z");
        let is_none = |since, until, asked: Option<UsagePeriod>| {
            UsageRange::new(since, until, asked, now, &zone("UTC")).is_none()
        };
        assert!(is_none(UsageTime::Ago(86_400), Some(UsageTime::Ago(2 * 86_400)), None));
        assert!(is_none(date("2026-11-02"), Some(date("2026-11-02")), None));
        assert!(is_none(date("2026-11-02"), Some(date("2026-11-02")), Some(UsagePeriod::Hour)));
        assert!(is_none(date("2026-12-02"), None, Some(UsagePeriod::Day)));
        assert!(is_none(UsageTime::At(i64::MAX), Some(UsageTime::At(i64::MIN)), Some(UsagePeriod::Day)));
    }
}
