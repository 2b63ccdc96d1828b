//! How long a key lives: `90d`, `12h`, `1w3d`, `never`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const DAY: u64 = 86_400;
const UNITS: [(char, u64); 5] = [('w', 7 * DAY), ('d', DAY), ('h', 3600), ('m', 60), ('s', 1)];
const LONGEST: u64 = 3650 * DAY;

/// A span in seconds, 1 to ten years; or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// That many seconds.
    Seconds(u64),
    /// Without end.
    Never,
}

/// The text is no lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected a duration such as 90d, 12h, 30m or 1w, up to 3650d, or never")]
pub struct LifetimeError;

impl Lifetime {
    /// What a key gets when nothing is said: 90 days.
    pub const DEFAULT: Self = Self::Seconds(90 * DAY);

    /// From a number of seconds.
    ///
    /// # Errors
    /// [`LifetimeError`] for none at all and more than ten years.
    pub fn from_seconds(seconds: u64) -> Result<Self, LifetimeError> {
        if (1..=LONGEST).contains(&seconds) { Ok(Self::Seconds(seconds)) } else { Err(LifetimeError) }
    }

    /// The Unix second in which a life that begins at `now` ends.
    pub fn end(self, now: i64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => Some(now.saturating_add_unsigned(seconds)),
            Self::Never => None,
        }
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let (mut rest, mut seconds) = (text, 0_u64);
        if rest.is_empty() {
            return Err(LifetimeError);
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(LifetimeError)?;
            let (number, after) = rest.split_at(digits);
            let unit = after.chars().next().ok_or(LifetimeError)?;
            let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(LifetimeError)?;
            let number: u64 = number.parse().map_err(|_| LifetimeError)?;
            seconds = number.checked_mul(factor).and_then(|part| seconds.checked_add(part)).ok_or(LifetimeError)?;
            rest = &after[unit.len_utf8()..];
        }
        Self::from_seconds(seconds)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Seconds(seconds) = *self else { return f.write_str("never") };
        let (unit, factor) =
            UNITS.into_iter().skip(1).find(|(_, factor)| seconds.is_multiple_of(*factor)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [("90d", 90 * DAY), ("1w3d", 10 * DAY), ("12h", 43_200), ("1h30m", 5400), ("1s", 1)] {
            assert_eq!(text.parse(), Ok(Lifetime::Seconds(seconds)), "{text}");
        }
        assert_eq!("never".parse(), Ok(Lifetime::Never));
        for text in ["", "0d", "90", "d", "-1d", "1y", "1 d", "3651d", "99999999999999999999d", "1d€", "Never"] {
            assert_eq!(text.parse::<Lifetime>(), Err(LifetimeError), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["90d", "12h", "90m", "61s", "never"] {
            assert_eq!(text.parse::<Lifetime>().unwrap().to_string(), text);
        }
        assert_eq!(Lifetime::DEFAULT.end(100), Some(100 + 7_776_000));
        assert_eq!(Lifetime::Never.end(100), None);
    }
}
