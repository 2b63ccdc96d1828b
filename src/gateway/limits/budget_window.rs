//! The hours, days and months in which budgets of tokens are counted. They begin for all at once, by the clock.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::gateway::local_day::day_of;
use crate::keyspec::Limit;

/// In seconds.
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// January 1970.
const EPOCH_MONTH: i64 = 1970 * 12;

/// One hour, day or month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetWindow {
    /// Of which budget: one of [`Limit::BUDGETS`].
    pub budget: Limit,
    /// Which one: hours and days since 1970-01-01, months since January of the year 0.
    pub number: i64,
    /// When the next one begins, in Unix seconds.
    pub ends_at: i64,
}

impl BudgetWindow {
    /// Those in which a time is, in the order of [`Limit::BUDGETS`]. Days and months are those of a time zone.
    pub fn all(now: i64, zone: &TimeZone) -> [Self; 3] {
        let hour = now.div_euclid(HOUR);
        let date = zone.to_datetime(Timestamp::from_second(now).unwrap_or_default()).date();
        // What no calendar has ends now: a request is then counted nowhere else.
        let begin = |date: Result<jiff::civil::Date, jiff::Error>| {
            let zoned = date.and_then(|date| date.to_zoned(zone.clone()));
            zoned.map_or(now.saturating_add(1), |zoned| zoned.timestamp().as_second())
        };
        let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
        [
            Self { budget: Limit::TokensPerHour, number: hour, ends_at: (hour + 1).saturating_mul(HOUR) },
            Self { budget: Limit::TokensPerDay, number: day_of(now, zone), ends_at: begin(date.tomorrow()) },
            Self {
                budget: Limit::TokensPerMonth,
                number: month,
                ends_at: begin(date.first_of_month().checked_add(1.month())),
            },
        ]
    }

    /// Whether it is the same hour, day or month.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.budget, self.number) == (other.budget, other.number)
    }

    /// One that is known by its number alone. Its end is no earlier than in any time zone.
    pub fn numbered(budget: Limit, number: i64) -> Self {
        let (first, longest) = match budget {
            Limit::TokensPerHour => (number.saturating_mul(HOUR), HOUR),
            Limit::TokensPerDay => (number.saturating_mul(DAY), 2 * DAY),
            // Months are shorter.
            _ => (number.saturating_sub(EPOCH_MONTH).saturating_mul(31 * DAY), 33 * DAY),
        };
        Self { budget, number, ends_at: first.saturating_add(longest) }
    }

    /// What it is called in the database, for a subject: `day:20789:person:…`.
    pub fn id(&self, subject: &str) -> String {
        let name = match self.budget {
            Limit::TokensPerHour => "hour",
            Limit::TokensPerDay => "day",
            _ => "month",
        };
        format!("{name}:{}:{subject}", self.number)
    }

    /// The budget, the number and the subject of such a name.
    pub fn parse(id: &str) -> Option<(Limit, i64, &str)> {
        let (name, rest) = id.split_once(':')?;
        let (number, subject) = rest.split_once(':')?;
        let budget = match name {
            "hour" => Limit::TokensPerHour,
            "day" => Limit::TokensPerDay,
            "month" => Limit::TokensPerMonth,
            _ => return None,
        };
        Some((budget, number.parse().ok()?, subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn windows_end_where_the_next_begins_in_the_time_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (now, hour, day, month) in [
            ("2026-11-30T22:59:59Z", "2026-11-30T23:00:00Z", "2026-11-30T23:00:00Z", "2026-11-30T23:00:00Z"),
            ("2026-11-30T23:00:00Z", "2026-12-01T00:00:00Z", "2026-12-01T23:00:00Z", "2026-12-31T23:00:00Z"),
            // This day has 23 hours, and that one 25.
            ("2026-03-28T23:30:00Z", "2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z", "2026-03-31T22:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-24T23:00:00Z", "2026-10-25T23:00:00Z", "2026-10-31T23:00:00Z"),
        ] {
            let windows = BudgetWindow::all(at(now), &berlin);
            assert_eq!(windows.map(|window| window.ends_at), [at(hour), at(day), at(month)], "{now}");
            for (window, budget) in windows.into_iter().zip(Limit::BUDGETS) {
                assert_eq!(window.budget, budget);
                let next = BudgetWindow::all(window.ends_at, &berlin);
                let next = next.into_iter().find(|next| next.budget == budget).unwrap();
                assert_eq!(next.number, window.number + 1, "{now} {budget:?}");
                let last = BudgetWindow::all(window.ends_at - 1, &berlin);
                assert!(last.contains(&window));
            }
        }
    }

    #[test]
    fn a_midnight_that_does_not_exist_and_a_time_without_a_calendar_end() {
        // In Beirut that day began at 01:00.
        let beirut = TimeZone::get("Asia/Beirut").unwrap();
        let [_, day, _] = BudgetWindow::all(at("2025-03-29T12:00:00Z"), &beirut);
        assert_eq!(day.ends_at, at("2025-03-29T22:00:00Z"));
        for now in [i64::MIN, i64::MAX, 253_402_207_200] {
            let _ = BudgetWindow::all(now, &TimeZone::UTC);
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for window in BudgetWindow::all(at("2026-11-30T12:00:00Z"), &TimeZone::UTC) {
            for subject in ["gateway", "model:llama3:70b*", "person-in:staging:00000000-0000-0000-0000-000000000001"] {
                assert_eq!(BudgetWindow::parse(&window.id(subject)), Some((window.budget, window.number, subject)));
            }
        }
        for other in ["", "day", "day:1", "day:x:gateway", "year:1:gateway"] {
            assert_eq!(BudgetWindow::parse(other), None, "{other}");
        }
    }
}
