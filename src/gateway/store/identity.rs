//! Who a person is at a provider: an issuer and its subject. Neither a name nor an e-mail address says that: both can pass to another
//! person.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

const HEX_DIGITS: usize = 64;

/// The SHA-256 of an issuer and a subject: the same at every gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityId([u8; 32]);

/// The text is not the id of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the id of an identity is {HEX_DIGITS} hexadecimal digits")]
pub struct IdentityIdError;

impl IdentityId {
    /// Of that subject of an issuer, both compared as they are written.
    pub fn of(issuer: &str, subject: &str) -> Self {
        let mut digest = Sha256::new();
        // With its length, so that no two pairs are the same bytes.
        digest.update((issuer.len() as u64).to_be_bytes());
        digest.update(issuer);
        digest.update(subject);
        Self(digest.finalize().into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityId({self})")
    }
}

impl FromStr for IdentityId {
    type Err = IdentityIdError;

    fn from_str(text: &str) -> Result<Self, IdentityIdError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() != HEX_DIGITS || !text.bytes().all(is_digit) {
            return Err(IdentityIdError);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| IdentityIdError)?;
        }
        Ok(Self(bytes))
    }
}

/// The identity of an account. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Follows from issuer and subject.
    pub id: IdentityId,
    /// The provider's issuer, as it is written.
    pub issuer: String,
    /// The person's subject there: untrusted text.
    pub subject: String,
    /// Whose it is.
    pub user: Uuid,
    /// When the account was made.
    pub created_at: i64,
    /// When the person signed in there last.
    pub signed_in_at: i64,
}

impl Identity {
    /// A new one, of an account that is made at that second.
    pub fn new(issuer: &str, subject: &str, user: Uuid, now: i64) -> Self {
        Self {
            id: IdentityId::of(issuer, subject),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            user,
            created_at: now,
            signed_in_at: now,
        }
    }
}

/// A refresh token, encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedToken(pub Vec<u8>);

/// A person whom this gateway may ask about now, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedToken {
    /// Who it is.
    pub identity: IdentityId,
    /// The token to ask with; `None` if there is none.
    pub token: Option<SealedToken>,
}

/// About whom a provider is to be asked. Times are Unix seconds.
#[derive(Clone, Debug)]
pub struct DueTokens {
    /// Of this issuer.
    pub issuer: String,
    /// Now.
    pub now: i64,
    /// Those that were checked at this second or before.
    pub checked_by: i64,
    /// No other gateway gets them until this second.
    pub lease_until: i64,
    /// At most so many.
    pub limit: u32,
}

impl DueTokens {
    /// The same by another clock.
    #[cfg_attr(not(test), allow(dead_code, reason = "only gateways that share a database have two clocks"))]
    pub fn at(&self, now: i64) -> Self {
        let moved = |at: i64| at.saturating_add(now).saturating_sub(self.now);
        Self { now, checked_by: moved(self.checked_by), lease_until: moved(self.lease_until), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_from_issuer_and_subject_alone() {
        let id = IdentityId::of("https://a.example", "1");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id, Identity::new("https://a.example", "1", Uuid::nil(), 5).id);
        for (issuer, subject) in
            [("https://a.example/", "1"), ("https://a.example", "2"), ("https://a.example1", ""), ("", "1")]
        {
            assert_ne!(IdentityId::of(issuer, subject), id, "{issuer} {subject}");
        }
        for wrong in ["", &"0".repeat(63), &"0".repeat(65), &"A".repeat(64), &format!("+{}", "0".repeat(63))] {
            assert_eq!(wrong.parse::<IdentityId>(), Err(IdentityIdError), "{wrong}");
        }
    }
}
