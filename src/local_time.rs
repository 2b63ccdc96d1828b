//! Points in time as the clocks around this machine show them: in its time zone.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Up to here the seconds count.
const SOON: SignedDuration = SignedDuration::from_mins(10);
/// Up to here the time of day says which day is meant.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// `14:03 CET`; with seconds where it is minutes away, and with the date where it is more than a day away or in the past.
pub fn local_time(at: Timestamp, now: Timestamp) -> String {
    let zone = TimeZone::system();
    // UTC has a name to show, which an unknown time zone has not.
    in_zone(at, now, if zone.is_unknown() { TimeZone::UTC } else { zone })
}

fn in_zone(at: Timestamp, now: Timestamp, zone: TimeZone) -> String {
    let away = at.duration_since(now);
    let form = match () {
        () if away.is_negative() || away >= DAY => "%Y-%m-%d %H:%M %Z",
        () if away <= SOON => "%H:%M:%S %Z",
        () => "%H:%M %Z",
    };
    at.to_zoned(zone).strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_further_away_the_coarser() {
        let now: Timestamp = "2026-11-30T20:48:10Z".parse().unwrap();
        let shown = |at: &str, zone: &str| in_zone(at.parse().unwrap(), now, TimeZone::get(zone).unwrap());
        assert_eq!(shown("2026-11-30T20:48:17Z", "UTC"), "20:48:17 UTC");
        assert_eq!(shown("2026-12-01T00:00:00Z", "UTC"), "00:00 UTC");
        assert_eq!(shown("2026-11-30T23:00:00Z", "Europe/Berlin"), "00:00 CET");
        assert_eq!(shown("2026-12-31T23:00:00Z", "Europe/Berlin"), "2027-01-01 00:00 CET");
        assert_eq!(shown("2026-11-30T20:48:09Z", "UTC"), "2026-11-30 20:48 UTC");
        assert_eq!(shown("9999-12-30T22:00:00Z", "UTC"), "9999-12-30 22:00 UTC");
        assert_eq!(in_zone(Timestamp::MIN, Timestamp::MAX, TimeZone::UTC), "-9999-01-02 01:59 UTC");
    }
}
