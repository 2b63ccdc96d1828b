//! What is kept: accounts, devices, API keys, and how they change.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Identity, IdentityId, Invitation, InvitationId, Maintenance, Role, SealedToken};
use crate::gateway::password::PasswordHash;
use crate::gateway::policy_name::PolicyName;
use crate::identity::PublicKey;
use crate::keyspec::{AddressRules, KeyHash, KeyId, RequestLimits, Rights, holds_key};

/// An account. Its password is only in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Stock clients insist on a UUID.
    pub id: Uuid,
    /// What it signs in with: 1 to 64 of lower-case ASCII letters, digits, `.`, `_`, `-`; unique.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// None of its devices and keys is accepted while this is set.
    pub disabled: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// The same as `disabled`, for a while.
    pub suspended: Option<Arc<Suspension>>,
    /// The groups that it is in, by name and each once. One that is not defined counts for nothing.
    pub groups: Vec<PolicyName>,
    /// How much it may use, besides what its role allows.
    pub limits: RequestLimits,
    /// From where it is accepted.
    pub addresses: AddressRules,
}

impl User {
    /// Whether an account that is `other` now may do what this one may. Groups, limits and addresses take no right.
    pub fn may_as_much_as(&self, other: &Self) -> bool {
        self.id == other.id && self.role == other.role && self.is_active() == other.is_active()
    }

    /// Whether it belongs to a workload rule, and not to a person.
    pub fn is_service_account(&self) -> bool {
        matches!(self.role, Role::Workload(_))
    }

    /// Whether it is neither disabled nor suspended.
    pub fn is_active(&self) -> bool {
        !self.disabled && self.suspended.is_none()
    }

    /// Whether an account may have that e-mail address: at most 254 bytes without control characters; it may be empty.
    pub fn is_email(text: &str) -> bool {
        text.len() <= 254 && !text.chars().any(char::is_control)
    }

    /// Whether an account may have that name: 1 to 64 of lower-case ASCII letters, digits, `.`, `_`, `-`. It does not look like an API key,
    /// which would be replaced in events.
    pub fn is_name(text: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        (1..=64).contains(&text.len()) && text.bytes().all(fits) && !holds_key(text)
    }
}

/// Why an account, a device or a key is refused until an administrator lifts that. What it has stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Unix seconds.
    pub since: i64,
    /// What the administrator said: untrusted text. `None` for nothing.
    pub reason: Option<String>,
}

impl Suspension {
    /// The reason of the gateway itself, of a person who may not sign in at the provider any more. The next sign-in lifts that.
    pub const WITHDRAWN: &str = "the sign-in provider no longer admits this person";

    /// Whether the gateway itself has done that, because of what a provider said.
    pub fn is_withdrawal(&self) -> bool {
        self.reason.as_deref() == Some(Self::WITHDRAWN)
    }

    /// Whether it takes the place of another one: an administrator's does not end with a sign-in, and otherwise the first holds.
    pub fn replaces(&self, other: &Self) -> bool {
        other.is_withdrawal() && !self.is_withdrawal()
    }
}

/// What can be suspended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Suspendable {
    /// An account.
    User(Uuid),
    /// A device.
    Device(PublicKey),
    /// An API key that has not ended.
    Key(KeyId),
}

/// A device that an account approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its key; unique.
    pub key: PublicKey,
    /// Whose it is.
    pub user: Uuid,
    /// What it calls itself: untrusted text.
    pub name: String,
    /// When it was approved, in Unix seconds.
    pub created_at: i64,
    /// When it was seen last, in Unix seconds.
    pub last_used_at: Option<i64>,
    /// It is not accepted while this is set.
    pub suspended: Option<Arc<Suspension>>,
}

/// An API key, as it is on record. The key itself is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public id; unique.
    pub id: KeyId,
    /// Whose it is.
    pub user: Uuid,
    /// What its owner calls it; not unique.
    pub name: String,
    /// Where it is used, such as `ci`.
    pub environment: Option<String>,
    /// What it may do, with which models, until when.
    pub rights: Rights,
    /// The SHA-256 of it; unique.
    pub hash: KeyHash,
    /// Its last four characters.
    pub hint: String,
    /// Whether it may ask for a replacement of itself.
    pub replaceable: bool,
    /// The key that it replaces.
    pub replaces: Option<KeyId>,
    /// The first key of that chain of replacements; `None` if it replaces none.
    pub first: Option<KeyId>,
    /// What created it, as [`Actor::credential`] says; `None` for keys of version 0.1.0.
    pub created_by: Option<Arc<str>>,
    /// If a token of a workload was exchanged for it, a digest that tells this token from all others.
    pub exchanged_for: Option<[u8; 32]>,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
    /// When it was seen last, in Unix seconds.
    pub last_used_at: Option<i64>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: Option<i64>,
    /// It is not accepted while this is set.
    pub suspended: Option<Arc<Suspension>>,
}

impl KeyRecord {
    /// Whether it is accepted at `now`, as far as the key itself goes.
    pub fn is_accepted(&self, now: i64) -> bool {
        self.is_live(now) && self.suspended.is_none()
    }

    /// When it was used last, in Unix seconds. Making it counts.
    pub fn last_use(&self) -> i64 {
        self.last_used_at.unwrap_or(self.created_at)
    }

    /// Whether it was not revoked and has not expired. It may be suspended.
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.rights.expires_at.is_none_or(|end| now < end)
    }

    /// Makes it expire at that Unix second, or when it would have expired if that is sooner. It is no longer replaceable.
    pub fn end_by(&mut self, at: i64) {
        self.rights.expires_at = Some(self.rights.expires_at.map_or(at, |end| end.min(at)));
        self.replaceable = false;
    }
}

/// One change of the stored data.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new account.
    AddUser(User, Option<PasswordHash>),
    /// Another password.
    SetPassword(Uuid, PasswordHash),
    /// Another role.
    SetRole(Uuid, Role),
    /// Another e-mail address.
    SetEmail(Uuid, String),
    /// Other groups: all that it is in.
    SetGroups(Uuid, Vec<PolicyName>),
    /// Other limits of its own: all of them.
    SetLimits(Uuid, RequestLimits),
    /// Accepted from other addresses.
    SetAddresses(Uuid, AddressRules),
    /// Disabled or enabled.
    SetDisabled(Uuid, bool),
    /// Suspended, or with `None` accepted again.
    SetSuspended(Suspendable, Option<Arc<Suspension>>),
    /// An account is removed, with its password, devices and keys. Its events stay.
    RemoveUser(Uuid),
    /// A device was approved. One that is there already changes hands and name.
    AddDevice(Device),
    /// A device was disconnected.
    RemoveDevice(PublicKey),
    /// A new API key.
    AddKey(Box<KeyRecord>),
    /// A key is revoked, at that Unix second.
    RevokeKey(KeyId, i64),
    /// A key ends at that Unix second, or when it would have ended if that is sooner, and is replaceable no longer.
    ExpireKey(KeyId, i64),
    /// The maintenance message, or none any more.
    SetMaintenance(Option<Arc<Maintenance>>),
    /// A new invitation.
    AddInvitation(Arc<Invitation>),
    /// The account that is made with an invitation, at the second that the account has.
    UseInvitation(InvitationId, User, PasswordHash),
    /// An invitation is revoked, at that Unix second.
    RevokeInvitation(InvitationId, i64),
    /// A new account, of a person who signs in at a provider.
    AddIdentity(User, Arc<Identity>),
    /// A person signed in at the provider, at that Unix second. The token is what the provider is asked with from now on, if it is.
    NoteSignIn(IdentityId, i64, Option<SealedToken>),
    /// Nothing but the event.
    Note,
}

/// When a credential was used last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// A device's key.
    Device(PublicKey),
    /// An API key.
    Key(KeyId),
}

/// The first use of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierUse {
    /// From where.
    pub address: IpAddr,
    /// How long ago, by the database's clock.
    pub age: Duration,
}
