//! Invitations: who has the link of one makes an account with the role that it names, once. The link's token is stored nowhere, only its
//! SHA-256.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::Role;

const PREFIX: &str = "inv_";
const HEX_DIGITS: usize = 16;

/// The public id of an invitation: `inv_` and 16 hexadecimal digits. It is not a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvitationId(String);

/// The text is not the id of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the id of an invitation is {PREFIX} and {HEX_DIGITS} hexadecimal digits")]
pub struct InvitationIdError;

impl InvitationId {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; HEX_DIGITS / 2];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{:016x}", u64::from_be_bytes(bytes))))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InvitationId {
    type Err = InvitationIdError;

    fn from_str(text: &str) -> Result<Self, InvitationIdError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == HEX_DIGITS);
        let is_id = digits.is_some_and(|digits| digits.bytes().all(is_digit));
        is_id.then(|| Self(text.to_owned())).ok_or(InvitationIdError)
    }
}

impl TryFrom<String> for InvitationId {
    type Error = InvitationIdError;

    fn try_from(text: String) -> Result<Self, InvitationIdError> {
        text.parse()
    }
}

impl From<InvitationId> for String {
    fn from(id: InvitationId) -> Self {
        id.0
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret of an invitation's link: 256 random bits as 43 characters. Written out for the administrator who made it, and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InvitationToken(String);

impl InvitationToken {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token as text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of a token.
    pub fn hash_of(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }
}

impl fmt::Debug for InvitationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationToken(…)")
    }
}

/// See the module. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its public id; unique.
    pub id: InvitationId,
    /// The SHA-256 of its token; unique.
    pub hash: [u8; 32],
    /// The name of the account, if the person may not choose it.
    pub name: Option<String>,
    /// The e-mail address that the form begins with; may be empty.
    pub email: String,
    /// The account's role.
    pub role: Role,
    /// The account of the administrator who made it in a browser; `None`: a command on the gateway's machine.
    pub maker: Option<Uuid>,
    /// When it was made.
    pub created_at: i64,
    /// When it expires.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
    /// The name of the account that was made with it.
    pub used_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// What has become of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvitationState {
    /// It can be used.
    Open,
    /// An account was made with it.
    Used,
    /// An administrator has revoked it.
    Revoked,
    /// Its time is over.
    Expired,
}

impl InvitationState {
    /// `open`, `used`, `revoked` or `expired`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Invitation {
    /// Its state at that Unix second.
    pub fn state(&self, now: i64) -> InvitationState {
        match self {
            Self { used_at: Some(_), .. } => InvitationState::Used,
            Self { revoked_at: Some(_), .. } => InvitationState::Revoked,
            Self { expires_at, .. } if *expires_at <= now => InvitationState::Expired,
            _ => InvitationState::Open,
        }
    }
}

/// Why an invitation cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvitationProblem {
    /// There is none with that token.
    #[error("there is no such invitation")]
    Unknown,
    /// An account was made with it.
    #[error("the invitation was used")]
    Used,
    /// An administrator has revoked it.
    #[error("the invitation was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the invitation has expired")]
    Expired,
    /// Its role is not defined any more.
    #[error("the invitation is for the role {0}, which is not defined any more")]
    NoRole(Role),
    /// Who made it is no administrator any more.
    #[error("the administrator who made the invitation is none any more")]
    NoMaker,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_tokens_have_a_form() {
        let (id, other) = (InvitationId::generate().unwrap(), InvitationId::generate().unwrap());
        assert_ne!(id, other);
        assert_eq!(id.as_str().parse(), Ok(id));
        for wrong in
            ["", "inv_", "inv_0123456789abcde", "inv_0123456789abcdef0", "inv_0123456789ABCDEF", "key_0123456789abcdef"]
        {
            assert_eq!(wrong.parse::<InvitationId>(), Err(InvitationIdError), "{wrong}");
        }
        let token = InvitationToken::generate().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
