//! What a directory holds in memory, with the indexes that make a look-up as cheap as what it gives; and what a change means for it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::gateway::policy_tables::PolicyTables;
use crate::gateway::store::{
    Change, Device, EndedKey, Identity, IdentityId, Invitation, InvitationId, InvitationProblem, KeyRecord,
    Maintenance, Position, StoreError, Suspendable, Suspension, Use, User,
};
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId};

/// Why a change was not made.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// By the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was to be changed is not there.
    #[error("there is no {0}")]
    Unknown(String),
    /// No administrator would remain.
    #[error("{0} is the last enabled administrator")]
    LastAdmin(String),
    /// The key to replace already has an accepted replacement; holds its id.
    #[error("the key already has a replacement: {0}")]
    Replaced(KeyId),
    /// The key to replace was revoked or has expired.
    #[error("the key {0} was revoked or has expired, so it cannot be replaced")]
    NotLive(KeyId),
    /// The key to replace is suspended.
    #[error("the key {0} is suspended, so it cannot be replaced")]
    Suspended(KeyId),
    /// The invitation cannot be used or revoked.
    #[error(transparent)]
    Invitation(#[from] InvitationProblem),
    /// The account makes changes too fast; holds the seconds until the next one is possible.
    #[error("too many changes by this account; try again in {0} s")]
    TooMany(u64),
    /// Rights were taken away, and are in effect here, but that could not be stored.
    #[error(
        "this gateway refuses it from now on, but that could not be stored: other gateways do not know it, and a restart forgets it"
    )]
    NotStored,
    /// The gateway is ending.
    #[error("the gateway is shutting down")]
    Ending,
}

impl DirectoryError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::LastAdmin(_) => Some("make another account an administrator first".to_owned()),
            Self::Replaced(_) => Some("use that replacement, or revoke it first".to_owned()),
            Self::NotLive(_) => Some("create a new key instead".to_owned()),
            Self::Suspended(id) => Some(format!("lift the suspension first: ollama-auth gateway key resume {id}")),
            Self::NotStored => Some("it is stored as soon as the database can be written again; look then".to_owned()),
            Self::Unknown(_) | Self::Invitation(_) | Self::TooMany(_) | Self::Ending => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) users: HashMap<Uuid, Arc<User>>,
    pub(super) devices: HashMap<PublicKey, Arc<Device>>,
    pub(super) keys: HashMap<KeyId, Arc<KeyRecord>>,
    pub(super) by_hash: HashMap<KeyHash, KeyId>,
    /// The keys of each account in the order in which they are listed.
    pub(super) by_user: HashMap<Uuid, BTreeSet<Place>>,
    /// The keys that were revoked or have expired. Their records are in the store only.
    pub(super) ended: HashMap<KeyHash, Ended>,
    /// When a key of an account that has ended was used last, in Unix seconds.
    pub(super) ended_use: HashMap<Uuid, i64>,
    /// From a key to those that were made to replace it, the newest first.
    pub(super) replacements: HashMap<KeyId, BTreeSet<Place>>,
    /// The invitations, also those that cannot be used any more.
    pub(super) invitations: HashMap<InvitationId, Arc<Invitation>>,
    /// Who people are at the providers where they sign in.
    pub(super) identities: HashMap<IdentityId, Arc<Identity>>,
    pub(super) identity_of: HashMap<Uuid, IdentityId>,
    /// The maintenance message. It may be over.
    pub(super) maintenance: Option<Arc<Maintenance>>,
    /// What the configuration defines. It stays when everything else is loaded again.
    pub(super) tables: PolicyTables,
    /// The last change of the database that is in here.
    pub(super) position: Position,
}

/// What remains of a key that was revoked or has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its public id.
    pub id: KeyId,
    /// Whose it was.
    pub user: Uuid,
    /// Whether it was revoked; otherwise it has expired.
    pub is_revoked: bool,
    /// When it expires, in Unix seconds.
    pub expires_at: Option<i64>,
}

impl Ended {
    fn of(key: &KeyRecord) -> Self {
        Self {
            id: key.id.clone(),
            user: key.user,
            is_revoked: key.revoked_at.is_some(),
            expires_at: key.rights.expires_at,
        }
    }
}

/// The position of a key in its account's list: the newest first, those of the same second by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    created_at: Reverse<i64>,
    id: KeyId,
}

impl Place {
    /// Of a key that was made at that Unix second. The key need not exist.
    pub fn new(created_at: i64, id: KeyId) -> Self {
        Self { created_at: Reverse(created_at), id }
    }

    fn of(key: &KeyRecord) -> Self {
        Self::new(key.created_at, key.id.clone())
    }

    /// The Unix second and the id.
    pub fn into_parts(self) -> (i64, KeyId) {
        (self.created_at.0, self.id)
    }
}

impl Memory {
    pub(super) fn put_key(&mut self, key: KeyRecord) {
        self.by_hash.insert(key.hash, key.id.clone());
        self.by_user.entry(key.user).or_default().insert(Place::of(&key));
        if let Some(old) = &key.replaces {
            self.replacements.entry(old.clone()).or_default().insert(Place::of(&key));
        }
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    pub(super) fn put_ended(&mut self, key: EndedKey) {
        let EndedKey { id, user, hash, is_revoked, expires_at } = key;
        self.ended.insert(hash, Ended { id, user, is_revoked, expires_at });
    }

    /// Removes a key's record, and keeps what it takes to say how it ended.
    pub(super) fn end_key(&mut self, id: &KeyId) {
        let Some(key) = self.keys.remove(id) else { return };
        self.by_hash.remove(&key.hash);
        if let Some(places) = self.by_user.get_mut(&key.user) {
            places.remove(&Place::of(&key));
            if places.is_empty() {
                self.by_user.remove(&key.user);
            }
        }
        self.remove_replacement(&key);
        if let Some(at) = key.last_used_at {
            let latest = self.ended_use.entry(key.user).or_insert(at);
            *latest = at.max(*latest);
        }
        self.ended.insert(key.hash, Ended::of(&key));
    }

    /// Puts back a key that is valid after all: the clock was set back.
    pub(super) fn revive(&mut self, key: KeyRecord) {
        if self.ended.remove(&key.hash).is_some() {
            self.put_key(key);
        }
    }

    fn remove_replacement(&mut self, key: &KeyRecord) {
        if let Some(old) = &key.replaces
            && let Some(successors) = self.replacements.get_mut(old)
        {
            successors.remove(&Place::of(key));
            if successors.is_empty() {
                self.replacements.remove(old);
            }
        }
    }

    /// An account's API keys, the newest first.
    pub(super) fn keys_of(&self, user: Uuid) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.by_user.get(&user).into_iter().flatten().filter_map(|place| self.keys.get(&place.id))
    }

    pub(super) fn count_keys(&self, user: Uuid) -> usize {
        self.by_user.get(&user).map_or(0, BTreeSet::len)
    }

    pub(super) fn replacements_of(&self, id: &KeyId) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.replacements.get(id).into_iter().flatten().filter_map(|place| self.keys.get(&place.id))
    }

    /// Whether everything is already as after that change: an equal request was faster. `stored` as for [`check`](Self::check).
    pub(super) fn is_in_effect(&self, change: &Change, stored: Option<&KeyRecord>) -> bool {
        let (user, key) = (|id| self.users.get(id), |id| self.keys.get(id).map(|key| &**key).or(stored));
        match change {
            Change::SetRole(id, role) => user(id).is_some_and(|user| user.role == *role),
            Change::SetEmail(id, email) => user(id).is_some_and(|user| user.email == *email),
            Change::SetGroups(id, groups) => user(id).is_some_and(|user| user.groups == *groups),
            Change::SetLimits(id, limits) => user(id).is_some_and(|user| user.limits == *limits),
            Change::SetDisabled(id, disabled) => user(id).is_some_and(|user| user.disabled == *disabled),
            Change::SetAddresses(id, rules) => user(id).is_some_and(|user| user.addresses == *rules),
            Change::SetSuspended(what, suspension) => self.suspended(what).is_some_and(|now| match (now, suspension) {
                (Some(now), Some(new)) => !new.replaces(now),
                (now, new) => now.is_none() && new.is_none(),
            }),
            Change::RevokeKey(id, _) => key(id).is_some_and(|key| key.revoked_at.is_some()),
            Change::ExpireKey(id, at) => {
                key(id).is_some_and(|key| !key.replaceable && key.rights.expires_at.is_some_and(|end| end <= *at))
            }
            Change::RevokeInvitation(id, _) => {
                self.invitations.get(id).is_some_and(|invitation| invitation.revoked_at.is_some())
            }
            Change::SetMaintenance(new) => match (&self.maintenance, new) {
                (Some(now), Some(new)) => now.says_same(new),
                (now, new) => now.is_none() && new.is_none(),
            },
            _ => false,
        }
    }

    /// Whether a change makes sense. The store has constraints of its own; here they have words.
    /// `stored` is the record of the key that it names, if that is not in memory.
    pub(super) fn check(&self, change: &Change, stored: Option<&KeyRecord>) -> Result<(), DirectoryError> {
        let taken = |what: String| Err(DirectoryError::Store(StoreError::Taken(what)));
        let user = |id: &Uuid| self.users.get(id).ok_or_else(|| DirectoryError::Unknown("such user".to_owned()));
        match change {
            Change::AddUser(new, _) => self.check_new_user(new),
            Change::AddInvitation(new) => self.check_new_invitation(new),
            Change::UseInvitation(id, user, _) => self.check_use(id, user),
            Change::RevokeInvitation(id, _) => self.check_revocation(id),
            Change::AddIdentity(user, identity) => self.check_new_identity(user, identity),
            Change::NoteSignIn(id, ..) if !self.identities.contains_key(id) => {
                Err(DirectoryError::Unknown("such identity".to_owned()))
            }
            Change::SetRole(id, role) if !self.tables.roles.administrates(role) => self.keeps_an_admin(user(id)?),
            Change::SetDisabled(id, true)
            | Change::RemoveUser(id)
            | Change::SetSuspended(Suspendable::User(id), Some(_)) => self.keeps_an_admin(user(id)?),
            Change::SetSuspended(what, _) if self.suspended(what).is_none() => {
                Err(DirectoryError::Unknown(match what {
                    Suspendable::User(_) => "such user".to_owned(),
                    Suspendable::Device(key) => format!("device {}", key.fingerprint()),
                    Suspendable::Key(id) => format!("valid key {id}"),
                }))
            }
            Change::SetPassword(id, _)
            | Change::SetRole(id, _)
            | Change::SetEmail(id, _)
            | Change::SetGroups(id, _)
            | Change::SetLimits(id, _)
            | Change::SetAddresses(id, _)
            | Change::SetDisabled(id, _) => user(id).map(|_| ()),
            Change::AddDevice(device) => user(&device.user).map(|_| ()),
            Change::RemoveDevice(key) if !self.devices.contains_key(key) => {
                Err(DirectoryError::Unknown(format!("device {}", key.fingerprint())))
            }
            Change::AddKey(key) if self.keys.contains_key(&key.id) => taken(format!("the id {}", key.id)),
            Change::AddKey(key) if self.by_hash.contains_key(&key.hash) || self.ended.contains_key(&key.hash) => {
                taken("that key".to_owned())
            }
            // Otherwise a stolen key could create any number of others, which outlive it.
            Change::AddKey(key) if let Some(other) = self.replacement_of(key) => Err(DirectoryError::Replaced(other)),
            Change::AddKey(key) => match &key.replaces {
                None => user(&key.user).map(|_| ()),
                // It may have been revoked while its replacement was being made.
                Some(old) => match self.keys.get(old).map(|key| &**key).or(stored) {
                    None => Err(DirectoryError::Unknown(format!("key {old}"))),
                    Some(record) if !record.is_live(key.created_at) => Err(DirectoryError::NotLive(old.clone())),
                    Some(record) if record.suspended.is_some() => Err(DirectoryError::Suspended(old.clone())),
                    Some(_) => user(&key.user).map(|_| ()),
                },
            },
            Change::RevokeKey(id, _) | Change::ExpireKey(id, _) if !self.keys.contains_key(id) && stored.is_none() => {
                Err(DirectoryError::Unknown(format!("key {id}")))
            }
            _ => Ok(()),
        }
    }

    /// The key besides `key` that replaces the same one and is accepted.
    fn replacement_of(&self, key: &KeyRecord) -> Option<KeyId> {
        let old = key.replaces.as_ref()?;
        self.replacements_of(old).find(|other| other.is_live(key.created_at)).map(|other| other.id.clone())
    }

    /// Whether and why it is suspended, if it is there.
    pub(super) fn suspended(&self, what: &Suspendable) -> Option<Option<&Suspension>> {
        Some(match what {
            Suspendable::User(id) => self.users.get(id)?.suspended.as_deref(),
            Suspendable::Device(key) => self.devices.get(key)?.suspended.as_deref(),
            Suspendable::Key(id) => self.keys.get(id)?.suspended.as_deref(),
        })
    }

    fn keeps_an_admin(&self, loses: &User) -> Result<(), DirectoryError> {
        let rules = |user: &User| self.tables.roles.administrates(&user.role) && user.is_active();
        let others = self.users.values().any(|user| user.id != loses.id && rules(user));
        if !rules(loses) || others { Ok(()) } else { Err(DirectoryError::LastAdmin(loses.name.clone())) }
    }

    /// A change that this gateway has stored at that position, unless what came later is in memory already.
    pub(super) fn apply_at(&mut self, position: Position, is_shared: bool, change: Change, stored: Option<KeyRecord>) {
        if !is_shared || self.position.number < position.number {
            self.apply(change, stored);
            self.position = position;
        }
    }

    pub(super) fn apply(&mut self, change: Change, stored: Option<KeyRecord>) {
        match change {
            Change::AddUser(user, _) => {
                self.users.insert(user.id, Arc::new(user));
            }
            Change::SetRole(id, role) => self.change_user(id, |user| user.role = role),
            Change::SetEmail(id, email) => self.change_user(id, |user| user.email = email),
            Change::SetGroups(id, groups) => self.change_user(id, |user| user.groups = groups),
            Change::SetLimits(id, limits) => self.change_user(id, |user| user.limits = limits),
            Change::SetDisabled(id, disabled) => self.change_user(id, |user| user.disabled = disabled),
            Change::SetAddresses(id, rules) => self.change_user(id, |user| user.addresses = rules),
            Change::SetSuspended(what, suspension) => self.set_suspended(&what, suspension),
            Change::RemoveUser(id) => self.remove_user(id),
            Change::AddDevice(mut device) => {
                // An approval lifts nothing.
                device.suspended = self.devices.get(&device.key).and_then(|known| known.suspended.clone());
                self.devices.insert(device.key.clone(), Arc::new(device));
            }
            Change::RemoveDevice(key) => {
                self.devices.remove(&key);
            }
            Change::AddKey(key) => self.put_key(*key),
            Change::RevokeKey(id, at) => {
                if let Some(key) = self.keys.get_mut(&id) {
                    Arc::make_mut(key).revoked_at.get_or_insert(at);
                    self.end_key(&id);
                } else if let Some(ended) = stored.and_then(|key| self.ended.get_mut(&key.hash)) {
                    ended.is_revoked = true;
                }
            }
            Change::ExpireKey(id, at) => {
                if let Some(key) = self.keys.get_mut(&id) {
                    Arc::make_mut(key).end_by(at);
                } else if let Some(ended) = stored.and_then(|key| self.ended.get_mut(&key.hash)) {
                    ended.expires_at = Some(ended.expires_at.map_or(at, |end| end.min(at)));
                }
            }
            Change::AddInvitation(invitation) => self.put_invitation(Arc::unwrap_or_clone(invitation)),
            Change::UseInvitation(id, user, _) => {
                let (at, by) = (user.created_at, user.name.clone());
                self.users.insert(user.id, Arc::new(user));
                self.change_invitation(&id, |invitation| {
                    (invitation.used_at, invitation.used_by) = (Some(at), Some(by))
                });
            }
            Change::RevokeInvitation(id, at) => {
                self.change_invitation(&id, |invitation| {
                    invitation.revoked_at.get_or_insert(at);
                });
            }
            Change::AddIdentity(user, identity) => {
                self.users.insert(user.id, Arc::new(user));
                self.put_identity(Arc::unwrap_or_clone(identity));
            }
            Change::NoteSignIn(id, at, _) => {
                if let Some(identity) = self.identities.get_mut(&id) {
                    Arc::make_mut(identity).signed_in_at = at;
                }
            }
            Change::SetMaintenance(maintenance) => self.maintenance = maintenance,
            Change::SetPassword(..) | Change::Note => {}
        }
    }

    pub(super) fn remove_user(&mut self, user: Uuid) {
        self.users.remove(&user);
        if let Some(identity) = self.identity_of.remove(&user) {
            self.identities.remove(&identity);
        }
        self.devices.retain(|_, device| device.user != user);
        self.ended_use.remove(&user);
        // Its keys are refused as revoked, whatever else they were.
        let end = |key: &mut Ended| (key.is_revoked, key.expires_at) = (true, None);
        self.ended.values_mut().filter(|key| key.user == user).for_each(end);
        for place in self.by_user.remove(&user).unwrap_or_default() {
            let Some(key) = self.keys.remove(&place.id) else { continue };
            self.by_hash.remove(&key.hash);
            let mut ended = Ended::of(&key);
            end(&mut ended);
            self.ended.insert(key.hash, ended);
            self.remove_replacement(&key);
        }
    }

    fn set_suspended(&mut self, what: &Suspendable, suspension: Option<Arc<Suspension>>) {
        let suspended = match what {
            Suspendable::User(id) => self.users.get_mut(id).map(|user| &mut Arc::make_mut(user).suspended),
            Suspendable::Device(key) => self.devices.get_mut(key).map(|device| &mut Arc::make_mut(device).suspended),
            Suspendable::Key(id) => self.keys.get_mut(id).map(|key| &mut Arc::make_mut(key).suspended),
        };
        if let Some(suspended) = suspended {
            *suspended = suspension;
        }
    }

    fn change_user(&mut self, id: Uuid, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.get_mut(&id) {
            change(Arc::make_mut(user));
        }
    }

    pub(super) fn touch(&mut self, uses: &[(Use, i64)]) {
        for (credential, at) in uses {
            let last = match credential {
                Use::Device(key) => self.devices.get_mut(key).map(|device| &mut Arc::make_mut(device).last_used_at),
                Use::Key(id) => self.keys.get_mut(id).map(|key| &mut Arc::make_mut(key).last_used_at),
            };
            if let Some(last) = last {
                *last = (*last).max(Some(*at));
            }
        }
    }
}
