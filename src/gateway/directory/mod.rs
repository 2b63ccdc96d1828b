//! The accounts, devices and keys that decide about requests: read from memory, written through to the store.
//!
//! A change is in the store before it counts, and counts before it is answered. Changes are made one after the other, by a task
//! that no caller's leaving can stop half-way. Where several gateways share a database, `follow` brings what the others change.
//!
//! What takes rights away counts even if it cannot be stored: see `unstored`.

mod budget;
#[cfg(test)]
pub mod conformance;
mod follow;
mod memory;
mod sharing;
#[cfg(test)]
mod tests;
mod unstored;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use crate::gateway::password::PasswordHash;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{
    Change, Device, Event, EventFilter, KeyQuery, KeyRecord, Record, RecordedEvent, Records, Retention, Store,
    StoreError, Transaction, Use, User,
};
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId};
use budget::ChangeBudget;
use memory::Memory;
pub use memory::{DirectoryError, Ended, Place};
use unstored::{Revocations, takes_away};

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
    writing: tokio::sync::Mutex<()>,
    /// The name of this gateway in events.
    replica: OnceLock<String>,
    budget: ChangeBudget,
    uses: Mutex<HashMap<Use, i64>>,
    /// Told after each change.
    changes: watch::Sender<()>,
    /// When the last look at what others have changed began that was completed.
    current: Mutex<Instant>,
    revocations: Mutex<Revocations>,
    /// Is told of devices that ask for approval, and of browser sessions, at any gateway.
    listener: OnceLock<Listener>,
    /// What it is told first.
    first: Mutex<Vec<Record>>,
    runtime: Handle,
}

/// Is told of other gateways' news.
type Listener = Box<dyn Fn(&Record) + Send + Sync>;

impl Directory {
    /// Loads what the store has. Changes are made on the runtime that this is called on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let (current, mut snapshot) = (Mutex::new(Instant::now()), store.load().await?);
        let first = Mutex::new(std::mem::take(&mut snapshot.shared));
        let (memory, runtime) = (RwLock::new(Memory::new(snapshot)), Handle::current());
        Ok(Self(Arc::new(Inner {
            store,
            memory,
            writing: Default::default(),
            replica: OnceLock::new(),
            budget: ChangeBudget::default(),
            uses: Default::default(),
            changes: watch::Sender::default(),
            current,
            revocations: Default::default(),
            listener: OnceLock::new(),
            first,
            runtime,
        })))
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        self.read().users.is_empty()
    }

    /// All devices.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.read().devices.values().cloned().collect()
    }

    /// The device with that key.
    pub fn device(&self, key: &PublicKey) -> Option<Known<Device>> {
        let memory = self.read();
        let credential = memory.devices.get(key)?.clone();
        let user = memory.users.get(&credential.user)?.clone();
        Some(Known { credential, user })
    }

    /// The API key with that hash, if it has not ended. It may have expired since it was looked at last.
    pub fn key(&self, hash: &KeyHash) -> Option<Known<KeyRecord>> {
        let memory = self.read();
        let credential = memory.keys.get(memory.by_hash.get(hash)?)?.clone();
        let user = memory.users.get(&credential.user)?.clone();
        Some(Known { credential, user })
    }

    /// What remains of the API key with that hash, if it has ended and was not deleted.
    pub fn ended_key(&self, hash: &KeyHash) -> Option<Ended> {
        self.read().ended.get(hash).cloned()
    }

    /// Whether that key is valid at `now`, or has expired, was not revoked, and a later key of its chain of replacements is valid.
    pub fn may_continue(&self, key: &KeyRecord, now: i64) -> bool {
        let memory = self.read();
        let is_revoked = match memory.keys.get(&key.id) {
            Some(known) if known.is_live(now) => return true,
            Some(known) => known.revoked_at.is_some(),
            None => memory.ended.get(&key.hash).is_none_or(|ended| ended.is_revoked),
        };
        let first = Some(key.first.as_ref().unwrap_or(&key.id));
        let is_later = |other: &KeyRecord| other.first.as_ref() == first && other.created_at >= key.created_at;
        !is_revoked && memory.keys_of(key.user).any(|other| is_later(other) && other.is_live(now))
    }

    /// Puts a key that was taken for expired back into memory if it is valid at `now`: the clock was set back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revive(&self, id: &KeyId, now: i64) -> Result<(), StoreError> {
        let (inner, id) = (self.0.clone(), id.clone());
        let revived = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            if let Some(key) = inner.store.key(&id).await?.filter(|key| key.is_live(now)) {
                inner.write().revive(key);
            }
            Ok(())
        });
        revived.await.map_err(|_| ending())?
    }

    /// The API key with that id, whatever has become of it, unless it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_by_id(&self, id: &KeyId) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        if let Some(key) = self.read().keys.get(id) {
            return Ok(Some(key.clone()));
        }
        let (store, asked_for) = (self.0.store.clone(), id.clone());
        let asked = self.0.runtime.spawn(async move { store.key(&asked_for).await });
        match asked.await.map_err(|_| ending())? {
            Ok(key) => Ok(key.map(Arc::new)),
            Err(error) => self.0.revocations().unstored_key(id).map(Some).ok_or(error),
        }
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

    /// An account's API keys that have not ended, the newest first. Some may have expired since they were looked at last.
    pub fn keys_of(&self, user: Uuid) -> Vec<Arc<KeyRecord>> {
        self.read().keys_of(user).cloned().collect()
    }

    /// When a key of an account that has ended was used last, in Unix seconds.
    pub fn ended_use(&self, user: Uuid) -> Option<i64> {
        self.read().ended_use.get(&user).copied()
    }

    /// Some of an account's API keys, the newest first; and whether there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_page(&self, mut wanted: KeyQuery) -> Result<(Vec<KeyRecord>, bool), StoreError> {
        let (store, limit) = (self.0.store.clone(), wanted.limit);
        wanted.limit = limit.saturating_add(1);
        let asked = self.0.runtime.spawn(async move { store.keys(&wanted).await });
        let mut keys = asked.await.map_err(|_| ending())??;
        let more = keys.len() > limit;
        keys.truncate(limit);
        Ok((keys, more))
    }

    /// How many API keys of an account have not ended.
    pub fn count_keys(&self, user: Uuid) -> usize {
        self.read().count_keys(user)
    }

    /// How many of them are accepted at `now`, and how many model patterns those have together. Looks at each.
    pub fn count_live_keys(&self, user: Uuid, now: i64) -> (usize, usize) {
        let memory = self.read();
        let live = memory.keys_of(user).filter(|key| key.is_live(now));
        live.fold((0, 0), |(keys, patterns), key| (keys + 1, patterns + key.rights.models.patterns().len()))
    }

    /// The keys that were made to replace that one and have not ended, the newest first.
    pub fn replacements_of(&self, id: &KeyId) -> Vec<Arc<KeyRecord>> {
        self.read().replacements_of(id).cloned().collect()
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

    /// Makes a change: when this returns `Ok`, it is stored and in effect. It completes even if the caller does not wait. What is in
    /// effect already is not made again, and has no second event.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit(&self, change: Change, event: Event) -> Result<(), DirectoryError> {
        self.commit_if(change, event, |_| true).await.map(|_| ())
    }

    /// The same, unless `still` returns false when the change is due: the caller may have lost the right since. Returns whether it
    /// is in effect.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed, unless it is [`DirectoryError::NotStored`].
    pub async fn commit_if(
        &self,
        change: Change,
        event: Event,
        still: impl Fn(&Self) -> bool + Send + Sync + 'static,
    ) -> Result<bool, DirectoryError> {
        if let Some(account) = event.charged_to {
            self.0.budget.take(account).map_err(DirectoryError::TooMany)?;
        }
        let inner = self.0.clone();
        let made = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let made = inner.make(&change, &event, &still).await;
            match made {
                Err(DirectoryError::Store(error)) if error.is_of_database() && takes_away(&change) => {
                    inner.make_unstored(change, event, &still, &error)
                }
                other => other,
            }
        });
        made.await.map_err(|_| DirectoryError::Ending)?
    }

    /// Records an event without a change. Returns its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, event: Event) -> Result<i64, StoreError> {
        let inner = self.0.clone();
        let recorded = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let transaction = inner.begin().await?;
            inner.finish(transaction, &Change::Note, &event, None).await
        });
        recorded.await.map_err(|_| ending())?
    }

    /// Gives this gateway a name in events other than that of the machine. Once.
    pub fn set_replica(&self, name: &str) {
        let _ = self.0.replica.set(name.to_owned());
    }

    /// Tells of changes, after they are in effect.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Whether the store can be read: asks for the password of an account that does not exist.
    pub async fn is_readable(&self) -> bool {
        self.password(Uuid::nil()).await.is_ok()
    }

    /// Notes that a credential was used. Kept in memory until [`flush`](Self::flush).
    pub fn used(&self, credential: Use, now: i64) {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = uses.entry(credential).or_insert(now);
        *latest = now.max(*latest);
    }

    /// The same, in the store when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_use(&self, credential: Use, now: i64) -> Result<(), StoreError> {
        let inner = self.0.clone();
        let written = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let list = [(credential, now)];
            inner.store.touch(&list).await?;
            inner.write().touch(&list);
            Ok(())
        });
        written.await.map_err(|_| ending())?
    }

    /// Takes keys that have expired by `now`, in Unix seconds, out of memory, and deletes what was kept long enough. `ran` are the
    /// seconds that the gateway has run since the last time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, now: i64, ran: i64, retention: Retention) -> Result<(), StoreError> {
        let inner = self.0.clone();
        let swept = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let swept = inner.store.sweep(now, ran, retention).await?;
            if !swept.deleted.is_empty() || swept.events > 0 {
                let (keys, events) = (swept.deleted.len(), swept.events);
                tracing::info!(keys, events, "records deleted after their retention time");
            }
            let mut revived = Vec::new();
            for id in &swept.revived {
                revived.extend(inner.store.key(id).await?);
            }
            let mut memory = inner.write();
            for key in revived {
                memory.revive(key);
            }
            for id in &swept.expired {
                memory.end_key(id);
            }
            for hash in &swept.deleted {
                memory.ended.remove(hash);
            }
            Ok(())
        });
        swept.await.map_err(|_| ending())?
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

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, unless `still` returns false. Returns whether it is in effect.
    async fn make(
        self: &Arc<Self>,
        change: &Change,
        event: &Event,
        still: &(dyn Fn(&Directory) -> bool + Sync),
    ) -> Result<bool, DirectoryError> {
        let mut transaction = self.begin().await?;
        if !still(&Directory(self.clone())) {
            return Ok(false);
        }
        let stored = self.stored(&mut *transaction, change).await?;
        if self.read().is_in_effect(change, stored.as_ref()) {
            return Ok(true);
        }
        self.read().check(change, stored.as_ref())?;
        self.finish(transaction, change, event, stored).await?;
        Ok(true)
    }

    /// Stores a change with its event and puts it into effect. Returns the number of the event.
    async fn finish(
        &self,
        mut transaction: Box<dyn Transaction + '_>,
        change: &Change,
        event: &Event,
        stored: Option<KeyRecord>,
    ) -> Result<i64, StoreError> {
        let number = transaction.make(change, event, self.replica.get_or_init(machine)).await?;
        let position = transaction.commit().await?;
        tracing::info!(
            actor = event.actor.to_string(),
            action = event.action,
            subject = event.subject,
            account = event.account.as_ref().map(|account| account.name.as_str()),
            code = event.code.map(RefusalCode::name),
            details = event.details.to_string(),
            address = event.address(),
            request = event.request(),
            count = event.repeats.map_or(1, |repeats| repeats.count),
            "event"
        );
        self.revocations().note(change);
        self.write().apply_at(position, self.store.is_shared(), change.clone(), stored);
        self.changes.send_replace(());
        Ok(number)
    }

    /// Begins a change: no other gateway makes one meanwhile, and what others have changed is in memory.
    async fn begin(&self) -> Result<Box<dyn Transaction + '_>, StoreError> {
        self.check_reachable()?;
        loop {
            let seen = self.read().position;
            let (news, transaction) = self.store.begin(seen).await?;
            match news.records {
                Records::Some(records) => {
                    self.take(None, news.position, records);
                    return Ok(transaction);
                }
                other => {
                    drop(transaction);
                    self.reload(matches!(other, Records::Backwards)).await?;
                }
            }
        }
    }

    /// The record of the key that a change names, if it is not in memory.
    async fn stored(
        &self,
        transaction: &mut dyn Transaction,
        change: &Change,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let named = match change {
            Change::AddKey(key) => key.replaces.as_ref(),
            Change::RevokeKey(id, _) | Change::ExpireKey(id, _) => Some(id),
            _ => None,
        };
        match named.filter(|id| !self.read().keys.contains_key(*id)) {
            Some(id) => transaction.key(id).await,
            None => Ok(None),
        }
    }

    async fn flush(&self) -> Result<(), StoreError> {
        // That it does not answer is in the log; what was gathered stays for the next time.
        if self.check_reachable().is_err() {
            return Ok(());
        }
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(());
        }
        let list: Vec<(Use, i64)> = uses.into_iter().collect();
        let written = self.store.touch(&list).await;
        if written.is_ok() {
            self.write().touch(&list);
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

/// The name of this machine.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn ending() -> StoreError {
    StoreError::Read { place: "of the gateway".to_owned(), reason: "the gateway is shutting down".to_owned() }
}
