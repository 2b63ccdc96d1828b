//! How long a key lives (`90d`, `12h`, `1w3d`, `never`), and the state that follows from it: valid, expired, replaced, revoked.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const DAY: u64 = 86_400;
const UNITS: [(char, u64); 5] = [('w', 7 * DAY), ('d', DAY), ('h', 3600), ('m', 60), ('s', 1)];
const MAX_LIFETIME: u64 = 3650 * DAY;

/// A span in seconds, from 1 second to ten years; or unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// That many seconds.
    Seconds(u64),
    /// Without end.
    Never,
}

/// The text is not a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected a duration such as 90d, 12h, 30m or 1w, up to 3650d, or never")]
pub struct LifetimeError;

impl Lifetime {
    /// The default lifetime of a key: 90 days.
    pub const DEFAULT: Self = Self::Seconds(90 * DAY);

    /// From a number of seconds.
    ///
    /// # Errors
    /// [`LifetimeError`] for none at all and more than ten years.
    pub fn from_seconds(seconds: u64) -> Result<Self, LifetimeError> {
        if (1..=MAX_LIFETIME).contains(&seconds) { Ok(Self::Seconds(seconds)) } else { Err(LifetimeError) }
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

/// An expiry within so many seconds is soon, if at most half of the key's life is left.
const EXPIRES_SOON_SECONDS: i64 = 14 * 86_400;

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is accepted.
    Valid,
    /// It is accepted, and not for much longer.
    ExpiresSoon,
    /// It is accepted, and so is the key that was made to replace it.
    Replaced,
    /// An administrator of the host suspended it.
    Suspended,
    /// Its expiry has passed.
    Expired,
    /// It was revoked.
    Revoked,
}

/// What the state of a key follows from. Times are Unix seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFacts {
    /// `None` when the host does not say.
    pub created_at: Option<i64>,
    /// `None` when it never expires.
    pub expires_at: Option<i64>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether another key that is accepted was made to replace it.
    pub replaced: bool,
    /// Whether it is suspended.
    pub suspended: bool,
}

impl KeyState {
    /// The state at that time.
    pub fn of(facts: KeyFacts, now: i64) -> Self {
        let KeyFacts { created_at, expires_at, revoked, replaced, suspended } = facts;
        if revoked {
            Self::Revoked
        } else if expires_at.is_some_and(|end| end <= now) {
            Self::Expired
        } else if suspended {
            Self::Suspended
        } else if replaced {
            Self::Replaced
        } else if expires_at.is_some_and(|end| expires_soon(created_at, end, now)) {
            Self::ExpiresSoon
        } else {
            Self::Valid
        }
    }

    /// Whether the key is accepted.
    pub fn is_accepted(self) -> bool {
        !matches!(self, Self::Suspended | Self::Expired | Self::Revoked)
    }

    /// The word for people, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ExpiresSoon => "expires soon",
            Self::Replaced => "replaced",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Whether a key expires within 14 days. A key that was made for a short time does not expire soon all its life: half of it has to
/// be over.
pub fn expires_soon(created_at: Option<i64>, expires_at: i64, now: i64) -> bool {
    let left = expires_at.saturating_sub(now);
    left <= EXPIRES_SOON_SECONDS && created_at.is_none_or(|created| left <= now.saturating_sub(created))
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

    const DAY_SECONDS: i64 = 86_400;

    #[test]
    fn the_most_final_state_is_named() {
        let with = |expires_at, revoked, replaced, suspended| KeyFacts {
            created_at: Some(0),
            expires_at,
            revoked,
            replaced,
            suspended,
        };
        let facts = |expires_at, revoked, replaced| with(expires_at, revoked, replaced, false);
        let now = 80 * DAY_SECONDS;
        for (facts, expected) in [
            (facts(None, false, false), KeyState::Valid),
            (facts(Some(95 * DAY_SECONDS), false, false), KeyState::Valid),
            (facts(Some(94 * DAY_SECONDS), false, false), KeyState::ExpiresSoon),
            (facts(Some(94 * DAY_SECONDS), false, true), KeyState::Replaced),
            (facts(Some(now), false, true), KeyState::Expired),
            (facts(Some(now), true, true), KeyState::Revoked),
            (with(Some(94 * DAY_SECONDS), false, true, true), KeyState::Suspended),
            (with(Some(now), false, false, true), KeyState::Expired),
            (with(None, true, false, true), KeyState::Revoked),
        ] {
            assert_eq!(KeyState::of(facts, now), expected, "{facts:?}");
            assert_eq!(expected.is_accepted(), !matches!(expected.word(), "expired" | "revoked" | "suspended"));
        }
    }

    #[test]
    fn a_short_lived_key_expires_soon_in_its_second_half() {
        assert!(
            !expires_soon(Some(0), 2 * DAY_SECONDS, DAY_SECONDS - 1)
                && expires_soon(Some(0), 2 * DAY_SECONDS, DAY_SECONDS)
        );
        assert!(expires_soon(None, 14 * DAY_SECONDS, 0) && !expires_soon(None, 14 * DAY_SECONDS + 1, 0));
    }
}
