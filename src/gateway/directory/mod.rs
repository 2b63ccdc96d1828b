//! The accounts, devices and keys that decide about requests: read from memory, written through to the store.
//!
//! A change is in the store before it counts, and counts before it is answered. Changes are made one after the other, by a task
//! that no caller's leaving can stop half-way. Where several gateways share a database, `follow` brings what the others change.
//!
//! What takes rights away counts even if it cannot be stored: see `unstored`.

mod budget;
mod change;
#[cfg(test)]
pub mod conformance;
mod extent;
mod follow;
mod identities;
mod idle;
mod invitations;
mod losses;
mod memory;
mod redaction;
mod service_accounts;
mod sharing;
#[cfg(test)]
mod tests;
mod unstored;
mod usage;
mod uses;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::gateway::environments::Environments;
use crate::gateway::groups::Groups;
use crate::gateway::password::PasswordHash;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::policy_tables::PolicyTables;
use crate::gateway::roles::{RoleRules, Roles};
use crate::gateway::store::{
    Device, EventFilter, EventPage, KeyQuery, KeyRecord, LinePage, Maintenance, Record, RecordedEvent, Role, Store,
    StoreError, Use, User,
};
use crate::identity::PublicKey;
use crate::keyspec::{KeyHash, KeyId};
use budget::ChangeBudget;
pub use change::machine;
pub use idle::not_used_for;
pub use losses::Loss;
use memory::Memory;
pub use memory::{DirectoryError, Ended, Place};
use unstored::Revocations;
pub use unstored::Withdrawn;

/// Searches in the event log at a time. A store has few connections.
const EVENT_SEARCHES: usize = 2;
/// The same of usage. They do not wait for each other.
const USAGE_QUERIES: usize = 2;

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
    /// Of searches in the event log: more at a time would keep everything else from the database.
    event_searches: Semaphore,
    /// Of questions about usage.
    usage_queries: Arc<Semaphore>,
    /// Of this start, among the gateways that share the store.
    id: Uuid,
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
            event_searches: Semaphore::new(EVENT_SEARCHES),
            usage_queries: Arc::new(Semaphore::new(USAGE_QUERIES)),
            id: Uuid::new_v4(),
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

    /// Whether there is no account of a person yet.
    pub fn is_empty(&self) -> bool {
        self.read().users.values().all(|user| user.is_service_account())
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

    /// The API key with that id, if it has not ended. It may have expired since it was looked at last.
    pub fn unended_key(&self, id: &KeyId) -> Option<Known<KeyRecord>> {
        let memory = self.read();
        let credential = memory.keys.get(id)?.clone();
        let user = memory.users.get(&credential.user)?.clone();
        Some(Known { credential, user })
    }

    /// Whether that key is accepted at `now` in its environment, and no older than that and its owner's role allow, or has expired, was neither revoked nor suspended, and
    /// a later key of its chain of replacements is accepted.
    pub fn may_continue(&self, key: &KeyRecord, place: Option<(Option<PolicyName>, IpAddr)>, now: i64) -> bool {
        let memory = self.read();
        let Some(user) = memory.users.get(&key.user) else { return false };
        let PolicyTables { roles, environments, .. } = &memory.tables;
        let rules = roles.of(&user.role);
        let label = key.environment.as_deref();
        let admitted = place.map_or(Ok(None), |(entry, address)| environments.admit(entry, label, &rules, address));
        let Ok(environment) = admitted else { return false };
        let is_young = |key: &KeyRecord| environment.is_none_or(|environment| environment.allows_age(key, now));
        let is_accepted = |key: &KeyRecord| key.is_accepted(now) && rules.allows_age(key, now) && is_young(key);
        let is_revoked = match memory.keys.get(&key.id) {
            Some(known) if is_accepted(known) => return true,
            Some(known) => known.revoked_at.is_some() || known.suspended.is_some(),
            None => memory.ended.get(&key.hash).is_none_or(|ended| ended.is_revoked),
        };
        let first = Some(key.first.as_ref().unwrap_or(&key.id));
        let is_later = |other: &KeyRecord| other.first.as_ref() == first && other.created_at >= key.created_at;
        !is_revoked && memory.keys_of(key.user).any(|other| is_later(other) && is_accepted(other))
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

    /// How many of them are accepted at `now`, and how many model patterns and networks those have together. Looks at each.
    pub fn count_live_keys(&self, user: Uuid, now: i64) -> (usize, usize) {
        let memory = self.read();
        let live = memory.keys_of(user).filter(|key| key.is_live(now));
        live.fold((0, 0), |(keys, patterns), key| (keys + 1, patterns + key.rights.entries()))
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

    /// The latest events that are wanted, the newest first, however many are to be looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, limit: u32, mut filter: EventFilter) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut events = Vec::new();
        loop {
            let missing = limit.saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
            let page = self.event_page(missing, filter.clone()).await?;
            events.extend(page.events);
            filter.before = page.next;
            if page.next.is_none() || events.len() >= limit as usize {
                return Ok(events);
            }
        }
    }

    /// A page of the events that are wanted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_page(&self, limit: u32, filter: EventFilter) -> Result<EventPage, StoreError> {
        let inner = self.0.clone();
        let asked = self.0.runtime.spawn(async move {
            let _few_at_a_time = inner.event_searches.acquire().await;
            inner.store.events(limit, &filter).await
        });
        asked.await.map_err(|_| ending())?
    }

    /// The stored lines of the first events that are wanted, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_lines(&self, limit: u32, filter: EventFilter) -> Result<LinePage, StoreError> {
        let inner = self.0.clone();
        let asked = self.0.runtime.spawn(async move {
            let _few_at_a_time = inner.event_searches.acquire().await;
            inner.store.event_lines(limit, &filter).await
        });
        asked.await.map_err(|_| ending())?
    }

    /// What the people with a role may do.
    pub fn role(&self, role: &Role) -> Arc<RoleRules> {
        self.read().tables.roles.of(role)
    }

    /// All roles that are defined.
    pub fn roles(&self) -> Roles {
        self.read().tables.roles.clone()
    }

    /// All groups that are defined.
    pub fn groups(&self) -> Groups {
        self.read().tables.groups.clone()
    }

    /// All environments that are defined.
    pub fn environments(&self) -> Environments {
        self.read().tables.environments.clone()
    }

    /// Everything that the configuration defines.
    pub fn policy_tables(&self) -> PolicyTables {
        self.read().tables.clone()
    }

    /// Puts what the configuration defines into effect.
    pub fn set_policy_tables(&self, tables: PolicyTables) {
        self.0.write().tables = tables;
        self.0.changes.send_replace(());
    }

    /// The maintenance message that counts at `now`.
    pub fn maintenance(&self, now: i64) -> Option<Arc<Maintenance>> {
        self.read().maintenance.clone().filter(|maintenance| maintenance.is_in_effect(now))
    }

    /// The maintenance message whose time was over by `now`, and that is still stored.
    pub fn maintenance_to_end(&self, now: i64) -> Option<Arc<Maintenance>> {
        self.read().maintenance.clone().filter(|maintenance| !maintenance.is_in_effect(now))
    }

    /// Tells of changes, after they are in effect.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Whether the store can be read: asks for the password of an account that does not exist.
    pub async fn is_readable(&self) -> bool {
        self.password(Uuid::nil()).await.is_ok()
    }

    /// The runtime on which changes are made.
    pub fn runtime(&self) -> Handle {
        self.0.runtime.clone()
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
}

fn ending() -> StoreError {
    StoreError::Read { place: "of the gateway".to_owned(), reason: "the gateway is shutting down".to_owned() }
}
