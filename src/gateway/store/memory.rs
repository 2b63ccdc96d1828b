//! A store in memory, for tests. A test can make it fail.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::SecretString;
use uuid::Uuid;

pub use super::memory_usage::MemoryUsage;
use super::{
    Answer, BudgetNews, BudgetTotal, Change, Event, EventFilter, EventPage, KeyQuery, KeyRecord, LastUse, LinePage,
    News, Position, RecordPage, RecordQuery, RecordedEvent, Retention, Snapshot, Store, StoreError, Suspendable, Swept,
    Transaction, UsageBatch, UsageQuery, UsageRow, Use,
};
use crate::keyspec::KeyId;

/// Keeps passwords, events and keys; the rest is in the directory already.
#[derive(Default)]
pub struct MemoryStore {
    /// What it has when it is opened.
    pub first: Mutex<Snapshot>,
    /// Besides those of `first`, and as they are now.
    keys: Mutex<HashMap<KeyId, KeyRecord>>,
    passwords: Mutex<HashMap<Uuid, String>>,
    events: Mutex<Vec<RecordedEvent>>,
    /// What was written of usage.
    pub usage: Mutex<MemoryUsage>,
    /// Nothing can be written while this is set.
    pub full: AtomicBool,
    /// No change can be begun while this is set.
    pub down: AtomicBool,
    /// Nothing can be read while this is set.
    pub unreadable: AtomicBool,
    /// Blocks all writes while a test holds it for writing, to simulate a slow disk.
    pub held: tokio::sync::RwLock<()>,
}

struct MemoryTransaction<'a> {
    store: &'a MemoryStore,
    _waits: tokio::sync::RwLockReadGuard<'a, ()>,
}

impl Transaction for MemoryTransaction<'_> {
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        self.store.key(id)
    }

    fn make<'a>(&'a mut self, change: &'a Change, event: &'a Event, replica: &'a str) -> Answer<'a, i64> {
        let made = self.store.apply(change, event, replica);
        Box::pin(async { made })
    }

    fn commit<'a>(self: Box<Self>) -> Answer<'a, Position>
    where
        Self: 'a,
    {
        Box::pin(async { Ok(Position::default()) })
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Answer<'_, Snapshot> {
        let mut first = self.first.lock().unwrap().clone();
        self.keys.lock().unwrap().extend(first.keys.iter().map(|key| (key.id.clone(), key.clone())));
        first.keys.retain(|key| key.revoked_at.is_none());
        Box::pin(async { Ok(first) })
    }

    fn begin(&self, _: Position) -> Answer<'_, (News, Box<dyn Transaction + '_>)> {
        Box::pin(async move {
            // As a real one would, it takes its time.
            tokio::task::yield_now().await;
            let waits = self.held.read().await;
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::Unreachable { place: "in memory".to_owned(), reason: "no answer".to_owned() });
            }
            Ok((
                News::default(),
                Box::new(MemoryTransaction { store: self, _waits: waits }) as Box<dyn Transaction + '_>,
            ))
        })
    }

    fn key<'a>(&'a self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        Box::pin(async { Ok(self.keys.lock().unwrap().get(id).cloned()) })
    }

    fn keys<'a>(&'a self, wanted: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>> {
        let place = |at: i64, id: &KeyId| (std::cmp::Reverse(at), id.clone());
        let after = wanted.after.as_ref().map(|(at, id)| place(*at, id));
        let fits = |key: &&KeyRecord| {
            let is_behind = after.as_ref().is_none_or(|after| place(key.created_at, &key.id) > *after);
            key.user == wanted.user && is_behind && (wanted.revoked || key.revoked_at.is_none())
        };
        let mut keys: Vec<_> = self.keys.lock().unwrap().values().filter(fits).cloned().collect();
        keys.sort_by_key(|key| place(key.created_at, &key.id));
        keys.truncate(wanted.limit);
        Box::pin(async { Ok(keys) })
    }

    fn sweep<'a>(&'a self, _: i64, _: i64, _: Retention, _: &'a str) -> Answer<'a, Swept> {
        Box::pin(async { Ok(Swept::default()) })
    }

    fn touch<'a>(&'a self, _: &'a [(Use, i64)]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn password(&self, user: Uuid) -> Answer<'_, Option<SecretString>> {
        let kept = self.passwords.lock().unwrap().get(&user).cloned().map(SecretString::from);
        let unreadable = StoreError::Read { place: "in memory".to_owned(), reason: "unreadable".to_owned() };
        let read = if self.unreadable.load(Ordering::SeqCst) { Err(unreadable) } else { Ok(kept) };
        Box::pin(async { read })
    }

    fn write_usage<'a>(&'a self, batch: &'a UsageBatch) -> Answer<'a, Vec<BudgetTotal>> {
        Box::pin(async move {
            let _waits = self.held.read().await;
            let place = || "in memory".to_owned();
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::Unreachable { place: place(), reason: "no answer".to_owned() });
            }
            if self.full.load(Ordering::SeqCst) {
                return Err(StoreError::Write { place: place(), reason: "no space left".to_owned() });
            }
            Ok(self.usage.lock().unwrap().write(batch))
        })
    }

    fn budget_totals(&self, after: i64, now: i64) -> Answer<'_, BudgetNews> {
        let news = self.usage.lock().unwrap().budget_totals(after, now);
        Box::pin(async { Ok(news) })
    }

    fn usage_totals<'a>(&'a self, wanted: &'a UsageQuery) -> Answer<'a, Vec<UsageRow>> {
        let totals = self.usage.lock().unwrap().totals(wanted);
        Box::pin(async { Ok(totals) })
    }

    fn usage_records<'a>(&'a self, wanted: &'a RecordQuery) -> Answer<'a, RecordPage> {
        let page = self.usage.lock().unwrap().page(wanted);
        Box::pin(async { Ok(page) })
    }

    fn last_uses(&self, account: Option<Uuid>) -> Answer<'_, Vec<LastUse>> {
        let uses = self.usage.lock().unwrap().last_uses(account);
        Box::pin(async { Ok(uses) })
    }

    fn events<'a>(&'a self, limit: u32, _: &'a EventFilter) -> Answer<'a, EventPage> {
        let events = self.events.lock().unwrap().iter().rev().take(limit as usize).cloned().collect();
        Box::pin(async { Ok(EventPage { events, next: None }) })
    }

    fn event_lines<'a>(&'a self, _: u32, _: &'a EventFilter) -> Answer<'a, LinePage> {
        Box::pin(async { Ok(LinePage::default()) })
    }
}

impl MemoryStore {
    /// Makes the change and records the event.
    fn apply(&self, change: &Change, event: &Event, replica: &str) -> Result<i64, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Write { place: "in memory".to_owned(), reason: "no space left".to_owned() });
        }
        if let Change::AddKey(key) = change
            && self.keys.lock().unwrap().contains_key(&key.id)
        {
            return Err(StoreError::Taken(format!("the id {}", key.id)));
        }
        if let Change::AddUser(user, Some(hash)) | Change::UseInvitation(_, user, hash) = change {
            self.passwords.lock().unwrap().insert(user.id, hash.expose().to_owned());
        }
        if let Change::SetPassword(user, hash) = change {
            self.passwords.lock().unwrap().insert(*user, hash.expose().to_owned());
        }
        if let Change::RemoveUser(user) = change {
            self.passwords.lock().unwrap().remove(user);
        }
        self.change_key(change);
        let mut events = self.events.lock().unwrap();
        let id = i64::try_from(events.len()).unwrap() + 1;
        let line = super::event::write(event, replica).unwrap();
        events.push(super::event::read(id, &line).unwrap());
        Ok(id)
    }

    fn change_key(&self, change: &Change) {
        let mut keys = self.keys.lock().unwrap();
        match change {
            Change::AddKey(key) => {
                keys.insert(key.id.clone(), (**key).clone());
            }
            Change::RevokeKey(id, at) => {
                keys.get_mut(id).unwrap().revoked_at.get_or_insert(*at);
            }
            Change::ExpireKey(id, at) => keys.get_mut(id).unwrap().end_by(*at),
            Change::SetSuspended(Suspendable::Key(id), suspension) => {
                keys.get_mut(id).unwrap().suspended.clone_from(suspension);
            }
            _ => {}
        }
    }
}
