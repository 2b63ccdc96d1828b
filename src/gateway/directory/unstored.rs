//! What takes rights away must work while the database does not: it is in effect in this gateway's memory at once, and is stored as soon as
//! that is possible. The one who asked for it is told, since other gateways do not know it, and a restart forgets it.
//!
//! The last of them are also remembered after they were stored: a standby that was promoted before it had everything has lost some.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, MutexGuard, PoisonError};

use uuid::Uuid;

use super::memory::Memory;
use super::{Directory, DirectoryError, Inner};
use crate::gateway::store::{Actor, Change, Event, KeyRecord, Record, StoreError};
use crate::identity::PublicKey;
use crate::keyspec::KeyId;

/// Those that are remembered: of a minute in which ten accounts of a thousand keys are removed.
const MOST: usize = 10_000;

/// Whether a change does nothing but take rights away.
pub(super) fn takes_away(change: &Change) -> bool {
    matches!(
        change,
        Change::RevokeKey(..) | Change::SetDisabled(_, true) | Change::RemoveDevice(_) | Change::RemoveUser(_)
    )
}

/// What a revocation is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Revoked {
    User(Uuid),
    Device(PublicKey),
    Key(KeyId),
}

impl Revoked {
    fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::SetDisabled(id, _) | Change::RemoveUser(id) => Self::User(*id),
            Change::RemoveDevice(key) => Self::Device(key.clone()),
            Change::AddDevice(device) => Self::Device(device.key.clone()),
            Change::RevokeKey(id, _) => Self::Key(id.clone()),
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
}

#[derive(Clone)]
struct Unstored {
    change: Change,
    event: Event,
    /// The key that it revokes, as it was.
    key: Option<Arc<KeyRecord>>,
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
            Record::User(user) => self.note(&Change::SetDisabled(user.id, user.disabled)),
            Record::RemovedUser(id) => self.note(&Change::RemoveUser(*id)),
            Record::Device(device) => self.note(&Change::AddDevice(device.clone())),
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
            _ => false,
        };
        let lost: Vec<Change> = self.latest.values().filter(is_back).cloned().collect();
        let count = lost.len();
        self.unstored.extend(lost.into_iter().filter_map(|change| {
            let (action, subject) = described(&change, memory)?;
            let event = Event::new(now, Actor::Gateway, action, subject).with("reason", "the database had lost it");
            Some(Unstored { change, event, key: None })
        }));
        count
    }

    /// Puts what is not stored into effect.
    pub(super) fn apply_unstored_to(&self, memory: &mut Memory) {
        for unstored in &self.unstored {
            memory.apply(unstored.change.clone(), None);
        }
    }

    /// The key with that id, as it was before it was revoked, if that is not stored.
    pub(super) fn unstored_key(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.unstored.iter().filter_map(|unstored| unstored.key.as_ref()).find(|key| key.id == *id).cloned()
    }

    fn has_unstored(&self, change: &Change) -> bool {
        let what = |change: &Change| (std::mem::discriminant(change), Revoked::of(change));
        self.unstored.iter().any(|unstored| what(&unstored.change) == what(change))
    }
}

/// The action and the subject of the event for it.
fn described(change: &Change, memory: &Memory) -> Option<(&'static str, String)> {
    let name = |id: &Uuid| memory.users.get(id).map_or_else(|| id.to_string(), |user| user.name.clone());
    Some(match change {
        Change::SetDisabled(id, _) => ("user.disabled", name(id)),
        Change::RemoveUser(id) => ("user.removed", name(id)),
        Change::RemoveDevice(key) => ("device.disconnected", key.fingerprint()),
        Change::RevokeKey(id, _) => ("key.revoked", id.to_string()),
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
        let mut revocations = self.revocations();
        // A second request gets the same answer as the first.
        if revocations.has_unstored(&change) {
            return Err(DirectoryError::NotStored);
        }
        self.read().check(&change, None)?;
        tracing::error!(%error, action = event.action, subject = event.subject, "not stored, but in effect here");
        let key = match &change {
            Change::RevokeKey(id, _) => self.read().keys.get(id).cloned(),
            _ => None,
        };
        self.write().apply(change.clone(), None);
        revocations.unstored.push(Unstored { change, event, key });
        self.changes.send_replace(());
        Err(DirectoryError::NotStored)
    }
}

impl Directory {
    /// Stores what could not be stored before, as far as that is possible now.
    pub(super) async fn store_unstored(&self) {
        loop {
            let first = self.0.revocations().unstored.first().cloned();
            let Some(Unstored { change, event, .. }) = first else { return };
            let _one_at_a_time = self.0.writing.lock().await;
            let stored = self.0.store_again(&change, &event).await;
            match stored {
                Err(error) if error.is_of_database() => return,
                Ok(()) => tracing::info!(action = event.action, subject = event.subject, "stored now"),
                // It is stored already, or there is nothing any more that it could be taken from.
                Err(error) => tracing::warn!(%error, action = event.action, subject = event.subject, "not stored"),
            }
            self.0.revocations().unstored.remove(0);
        }
    }
}

impl Inner {
    /// In memory it is in effect, so only the store is asked whether it makes sense.
    async fn store_again(&self, change: &Change, event: &Event) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        self.finish(transaction, change, event, None).await.map(drop)
    }
}

impl StoreError {
    /// Whether it is the database that fails, and not the change.
    pub(super) fn is_of_database(&self) -> bool {
        !matches!(self, Self::Taken(_))
    }
}
