//! The accounts, devices and keys that requests are decided by: read from memory, written through to the store.
//!
//! A change is in the store before it counts, and counts before it is answered. Changes are made one after the other, by a task
//! that no caller's leaving can stop half-way.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use secrecy::SecretString;
use thiserror::Error;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::password::PasswordHash;
use super::store::{Change, Device, Event, KeyRecord, RecordedEvent, Snapshot, Store, StoreError, Use, User};
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId};

/// A credential that is on record, with its account.
#[derive(Clone, Debug)]
pub struct Known<T> {
    /// The device or the key.
    pub credential: Arc<T>,
    /// Its account. It may be disabled.
    pub user: Arc<User>,
}

/// Why a change was not made.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// By the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was to be changed is not there.
    #[error("there is no {0}")]
    Unknown(String),
    /// The last administrator would be gone.
    #[error("{0} is the last administrator who is not disabled")]
    LastAdmin(String),
    /// The key that is to be replaced has a replacement that is accepted; holds its id.
    #[error("the key has a replacement already: {0}")]
    Replaced(KeyId),
    /// The gateway is ending.
    #[error("the gateway is shutting down")]
    Ending,
}

impl DirectoryError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::LastAdmin(_) => Some("make somebody else an administrator first".to_owned()),
            Self::Replaced(_) => Some("revoke that one first, or go on with it".to_owned()),
            Self::Unknown(_) | Self::Ending => None,
        }
    }
}

/// See the module.
pub struct Directory(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    memory: RwLock<Memory>,
    writing: tokio::sync::Mutex<()>,
    uses: Mutex<HashMap<Use, i64>>,
    runtime: Handle,
}

#[derive(Default)]
struct Memory {
    users: HashMap<Uuid, Arc<User>>,
    devices: HashMap<PublicKey, Arc<Device>>,
    keys: HashMap<KeyId, Arc<KeyRecord>>,
    by_hash: HashMap<KeyHash, KeyId>,
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
        Ok(Self(Arc::new(Inner { store, memory, writing: Default::default(), uses: Default::default(), runtime })))
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
        let mut keys: Vec<_> = self.read().keys.values().filter(|key| key.user == user).cloned().collect();
        keys.sort_by(|a, b| (b.created_at, &a.id).cmp(&(a.created_at, &b.id)));
        keys
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

    /// The latest events, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, limit: u32) -> Result<Vec<RecordedEvent>, StoreError> {
        let store = self.0.store.clone();
        let asked = self.0.runtime.spawn(async move { store.events(limit).await });
        asked.await.map_err(|_| ending())?
    }

    /// Makes a change: when this returns `Ok`, it is kept and counts. It is made to the end even if the caller does not wait.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit(&self, change: Change, event: Event) -> Result<(), DirectoryError> {
        self.commit_if(change, event, |_| true).await.map(|_| ())
    }

    /// The same, unless `still` says no when it is its turn: whoever asked for it may have lost the right to since. Returns whether it
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
        let inner = self.0.clone();
        let made = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            if !still(&Self(inner.clone())) {
                return Ok(false);
            }
            inner.read().check(&change)?;
            inner.store.apply(&change, &event).await?;
            tracing::info!(
                actor = event.actor,
                action = event.action,
                subject = event.subject,
                detail = event.detail,
                address = event.address,
                "event"
            );
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

    /// Writes what [`used`](Self::used) gathered, to the end even if the caller does not wait. What cannot be written is kept
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
    /// A panic elsewhere cannot leave a change half made: each is one insertion.
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

impl Memory {
    fn put_key(&mut self, key: KeyRecord) {
        self.by_hash.insert(key.hash, key.id.clone());
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    /// Whether a change makes sense. The store has constraints of its own; here they have words.
    fn check(&self, change: &Change) -> Result<(), DirectoryError> {
        let taken = |what: String| Err(DirectoryError::Store(StoreError::Taken(what)));
        let user = |id: &Uuid| self.users.get(id).ok_or_else(|| DirectoryError::Unknown("such user".to_owned()));
        match change {
            Change::AddUser(new, _) if self.users.contains_key(&new.id) => taken(format!("the id {}", new.id)),
            Change::AddUser(new, _) if self.users.values().any(|user| user.name == new.name) => {
                taken(format!("the name {}", new.name))
            }
            Change::SetRole(id, role) if *role != super::store::Role::Admin => self.keeps_an_admin(user(id)?),
            Change::SetDisabled(id, true) => self.keeps_an_admin(user(id)?),
            Change::SetPassword(id, _) | Change::SetRole(id, _) | Change::SetDisabled(id, _) => user(id).map(|_| ()),
            Change::AddDevice(device) => user(&device.user).map(|_| ()),
            Change::RemoveDevice(key) if !self.devices.contains_key(key) => {
                Err(DirectoryError::Unknown(format!("device {}", key.fingerprint())))
            }
            Change::AddKey(key) if self.keys.contains_key(&key.id) => taken(format!("the id {}", key.id)),
            Change::AddKey(key) if self.by_hash.contains_key(&key.hash) => taken("that key".to_owned()),
            // Else whoever got hold of a key could make any number of others, which outlive it.
            Change::AddKey(key) if let Some(other) = self.replacement_of(key) => Err(DirectoryError::Replaced(other)),
            Change::AddKey(key) => match &key.replaces {
                // It may have been revoked while its replacement was being made.
                Some(old) if self.keys.get(old).is_none_or(|old| old.revoked_at.is_some()) => {
                    Err(DirectoryError::Unknown(format!("key {old}")))
                }
                _ => user(&key.user).map(|_| ()),
            },
            Change::RevokeKey(id, _) if !self.keys.contains_key(id) => {
                Err(DirectoryError::Unknown(format!("key {id}")))
            }
            _ => Ok(()),
        }
    }

    /// The key besides `key` that replaces the same one and is accepted.
    fn replacement_of(&self, key: &KeyRecord) -> Option<KeyId> {
        let old = key.replaces.as_ref()?;
        let live = |other: &&Arc<KeyRecord>| other.replaces.as_ref() == Some(old) && other.is_live(key.created_at);
        self.keys.values().find(live).map(|other| other.id.clone())
    }

    fn keeps_an_admin(&self, loses: &User) -> Result<(), DirectoryError> {
        let rules = |user: &User| user.role == super::store::Role::Admin && !user.disabled;
        let others = self.users.values().any(|user| user.id != loses.id && rules(user));
        if !rules(loses) || others { Ok(()) } else { Err(DirectoryError::LastAdmin(loses.name.clone())) }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::AddUser(user, _) => {
                self.users.insert(user.id, Arc::new(user));
            }
            Change::SetRole(id, role) => self.change_user(id, |user| user.role = role),
            Change::SetDisabled(id, disabled) => self.change_user(id, |user| user.disabled = disabled),
            Change::AddDevice(device) => {
                self.devices.insert(device.key.clone(), Arc::new(device));
            }
            Change::RemoveDevice(key) => {
                self.devices.remove(&key);
            }
            Change::AddKey(key) => self.put_key(*key),
            Change::RevokeKey(id, at) => {
                if let Some(key) = self.keys.get_mut(&id) {
                    Arc::make_mut(key).revoked_at.get_or_insert(at);
                }
            }
            Change::SetPassword(..) | Change::Note => {}
        }
    }

    fn change_user(&mut self, id: Uuid, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.get_mut(&id) {
            change(Arc::make_mut(user));
        }
    }

    fn touch(&mut self, uses: &[(Use, i64)]) {
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
