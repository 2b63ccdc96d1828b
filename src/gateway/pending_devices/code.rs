//! Short codes: a person types one where the connect link can be neither opened nor copied.
//!
//! A code is computed from the device's key, the time and the gateways' secret. So it is stored nowhere, and every gateway on one database
//! knows it. It only finds a pending device, whose fingerprint the person then compares.

use std::fmt;
use std::str::FromStr;

use hmac::Mac as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::gateway::secret::{Secret, mac};
use crate::identity::PublicKey;

/// No vowels, so that no code is a word, and no letter that looks like a digit (RFC 8628, section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;
/// Seconds after which a device gets another code.
const PERIOD: i64 = 300;
/// The code of this period counts, and those of so many before: for ten minutes at least.
const EARLIER_PERIODS: i64 = 2;
/// And those of so many to come: the clock of the gateway that gave it may be ahead.
const LATER_PERIODS: i64 = 1;

/// A code, as it is shown: `WDJB-MJHT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceCode([u8; LENGTH]);

impl fmt::Display for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(LENGTH / 2);
        for (part, after) in [(first, "-"), (second, "")] {
            part.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))?;
            f.write_str(after)?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCode(****)")
    }
}

/// A text is not a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code has 8 letters, such as WDJB-MJHT")]
pub struct NotACode;

impl FromStr for DeviceCode {
    type Err = NotACode;

    /// As people type it: in any case, with any dashes and spaces.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let typed = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}'));
        let (mut letters, mut count) = ([0; LENGTH], 0);
        for c in typed {
            let letter = u8::try_from(c.to_ascii_uppercase()).map_err(|_| NotACode)?;
            if count == LENGTH || !ALPHABET.contains(&letter) {
                return Err(NotACode);
            }
            letters[count] = letter;
            count += 1;
        }
        if count == LENGTH { Ok(Self(letters)) } else { Err(NotACode) }
    }
}

/// Makes codes and recognises them.
pub struct DeviceCodes(Zeroizing<[u8; 32]>);

impl fmt::Debug for DeviceCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCodes(****)")
    }
}

impl DeviceCodes {
    /// Gateways with the same secret make the same codes.
    pub fn new(secret: &Secret) -> Self {
        Self(secret.key("device codes"))
    }

    /// The code of a device now.
    pub fn code(&self, key: &PublicKey, now: i64) -> DeviceCode {
        self.of_period(key, now.div_euclid(PERIOD))
    }

    /// Whether a code is or was one of that device lately.
    pub fn accepts(&self, code: &DeviceCode, key: &PublicKey, now: i64) -> bool {
        let period = now.div_euclid(PERIOD);
        let mut periods = period.saturating_sub(EARLIER_PERIODS)..=period.saturating_add(LATER_PERIODS);
        periods.any(|period| bool::from(self.of_period(key, period).0.ct_eq(&code.0)))
    }

    fn of_period(&self, key: &PublicKey, period: i64) -> DeviceCode {
        let mut mac = mac(&self.0);
        mac.update(&period.to_be_bytes());
        mac.update(key.line().as_bytes());
        let digest = mac.finalize().into_bytes();
        // Far more than all codes, so that none is more likely than another.
        let mut number = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let base = ALPHABET.len() as u128;
        DeviceCode(std::array::from_fn(|_| {
            let letter = usize::try_from(number % base).unwrap_or_default();
            number /= base;
            ALPHABET[letter]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DeviceKey;

    fn key() -> PublicKey {
        DeviceKey::generate().unwrap().public().clone()
    }

    fn codes(secret: &str) -> DeviceCodes {
        DeviceCodes::new(&Secret::of_file(secret.repeat(32).as_bytes()).unwrap())
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = codes("a").code(&key(), 0);
        let shown = code.to_string();
        assert_eq!((shown.len(), shown.as_bytes()[4]), (9, b'-'));
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), format!(" {} ", shown.replace('-', " – "))]
        {
            assert_eq!(typed.parse(), Ok(code), "{typed}");
        }
        for wrong in ["", "WDJB", "WDJB-MJH", "WDJB-MJHTT", "WDJA-MJHT", "WDJ1-MJHT", "WDJÄ-MJHT", "WDJB_MJHT"] {
            assert_eq!(wrong.parse::<DeviceCode>(), Err(NotACode), "{wrong}");
        }
        assert!(!format!("{code:?}").contains(&shown));
    }

    #[test]
    fn gateways_of_one_secret_agree_and_others_do_not() {
        let (key, other) = (key(), key());
        let code = codes("a").code(&key, 1_000);
        assert!(codes("a").accepts(&code, &key, 1_000));
        assert!(!codes("b").accepts(&code, &key, 1_000) && !codes("a").accepts(&code, &other, 1_000));
    }

    #[test]
    fn a_code_counts_for_ten_minutes_and_not_for_long() {
        let (codes, key) = (codes("a"), key());
        for given in [0, 1, 299, 300, 1_795_236_626] {
            let code = codes.code(&key, given);
            for later in [0, 300, 600, -60] {
                assert!(codes.accepts(&code, &key, given + later), "{given} {later}");
            }
            assert!(!codes.accepts(&code, &key, given + 900) && !codes.accepts(&code, &key, given - 600), "{given}");
        }
        assert_ne!(codes.code(&key, 0).to_string(), codes.code(&key, 300).to_string());
    }
}
