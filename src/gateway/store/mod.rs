//! What a gateway keeps, and the trait of whatever keeps it.
//!
//! Everything that changes is one [`Change`], written together with the [`Event`] that tells of it, in one [`Transaction`]: once that is
//! committed, it survives the end of the process.

mod attempts;
mod event;
mod keys;
mod location;
#[cfg(test)]
pub mod memory;
mod news;
mod place;
mod postgres;
mod sqlite;
mod transfer;

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use attempts::AttemptLimit;
#[cfg(test)]
pub use event::EventAccount;
pub use event::{Actor, Details, Event, EventFilter, RecordedEvent, Repeats};
pub use keys::{EndedKey, KeyQuery, Retention, Swept};
pub use location::DatabaseLocation;
pub use news::{News, Position, Record, Records, Shared, SharedDevice, SharedSession};
pub use postgres::{PostgresAddress, PostgresStore};
pub use sqlite::SqliteStore;
pub use transfer::CopiedTable;

use super::password::PasswordHash;
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId, Rights, Scope, Scopes};

/// What an account may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs models, sees them, has keys.
    Member,
    /// And changes which models there are.
    Maintainer,
    /// And manages the accounts.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Member, Self::Maintainer, Self::Admin];

    /// Its name: `member`, `maintainer`, `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Everything it may do.
    pub fn scopes(self) -> Scopes {
        let all = Scopes::all();
        match self {
            Self::Member => all.without([Scope::ModelsWrite, Scope::Admin].into_iter().collect()),
            Self::Maintainer => all.without([Scope::Admin].into_iter().collect()),
            Self::Admin => all,
        }
    }
}

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
}

impl User {
    /// Whether an account may have that e-mail address: at most 254 bytes without control characters; it may be empty.
    pub fn is_email(text: &str) -> bool {
        text.len() <= 254 && !text.chars().any(char::is_control)
    }

    /// Whether an account may have that name: 1 to 64 of lower-case ASCII letters, digits, `.`, `_`, `-`.
    pub fn is_name(text: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        (1..=64).contains(&text.len()) && text.bytes().all(fits)
    }
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
    /// When it was made, in Unix seconds.
    pub created_at: i64,
    /// When it was seen last, in Unix seconds.
    pub last_used_at: Option<i64>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: Option<i64>,
}

impl KeyRecord {
    /// Whether it is accepted at `now`, as far as the key itself goes.
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
    /// Disabled or enabled.
    SetDisabled(Uuid, bool),
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

/// All that requests are decided by.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The accounts.
    pub users: Vec<User>,
    /// The devices.
    pub devices: Vec<Device>,
    /// The API keys that were valid when they were looked through last.
    pub keys: Vec<KeyRecord>,
    /// The others.
    pub ended: Vec<EndedKey>,
    /// The last change that is in it.
    pub position: Position,
    /// The devices that ask for approval, and the browser sessions, at gateways that share the store.
    pub shared: Vec<Record>,
}

/// Why a store does not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be opened; holds where it is and why.
    #[error("cannot open the database {place}: {reason}")]
    Open {
        /// Its path or address.
        place: String,
        /// Why.
        reason: String,
    },
    /// Another process has it open.
    #[error("the database {place} is in use by another ollama-auth process")]
    Busy {
        /// Its path.
        place: String,
    },
    /// Another account could read or change it.
    #[error("the database {place} is not safe to use: {reason}")]
    Unsafe {
        /// Its path.
        place: String,
        /// How.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// It was written by a newer version.
    #[error("the database {place} was written by a newer version of ollama-auth")]
    Newer {
        /// Its path or address.
        place: String,
    },
    /// Only an older version has used it so far.
    #[error("the tables of the database {place} are of an older version of ollama-auth")]
    Older {
        /// Its address.
        place: String,
    },
    /// Something would be mixed with what is in it.
    #[error("the database {place} is not empty")]
    NotEmpty {
        /// Its path or address.
        place: String,
    },
    /// It is damaged.
    #[error("the database {place} is damaged: {reason}")]
    Damaged {
        /// Its path or address.
        place: String,
        /// In what way.
        reason: String,
    },
    /// Something with that name, id or key is there already.
    #[error("{0} is already taken")]
    Taken(String),
    /// Nothing was changed, since writing failed.
    #[error("cannot write the database {place}: {reason}")]
    Write {
        /// Its path or address.
        place: String,
        /// Why, such as a full disk.
        reason: String,
    },
    /// Its server was not reached, or is starting or ending. Nothing was changed.
    #[error("cannot reach the database {place}: {reason}")]
    Unreachable {
        /// Its address.
        place: String,
        /// Why.
        reason: String,
    },
    /// It is a standby, which cannot be written and may be behind.
    #[error("the database {place} is read-only: it is a standby or was set so")]
    ReadOnly {
        /// Its address.
        place: String,
    },
    /// The connection broke during a commit, and the database could not be asked since whether it was made.
    #[error("it is not known whether the database {place} has stored the change")]
    Doubtful {
        /// Its address.
        place: String,
    },
    /// Nothing could be read.
    #[error("cannot read the database {place}: {reason}")]
    Read {
        /// Its path or address.
        place: String,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Busy { .. } => "stop the gateway or the other command that has it open, then try again".to_owned(),
            Self::Unsafe { fix, .. } => fix.clone(),
            Self::Newer { .. } => "update ollama-auth; the database was not changed".to_owned(),
            Self::Older { .. } => "start a gateway of this version on it once".to_owned(),
            Self::NotEmpty { .. } => "copy to a new file, or to a new PostgreSQL database".to_owned(),
            Self::Damaged { .. } => {
                "it was left as it is: restore a backup in its place, or move it away, with the files \
                                     whose names begin with its name, to start with an empty database"
                    .to_owned()
            }
            Self::Write { .. } => {
                "nothing was changed: make sure that the disk has space and is writable, then try again".to_owned()
            }
            Self::Unreachable { .. } => "check that the server runs and can be reached from here".to_owned(),
            Self::ReadOnly { .. } => {
                "name the primary server, or all of them: postgres://USER@HOST,HOST/NAME".to_owned()
            }
            Self::Doubtful { .. } => "look whether it was made before you try again".to_owned(),
            Self::Open { .. } | Self::Read { .. } | Self::Taken(_) => return None,
        })
    }
}

/// The future that a store's operation returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A change that is being made. It is undone if this is dropped before it was committed.
pub trait Transaction: Send {
    /// The API key with that id, whatever has become of it.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>>;

    /// Makes the change and records the event, as one of the gateway with the name `replica`. Returns the number of the event. After an
    /// error the transaction must be dropped.
    ///
    /// # Errors
    /// [`StoreError::Taken`], [`StoreError::Write`].
    fn make<'a>(&'a mut self, change: &'a Change, event: &'a Event, replica: &'a str) -> Answer<'a, i64>;

    /// Tells the other gateways. Does nothing where there are none.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn share<'a>(&'a mut self, _what: &'a Shared) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Once this has returned, what was made is durable. Returns the position of the last change.
    ///
    /// # Errors
    /// [`StoreError::Write`]; [`StoreError::Doubtful`] when it is not known.
    fn commit<'a>(self: Box<Self>) -> Answer<'a, Position>
    where
        Self: 'a;
}

/// Keeps what must outlive the process.
pub trait Store: Send + Sync {
    /// Everything but passwords and events.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn load(&self) -> Answer<'_, Snapshot>;

    /// Begins a change. No other change begins until the transaction is committed or dropped. The news are what other gateways have
    /// changed since `seen`.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn begin(&self, seen: Position) -> Answer<'_, (News, Box<dyn Transaction + '_>)>;

    /// The file that it is in, if it is one: only this process has it open.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Brings it into order at the end. Without it nothing is lost.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether other gateways may use it, too.
    fn is_shared(&self) -> bool {
        false
    }

    /// What other gateways have changed since `seen`.
    ///
    /// # Errors
    /// [`StoreError::Read`], and what keeps the database from being used.
    fn news(&self, seen: Position) -> Answer<'_, News> {
        Box::pin(async move { Ok(News { position: seen, ..News::default() }) })
    }

    /// Returns when there may be news. It may also never return although there are: ask now and then.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// The API key with that id, whatever has become of it.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn key<'a>(&'a self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>>;

    /// Some of an account's API keys.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn keys<'a>(&'a self, wanted: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>>;

    /// Notes which keys have expired by `now`, in Unix seconds, and deletes what was kept long enough. `ran` are the seconds that the
    /// gateway has run since the last time.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn sweep(&self, now: i64, ran: i64, retention: Retention) -> Answer<'_, Swept>;

    /// Notes when credentials were used last, in Unix seconds. Never turns a time back.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn touch<'a>(&'a self, uses: &'a [(Use, i64)]) -> Answer<'a, ()>;

    /// Notes that a signature was used that is good once for all gateways together. `digest` is the SHA-256 of what was signed; it is kept
    /// for `kept` at least. Returns its first use, if this is not the first. A store of one gateway knows none: the gateway itself does.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn use_signature<'a>(
        &'a self,
        _digest: &'a [u8; 32],
        _address: IpAddr,
        _kept: Duration,
    ) -> Answer<'a, Option<EarlierUse>> {
        Box::pin(async { Ok(None) })
    }

    /// Counts an attempt, and returns how long to wait if it exceeds the limit. A store of one gateway counts none: the gateway itself does.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn count_attempt<'a>(&'a self, _limit: &'a AttemptLimit) -> Answer<'a, Option<Duration>> {
        Box::pin(async { Ok(None) })
    }

    /// Trusts a digest for [`AttemptLimit::unless`] for 30 days.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn trust<'a>(&'a self, _digest: &'a [u8; 32]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether the gateways that share the store and were started lately have the secret with that fingerprint. To be asked at the start, and
    /// now and then.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn has_secret<'a>(&'a self, _fingerprint: &'a [u8; 32]) -> Answer<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    /// The hash of an account's password; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn password(&self, user: Uuid) -> Answer<'_, Option<SecretString>>;

    /// The latest events that are wanted, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn events<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, Vec<RecordedEvent>>;
}
