//! The accounts, devices and keys that decide about requests: read from memory, written through to the store.
//!
//! A change is in the store before it counts, and counts before it is answered. Changes are made one after the other, by a task
//! that no caller's leaving can stop half-way.

mod budget;
#[cfg(test)]
pub mod conformance;
mod memory;
mod recent_events;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use secrecy::SecretString;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::gateway::password::PasswordHash;
use crate::gateway::store::{
    Change, Device, Event, EventFilter, KeyRecord, RecordedEvent, Snapshot, Store, StoreError, Use, User,
};
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId};
use budget::ChangeBudget;
use memory::Memory;
pub use memory::{DirectoryError, Place};
use recent_events::RecentEvents;

/// A credential that is on record, with its account.
#[derive(Clone, Debug)]
pub struct Known<T> {
    /// The device or the key.
    pub credential: Arc<T>,
    /// Its account. It may be disabled.
    pub user: Arc<User>,
}

/// See the module. Clones share what they hold.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    memory: RwLock<Memory>,
    /// Held by who makes a change.
    writing: tokio::sync::Mutex<RecentEvents>,
    budget: ChangeBudget,
    uses: Mutex<HashMap<Use, i64>>,
    runtime: Handle,
}

impl Directory {
    /// Loads what the store has. Changes are made on the runtime that this is called on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let Snapshot { users, devices, keys } = store.load().await?;
        let mut memory = Memory::default();
        for user in users {
            memory.users.insert(user.id, Arc::new(user));
        }
        for device in devices {
            memory.devices.insert(device.key.clone(), Arc::new(device));
        }
        for key in keys {
            memory.put_key(key);
        }
        let (memory, runtime) = (RwLock::new(memory), Handle::current());
        Ok(Self(Arc::new(Inner {
            store,
            memory,
            writing: Default::default(),
            budget: ChangeBudget::default(),
            uses: Default::default(),
            runtime,
        })))
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        self.read().users.is_empty()
    }

    /// The device with that key.
    pub fn device(&self, key: &PublicKey) -> Option<Known<Device>> {
        let memory = self.read();
        let credential = memory.devices.get(key)?.clone();
        let user = memory.users.get(&credential.user)?.clone();
        Some(Known { credential, user })
    }

    /// The API key with that hash, whatever has become of it.
    pub fn key(&self, hash: &KeyHash) -> Option<Known<KeyRecord>> {
        let memory = self.read();
        let credential = memory.keys.get(memory.by_hash.get(hash)?)?.clone();
        let user = memory.users.get(&credential.user)?.clone();
        Some(Known { credential, user })
    }

    /// The API key with that id, whatever has become of it.
    pub fn key_by_id(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.read().keys.get(id).cloned()
    }

    /// The account of that name.
    pub fn user_by_name(&self, name: &str) -> Option<Arc<User>> {
        self.read().users.values().find(|user| user.name == name).cloned()
    }

    /// The account with that id.
    pub fn user(&self, id: Uuid) -> Option<Arc<User>> {
        self.read().users.get(&id).cloned()
    }

    /// All accounts, by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.read().users.values().cloned().collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users
    }

    /// An account's devices, the newest first.
    pub fn devices_of(&self, user: Uuid) -> Vec<Arc<Device>> {
        let mut devices: Vec<_> = self.read().devices.values().filter(|device| device.user == user).cloned().collect();
        devices.sort_by(|a, b| (b.created_at, a.key.line()).cmp(&(a.created_at, b.key.line())));
        devices
    }

    /// An account's API keys, revoked ones among them, the newest first.
    pub fn keys_of(&self, user: Uuid) -> Vec<Arc<KeyRecord>> {
        self.read().keys_after(user, None).cloned().collect()
    }

    /// Up to `limit` of an account's API keys that are `wanted`, the newest first, from behind a place on; and whether there are
    /// more. No more keys are looked at than these, those passed over between them, and one.
    pub fn keys_page(
        &self,
        user: Uuid,
        after: Option<&Place>,
        limit: usize,
        wanted: impl FnMut(&&Arc<KeyRecord>) -> bool,
    ) -> (Vec<Arc<KeyRecord>>, bool) {
        let memory = self.read();
        let mut keys = memory.keys_after(user, after).filter(wanted);
        let page = keys.by_ref().take(limit).cloned().collect();
        (page, keys.next().is_some())
    }

    /// How many API keys of an account are on record, whatever has become of them.
    pub fn count_keys(&self, user: Uuid) -> usize {
        self.read().count_keys(user)
    }

    /// How many of them are accepted at `now`. Looks at each.
    pub fn count_live_keys(&self, user: Uuid, now: i64) -> usize {
        self.read().keys_after(user, None).filter(|key| key.is_live(now)).count()
    }

    /// The keys that were made to replace that one, whatever has become of them, in the order in which they were made.
    pub fn replacements_of(&self, id: &KeyId) -> Vec<Arc<KeyRecord>> {
        self.read().replacements_of(id).cloned().collect()
    }

    /// The id of the key that a line of replacements began with: its own if it replaces none.
    pub fn first_of(&self, key: &KeyRecord) -> KeyId {
        self.read().first_of(key)
    }

    /// An account's password hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn password(&self, user: Uuid) -> Result<Option<PasswordHash>, StoreError> {
        let store = self.0.store.clone();
        let asked = self.0.runtime.spawn(async move { store.password(user).await });
        let kept: Option<SecretString> = asked.await.map_err(|_| ending())??;
        Ok(kept.map(PasswordHash::kept))
    }

    /// The latest events that are wanted, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, limit: u32, filter: EventFilter) -> Result<Vec<RecordedEvent>, StoreError> {
        let store = self.0.store.clone();
        let asked = self.0.runtime.spawn(async move { store.events(limit, &filter).await });
        asked.await.map_err(|_| ending())?
    }

    /// Makes a change: when this returns `Ok`, it is stored and in effect. It completes even if the caller does not wait.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit(&self, change: Change, event: Event) -> Result<(), DirectoryError> {
        self.commit_if(change, event, |_| true).await.map(|_| ())
    }

    /// The same, unless `still` returns false when the change is due: the caller may have lost the right since. Returns whether it
    /// was made.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit_if(
        &self,
        change: Change,
        event: Event,
        still: impl FnOnce(&Self) -> bool + Send + 'static,
    ) -> Result<bool, DirectoryError> {
        if let Some(account) = event.charged_to {
            self.0.budget.take(account).map_err(DirectoryError::TooMany)?;
        }
        let inner = self.0.clone();
        let made = self.0.runtime.spawn(async move {
            let mut recent = inner.writing.lock().await;
            if !still(&Self(inner.clone())) {
                return Ok(false);
            }
            inner.read().check(&change)?;
            let earlier = recent.earlier(&event);
            let number = inner.store.apply(&change, &event, earlier).await?;
            tracing::info!(
                actor = event.actor,
                action = event.action,
                subject = event.subject,
                account = event.account.as_ref().map(|account| account.name.as_str()),
                details = event.details.to_string(),
                address = event.address,
                count = event.repeats + 1,
                "event"
            );
            recent.note(event, number);
            inner.memory.write().unwrap_or_else(PoisonError::into_inner).apply(change);
            Ok(true)
        });
        made.await.map_err(|_| DirectoryError::Ending)?
    }

    /// Notes that a credential was used. Kept in memory until [`flush`](Self::flush).
    pub fn used(&self, credential: Use, now: i64) {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = uses.entry(credential).or_insert(now);
        *latest = now.max(*latest);
    }

    /// Writes what [`used`](Self::used) gathered, completely even if the caller does not wait. What cannot be written is kept
    /// for the next time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn flush(&self) -> Result<(), StoreError> {
        let inner = self.0.clone();
        let written = self.0.runtime.spawn(async move {
            // Between two changes, so that memory and store see them in the same order.
            let _one_at_a_time = inner.writing.lock().await;
            inner.flush().await
        });
        written.await.map_err(|_| ending())?
    }

    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.0.read()
    }
}

impl Inner {
    /// A panic elsewhere cannot leave a change half made: each is a few insertions, which do not panic.
    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(());
        }
        let list: Vec<(Use, i64)> = uses.into_iter().collect();
        let written = self.store.touch(&list).await;
        if written.is_ok() {
            self.memory.write().unwrap_or_else(PoisonError::into_inner).touch(&list);
        } else {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            for (credential, at) in list {
                let latest = uses.entry(credential).or_insert(at);
                *latest = at.max(*latest);
            }
        }
        written
    }
}

fn ending() -> StoreError {
    StoreError::Read { place: "of the gateway".to_owned(), reason: "the gateway is shutting down".to_owned() }
}
