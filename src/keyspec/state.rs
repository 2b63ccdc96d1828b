//! What has become of a key, in the words that the gateway's pages and `keys list` share.

/// An expiry within so many seconds is soon, if at most half of the key's life is left.
const SOON: i64 = 14 * 86_400;

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is accepted.
    Valid,
    /// It is accepted, and not for much longer.
    ExpiresSoon,
    /// It is accepted, and so is the key that was made to replace it.
    Replaced,
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
}

impl KeyState {
    /// The state at that time.
    pub fn of(facts: KeyFacts, now: i64) -> Self {
        let KeyFacts { created_at, expires_at, revoked, replaced } = facts;
        if revoked {
            Self::Revoked
        } else if expires_at.is_some_and(|end| end <= now) {
            Self::Expired
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
        !matches!(self, Self::Expired | Self::Revoked)
    }

    /// The word for people, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ExpiresSoon => "expires soon",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Whether a key expires within 14 days. A key that was made for a short time does not expire soon all its life: half of it has to
/// be over.
pub fn expires_soon(created_at: Option<i64>, expires_at: i64, now: i64) -> bool {
    let left = expires_at.saturating_sub(now);
    left <= SOON && created_at.is_none_or(|created| left <= now.saturating_sub(created))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn the_most_final_state_is_named() {
        let facts = |expires_at, revoked, replaced| KeyFacts { created_at: Some(0), expires_at, revoked, replaced };
        let now = 80 * DAY;
        for (facts, expected) in [
            (facts(None, false, false), KeyState::Valid),
            (facts(Some(95 * DAY), false, false), KeyState::Valid),
            (facts(Some(94 * DAY), false, false), KeyState::ExpiresSoon),
            (facts(Some(94 * DAY), false, true), KeyState::Replaced),
            (facts(Some(now), false, true), KeyState::Expired),
            (facts(Some(now), true, true), KeyState::Revoked),
        ] {
            assert_eq!(KeyState::of(facts, now), expected, "{facts:?}");
            assert_eq!(expected.is_accepted(), !matches!(expected.word(), "expired" | "revoked"));
        }
    }

    #[test]
    fn a_short_lived_key_expires_soon_in_its_second_half() {
        assert!(!expires_soon(Some(0), 2 * DAY, DAY - 1) && expires_soon(Some(0), 2 * DAY, DAY));
        assert!(expires_soon(None, 14 * DAY, 0) && !expires_soon(None, 14 * DAY + 1, 0));
    }
}
