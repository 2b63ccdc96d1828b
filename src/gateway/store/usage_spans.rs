//! Days that are added up together. Beside its totals of each day, a series has totals of 4 and of 16 days: the sum of 400 days is that of
//! some thirty rows.

use std::ops::Range;

/// A period is in the upper half of a place, and the number of a series in the lower.
const SERIES_BITS: u32 = 32;
/// Each level has spans of four of the level below.
const LEVEL_BITS: u32 = 2;
/// Levels of spans; days are level 0.
const LEVELS: [i64; 2] = [1, 2];
/// The number of a span is below this. Days that are not, of a wrong clock, are counted as the last one.
const LAST_DAY: i64 = (1 << 24) - 1;
/// The same for hours: that after the last one has a place, too.
const LAST_HOUR: i64 = i32::MAX as i64 - 1;

/// The hour as it is stored.
pub(super) fn stored_hour(hour: i64) -> i64 {
    hour.clamp(0, LAST_HOUR)
}

/// The day as it is stored.
pub(super) fn stored_day(day: i64) -> i64 {
    day.clamp(0, LAST_DAY)
}

/// The place of a series in a period.
pub(super) fn place(period: i64, series: u32) -> i64 {
    period << SERIES_BITS | i64::from(series)
}

/// The places of all series in these periods.
pub(super) fn places(periods: &Range<i64>) -> Range<i64> {
    let start = |period: i64| period.clamp(0, LAST_HOUR + 1) << SERIES_BITS;
    start(periods.start)..start(periods.end)
}

/// The periods of the spans that a stored day is in.
pub(super) fn spans_of(day: i64) -> impl Iterator<Item = i64> {
    LEVELS.into_iter().map(move |level| span(level, day >> (LEVEL_BITS as i64 * level)))
}

/// The spans that end before that stored day begins.
pub(super) fn past_spans(day: i64) -> impl Iterator<Item = Range<i64>> {
    LEVELS.into_iter().map(move |level| span(level, 0)..span(level, day >> (LEVEL_BITS as i64 * level)))
}

/// The spans that begin after that stored day.
pub(super) fn last_spans(day: i64) -> impl Iterator<Item = Range<i64>> {
    LEVELS.into_iter().map(move |level| span(level, (day >> (LEVEL_BITS as i64 * level)) + 1)..span(level + 1, 0))
}

fn span(level: i64, number: i64) -> i64 {
    level << 24 | number
}

/// Days whose sum is the sum of rows in one of the two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Whether they are in the table of spans; otherwise in that of days.
    pub in_spans: bool,
    /// The places of all their series.
    pub places: Range<i64>,
}

/// The least rows that add up to these days, and to no others.
pub(super) fn pieces(days: &Range<i64>) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut add = |level: i64, numbers: Range<i64>| {
        if !numbers.is_empty() {
            let periods = span(level, numbers.start)..span(level, numbers.end);
            found.push(Piece { in_spans: level > 0, places: places(&periods) });
        }
    };
    let mut rest = days.start.clamp(0, LAST_DAY + 1)..days.end.clamp(0, LAST_DAY + 1);
    for level in [0].into_iter().chain(LEVELS) {
        let size = 1 << LEVEL_BITS;
        let above = (rest.start + size - 1) / size..rest.end / size;
        if above.is_empty() || LEVELS.ends_with(&[level]) {
            add(level, rest);
            break;
        }
        add(level, rest.start..above.start * size);
        add(level, above.end * size..rest.end);
        rest = above;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The days of a piece, of which every series has the number 0.
    fn days(piece: &Piece) -> Vec<i64> {
        let periods = piece.places.start >> SERIES_BITS..piece.places.end >> SERIES_BITS;
        if !piece.in_spans {
            return periods.collect();
        }
        let day = |period: i64| {
            let (level, number) = (period >> 24, period & LAST_DAY);
            let size = 1 << (LEVEL_BITS as i64 * level);
            number * size..(number + 1) * size
        };
        periods.flat_map(day).collect()
    }

    proptest! {
        #[test]
        fn pieces_are_the_days_that_are_asked_for(start in 0_i64..2000, length in -3_i64..500) {
            let pieces = pieces(&(start..start + length));
            let mut found: Vec<i64> = pieces.iter().flat_map(days).collect();
            found.sort_unstable();
            prop_assert_eq!(found, (start..start + length).collect::<Vec<_>>());
        }

        #[test]
        fn a_day_is_in_its_spans(day in 0_i64..=LAST_DAY) {
            for period in spans_of(day) {
                let piece = Piece { in_spans: true, places: place(period, 0)..place(period + 1, 0) };
                prop_assert!(days(&piece).contains(&day));
            }
        }
    }

    #[test]
    fn spans_of_the_past_and_the_future_have_no_day_in_between() {
        let all = |spans: Vec<Range<i64>>| {
            let piece = |periods: Range<i64>| Piece { in_spans: true, places: places(&periods) };
            spans.into_iter().flat_map(|periods| days(&piece(periods))).collect::<Vec<_>>()
        };
        assert!(all(past_spans(33).collect()).iter().all(|day| *day < 33));
        assert_eq!(all(past_spans(33).collect()).len(), 64);
        let last = last_spans(LAST_DAY - 33).map(|spans| spans.start..spans.end);
        assert!(all(last.collect()).iter().all(|day| *day > LAST_DAY - 33));
    }

    #[test]
    fn a_long_time_is_few_rows() {
        let rows = |days: Range<i64>| -> i64 {
            pieces(&days).iter().map(|piece| (piece.places.end - piece.places.start) >> SERIES_BITS).sum()
        };
        assert!((0..16).all(|first| rows(first..first + 31) <= 10));
        assert!((0..16).all(|first| rows(first..first + 400) <= 36));
        assert_eq!(rows(5..6), 1);
    }

    #[test]
    fn times_of_a_wrong_clock_have_a_place() {
        for (hour, day) in [(i64::MIN, i64::MIN), (-1, -1), (i64::MAX, i64::MAX)] {
            assert!(place(stored_hour(hour), u32::MAX) > 0 && place(stored_day(day), 1) > 0);
            assert!(spans_of(stored_day(day)).all(|span| place(span, u32::MAX) > 0));
        }
        assert_eq!(pieces(&(i64::MIN..0)), []);
        assert!(!pieces(&(0..i64::MAX)).is_empty());
        assert!(places(&(i64::MIN..i64::MAX)).contains(&place(7, 1)));
    }
}
