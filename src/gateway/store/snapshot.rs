//! Everything at once, as it is read at the start.

use super::identity::Identity;
use super::invitation::Invitation;
use super::keys::EndedKey;
use super::maintenance::Maintenance;
use super::news::{Position, Record};
use super::records::{Device, KeyRecord, User};

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
    /// The invitations.
    pub invitations: Vec<Invitation>,
    /// Who people are at the providers where they sign in.
    pub identities: Vec<Identity>,
    /// The maintenance message. It may be over.
    pub maintenance: Option<Maintenance>,
    /// The last change that is in it.
    pub position: Position,
    /// The devices that ask for approval, and the browser sessions, at gateways that share the store.
    pub shared: Vec<Record>,
}
