//! What other gateways on the same database have changed. Of SQLite there is one gateway, so there is never any news.

use std::net::IpAddr;

use uuid::Uuid;

use super::{Device, EndedKey, Identity, Invitation, InvitationId, KeyRecord, Maintenance, User};
use crate::identity::PublicKey;
use crate::keyspec::KeyHash;

/// A place in the log of changes that gateways on one database share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Of the last change. Numbers follow the order of the commits, without gaps.
    pub number: i64,
    /// Random for each change: two histories that differ do not have the same one at the same number.
    pub token: i64,
}

/// What was changed since a position.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Where the log is now.
    pub position: Position,
    /// What was changed, as it is now.
    pub records: Records,
}

/// What was changed.
#[derive(Clone, Debug)]
pub enum Records {
    /// These, in the order of their last changes.
    Some(Vec<Record>),
    /// More than is worth telling, or what is not known any more: everything has to be loaded again.
    Many,
    /// The log ends before the position, or holds something else there: the database is an older one, such as a replica that
    /// was promoted before it had everything. Everything has to be loaded again, and what was taken away since may be back.
    Backwards,
}

impl Default for Records {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

/// Something that was changed, as it is now.
#[derive(Clone, Debug)]
pub enum Record {
    /// An account.
    User(User),
    /// An account that is not there any more, with its devices and keys.
    RemovedUser(Uuid),
    /// A device.
    Device(Device),
    /// A device that is not there any more.
    RemovedDevice(PublicKey),
    /// A key that has not ended.
    Key(Box<KeyRecord>),
    /// A key that has ended.
    EndedKey(EndedKey),
    /// A key that was deleted after its retention time.
    ForgottenKey(KeyHash),
    /// An invitation.
    Invitation(Invitation),
    /// An invitation that was deleted after its retention time.
    RemovedInvitation(InvitationId),
    /// Who a person is at a provider.
    Identity(Identity),
    /// The maintenance message, or that there is none any more.
    Maintenance(Option<Maintenance>),
    /// A device that asks for approval.
    PendingDevice(SharedDevice),
    /// A browser session.
    Session(SharedSession),
    /// One that is not there any more, by the SHA-256 of its cookie.
    EndedSession([u8; 32]),
    /// All sessions of that account were ended.
    EndedSessions(Uuid),
    /// A sign-in ended at the provider: all sessions that began with it, by its digest, were ended.
    EndedAtProvider([u8; 32]),
    /// All sessions and pending devices follow; those that do not follow have ended.
    Reloaded,
}

/// What gateways tell each other although no account has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// A device asks for approval, from that address, now.
    PendingDevice(PublicKey, IpAddr),
    /// A person said no to it.
    DeniedDevice(PublicKey),
    /// A browser session begins.
    Session(SharedSession),
    /// It is used.
    UsedSession([u8; 32]),
    /// The password was typed in it again.
    ConfirmedSession([u8; 32]),
    /// It ends.
    EndedSession([u8; 32]),
    /// All of an account end, and no sign-in under way begins one.
    EndedSessions(Uuid),
    /// The same for all that began with a sign-in at a provider, by its digest.
    EndedAtProvider([u8; 32]),
}

/// A browser session at one of the gateways. Times are in seconds before now, by the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSession {
    /// The SHA-256 of its cookie.
    pub digest: [u8; 32],
    /// The account.
    pub user: Uuid,
    /// When it began.
    pub since: i64,
    /// When it was used last, as far as the gateways have told.
    pub seen: i64,
    /// When the person proved last who they are.
    pub confirmed: i64,
    /// A digest of the sign-in at a provider that it began with.
    pub provider_session: Option<[u8; 32]>,
}

/// A device that asked for approval at one of the gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDevice {
    /// Its key.
    pub key: PublicKey,
    /// From where it asked.
    pub address: IpAddr,
    /// How long ago, in seconds by the database's clock.
    pub age: i64,
    /// A person said no to it.
    pub denied: bool,
}
