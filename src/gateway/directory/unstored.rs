//! What takes rights away must work while the database does not: it is in effect in this gateway's memory at once, and is stored as soon as
//! that is possible. The one who asked for it is told, since other gateways do not know it, and a restart forgets it. So are sessions that
//! were ended.
//!
//! The last of them are also remembered after they were stored: a standby that was promoted before it had everything has lost some.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::memory::Memory;
use super::{Directory, DirectoryError, Inner, Known};
use crate::gateway::store::{Actor, Change, Device, Event, KeyRecord, Record, Shared, StoreError, Suspendable, User};
use crate::identity::PublicKey;
use crate::keyspec::KeyId;

/// Those that are remembered: of a minute in which ten accounts of a thousand keys are removed.
const MOST: usize = 10_000;

/// Whether a change does nothing but take rights away.
pub(super) fn takes_away(change: &Change) -> bool {
    matches!(
        change,
        Change::RevokeKey(..)
            | Change::SetDisabled(_, true)
            | Change::SetSuspended(_, Some(_))
            | Change::RemoveDevice(_)
            | Change::RemoveUser(_)
    )
}

/// What a revocation is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Revoked {
    User(Uuid),
    Device(PublicKey),
    Key(KeyId),
    /// Until it is lifted.
    Suspended(Suspendable),
}

impl Revoked {
    fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::SetDisabled(id, _) | Change::RemoveUser(id) => Self::User(*id),
            Change::RemoveDevice(key) => Self::Device(key.clone()),
            Change::AddDevice(device) => Self::Device(device.key.clone()),
            Change::RevokeKey(id, _) => Self::Key(id.clone()),
            Change::SetSuspended(what, _) => Self::Suspended(what.clone()),
            _ => return None,
        })
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Revocations {
    /// The last that were stored.
    latest: HashMap<Revoked, Change>,
    order: VecDeque<Revoked>,
    /// Those that could not be stored.
    unstored: Vec<Unstored>,
    /// The sessions whose end the other gateways could not be told, by the SHA-256 of their cookies.
    ended_sessions: VecDeque<[u8; 32]>,
}

#[derive(Clone)]
struct Unstored {
    change: Change,
    event: Event,
    /// What it takes away, if that is not in memory any more.
    withdrawn: Option<Withdrawn>,
}

/// What was taken away, as it was before.
#[derive(Clone, Debug)]
pub enum Withdrawn {
    /// An account that was removed.
    User(Arc<User>),
    /// A device that was disconnected.
    Device(Known<Device>),
    /// A key that was revoked.
    Key(Arc<KeyRecord>),
}

impl Withdrawn {
    fn by(change: &Change, memory: &Memory) -> Option<Self> {
        Some(match change {
            Change::RemoveUser(id) => Self::User(memory.users.get(id)?.clone()),
            Change::RemoveDevice(key) => {
                let credential = memory.devices.get(key)?.clone();
                let user = memory.users.get(&credential.user)?.clone();
                Self::Device(Known { credential, user })
            }
            Change::RevokeKey(id, _) => Self::Key(memory.keys.get(id)?.clone()),
            _ => return None,
        })
    }
}

impl Revocations {
    /// Takes note of a change that was stored.
    pub(super) fn note(&mut self, change: &Change) {
        let Some(revoked) = Revoked::of(change) else { return };
        if !takes_away(change) {
            if self.latest.remove(&revoked).is_some() {
                self.order.retain(|other| *other != revoked);
            }
            return;
        }
        if self.latest.insert(revoked.clone(), change.clone()).is_none() {
            self.order.push_back(revoked);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.latest.remove(&oldest);
        }
    }

    /// Takes note of what another gateway has stored.
    pub(super) fn note_record(&mut self, record: &Record) {
        match record {
            Record::User(user) => {
                self.note(&Change::SetDisabled(user.id, user.disabled));
                self.note(&Change::SetSuspended(Suspendable::User(user.id), user.suspended.clone()));
            }
            Record::RemovedUser(id) => self.note(&Change::RemoveUser(*id)),
            Record::Device(device) => {
                self.note(&Change::AddDevice(device.clone()));
                self.note(&Change::SetSuspended(Suspendable::Device(device.key.clone()), device.suspended.clone()));
            }
            Record::Key(key) => {
                self.note(&Change::SetSuspended(Suspendable::Key(key.id.clone()), key.suspended.clone()));
            }
            Record::RemovedDevice(key) => self.note(&Change::RemoveDevice(key.clone())),
            Record::EndedKey(key) if key.is_revoked => self.note(&Change::RevokeKey(key.id.clone(), 0)),
            _ => {}
        }
    }

    /// Takes what the memory of an older database has lost for not stored, and returns how many there are.
    pub(super) fn lost(&mut self, memory: &Memory, now: i64) -> usize {
        let is_back = |change: &&Change| match change {
            Change::SetDisabled(id, true) => memory.users.get(id).is_some_and(|user| !user.disabled),
            Change::RemoveUser(id) => memory.users.contains_key(id),
            Change::RemoveDevice(key) => memory.devices.contains_key(key),
            Change::RevokeKey(id, _) => memory.keys.contains_key(id),
            Change::SetSuspended(what, Some(_)) => memory.suspended(what).is_some_and(|now| now.is_none()),
            _ => false,
        };
        let lost: Vec<Change> = self.latest.values().filter(is_back).cloned().collect();
        let count = lost.len();
        for change in lost {
            let Some((action, subject)) = described(&change, memory) else { continue };
            let event = Event::new(now, Actor::Gateway, action, subject).with("reason", "the database had lost it");
            self.add(Unstored { change, event, withdrawn: None });
        }
        count
    }

    fn add(&mut self, unstored: Unstored) {
        // What is noted from now on, another gateway has stored since.
        if let Some(revoked) = Revoked::of(&unstored.change)
            && self.latest.remove(&revoked).is_some()
        {
            self.order.retain(|other| *other != revoked);
        }
        self.unstored.push(unstored);
    }

    /// Whether another gateway has stored it in the meantime.
    fn is_stored_by_another(&self, change: &Change) -> bool {
        let stored = Revoked::of(change).and_then(|revoked| self.latest.get(&revoked));
        stored.is_some_and(|stored| matches!(stored, Change::RemoveUser(_)) || is_same(stored, change))
    }

    /// Takes note of a session whose end the other gateways could not be told.
    pub(super) fn note_ended_session(&mut self, digest: [u8; 32]) {
        if !self.ended_sessions.contains(&digest) {
            self.ended_sessions.push_back(digest);
        }
        if self.ended_sessions.len() > MOST {
            self.ended_sessions.pop_front();
        }
    }

    /// Puts what is not stored into effect.
    pub(super) fn apply_unstored_to(&self, memory: &mut Memory) {
        for unstored in &self.unstored {
            memory.apply(unstored.change.clone(), None);
        }
    }

    /// The key with that id, as it was before it was revoked, if that is not stored.
    pub(super) fn unstored_key(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.unstored.iter().find_map(|unstored| match &unstored.withdrawn {
            Some(Withdrawn::Key(key)) if key.id == *id => Some(key.clone()),
            _ => None,
        })
    }

    fn has_unstored(&self, change: &Change) -> bool {
        self.unstored.iter().any(|unstored| is_same(&unstored.change, change))
    }
}

/// Whether both take the same away.
fn is_same(one: &Change, other: &Change) -> bool {
    let what = |change: &Change| (std::mem::discriminant(change), Revoked::of(change));
    what(one) == what(other)
}

/// The action and the subject of the event for it.
fn described(change: &Change, memory: &Memory) -> Option<(&'static str, String)> {
    let name = |id: &Uuid| memory.users.get(id).map_or_else(|| id.to_string(), |user| user.name.clone());
    Some(match change {
        Change::SetDisabled(id, _) => ("user.disabled", name(id)),
        Change::RemoveUser(id) => ("user.removed", name(id)),
        Change::RemoveDevice(key) => ("device.disconnected", key.fingerprint()),
        Change::RevokeKey(id, _) => ("key.revoked", id.to_string()),
        Change::SetSuspended(Suspendable::User(id), _) => ("user.suspended", name(id)),
        Change::SetSuspended(Suspendable::Device(key), _) => ("device.suspended", key.fingerprint()),
        Change::SetSuspended(Suspendable::Key(id), _) => ("key.suspended", id.to_string()),
        _ => return None,
    })
}

impl Inner {
    pub(super) fn revocations(&self) -> MutexGuard<'_, Revocations> {
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a change into effect that could not be stored, if it may be made as far as this gateway knows.
    pub(super) fn make_unstored(
        self: &Arc<Self>,
        change: Change,
        event: Event,
        still: &(dyn Fn(&Directory) -> bool + Sync),
        error: &StoreError,
    ) -> Result<bool, DirectoryError> {
        if !still(&Directory(self.clone())) {
            return Ok(false);
        }
        match self.put_into_effect(change, event, &error.to_string())? {
            true => Err(DirectoryError::NotStored),
            false => Ok(true),
        }
    }

    /// Puts a change into effect in memory that is not stored. Returns whether it has to be stored: not if it was in effect before.
    fn put_into_effect(&self, change: Change, event: Event, reason: &str) -> Result<bool, DirectoryError> {
        let mut revocations = self.revocations();
        // A second request gets the same answer as the first.
        if revocations.has_unstored(&change) {
            return Ok(true);
        }
        let mut memory = self.write();
        if memory.is_in_effect(&change, None) {
            return Ok(false);
        }
        memory.check(&change, None)?;
        tracing::error!(
            error = reason,
            action = event.action,
            subject = event.subject,
            "not stored, but in effect here"
        );
        let withdrawn = Withdrawn::by(&change, &memory);
        memory.apply(change.clone(), None);
        revocations.add(Unstored { change, event, withdrawn });
        drop((memory, revocations));
        self.changes.send_replace(());
        Ok(true)
    }
}

impl Directory {
    /// Takes rights away at once, and in memory only. Returns whether that has to be stored: not if it was in effect before.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub fn take_away(&self, change: &Change, event: Event) -> Result<bool, DirectoryError> {
        self.0.put_into_effect(change.clone(), event, "a command could not reach the database")
    }

    /// Tries to store what could not be stored before. Returns after `patience` at the latest, and whether that change is stored.
    pub async fn is_stored_within(&self, patience: Duration, change: &Change) -> bool {
        let directory = self.clone();
        // Goes on after that: half of it would be stored twice.
        let storing = self.0.runtime.spawn(async move { directory.store_unstored().await });
        let _ = tokio::time::timeout(patience, storing).await;
        !self.0.revocations().has_unstored(change)
    }

    /// What was taken away and could not be stored.
    pub fn withdrawn(&self) -> Vec<Withdrawn> {
        self.0.revocations().unstored.iter().filter_map(|unstored| unstored.withdrawn.clone()).collect()
    }

    /// Stores what could not be stored before, as far as that is possible now.
    pub(super) async fn store_unstored(&self) {
        while self.0.store_first_unstored().await || self.0.share_first_ended_session().await {}
    }
}

impl Inner {
    /// Returns whether there may be another one that can be stored.
    async fn store_first_unstored(&self) -> bool {
        if self.revocations().unstored.is_empty() {
            return false;
        }
        let _one_at_a_time = self.writing.lock().await;
        let first = self.revocations().unstored.first().cloned();
        let Some(Unstored { change, event, .. }) = first else { return false };
        match self.store_again(&change, &event).await {
            Err(error) if error.is_of_database() => return false,
            Ok(true) => tracing::info!(action = event.action, subject = event.subject, "stored now"),
            Ok(false) => tracing::info!(action = event.action, subject = event.subject, "stored by another gateway"),
            // There is nothing any more that it could be taken from.
            Err(error) => tracing::warn!(%error, action = event.action, subject = event.subject, "not stored"),
        }
        self.revocations().unstored.retain(|other| !is_same(&other.change, &change));
        true
    }

    /// In memory it is in effect, so only the store is asked whether it makes sense. Returns whether it was stored: not if another gateway
    /// has done that.
    async fn store_again(&self, change: &Change, event: &Event) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        if self.revocations().is_stored_by_another(change) {
            return Ok(false);
        }
        self.finish(transaction, change, event, None).await.map(|_| true)
    }

    /// Returns whether there may be another one that the other gateways can be told.
    async fn share_first_ended_session(&self) -> bool {
        if self.revocations().ended_sessions.is_empty() {
            return false;
        }
        let _one_at_a_time = self.writing.lock().await;
        let first = self.revocations().ended_sessions.front().copied();
        let Some(digest) = first else { return false };
        if self.share(&Shared::EndedSession(digest), || true).await.is_err() {
            return false;
        }
        self.revocations().ended_sessions.retain(|other| *other != digest);
        true
    }
}

impl StoreError {
    /// Whether it is the database that fails, and not the change.
    pub(super) fn is_of_database(&self) -> bool {
        !matches!(self, Self::Taken(_) | Self::Missing { .. })
    }
}
