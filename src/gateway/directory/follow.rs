//! Following other gateways that share the database: what they have changed comes into memory, by a notification within milliseconds, or
//! by asking once a second.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::{Directory, Inner};
use crate::gateway::store::{Position, Record, Records, Snapshot, StoreError};

/// Between two looks, if no notification comes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// After a look that failed.
const PAUSE: Duration = Duration::from_millis(200);
/// A database that has not answered for so long is not asked by requests: each would wait, and those behind it.
const LOST: Duration = Duration::from_secs(10);

impl Directory {
    /// Follows the other gateways for ever. Where there are none, it only stores what could not be stored before.
    pub async fn follow(&self) {
        let mut was_lost = false;
        // Kept while it waits: a listener that is dropped has to connect again.
        let mut changed = self.0.store.changed();
        loop {
            tokio::select! {
                () = &mut changed => changed = self.0.store.changed(),
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            match self.0.catch_up().await {
                Ok(()) if was_lost => {
                    tracing::info!("the database answers again");
                    was_lost = false;
                }
                Ok(()) => {}
                Err(error) => {
                    if !was_lost {
                        tracing::error!(%error, "the database does not answer; deciding from memory");
                        was_lost = true;
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            self.store_unstored().await;
        }
    }

    /// The time since this gateway last read the changes of the others. Zero without other gateways.
    pub fn staleness(&self) -> Duration {
        self.0.staleness()
    }
}

impl Inner {
    fn staleness(&self) -> Duration {
        if !self.store.is_shared() {
            return Duration::ZERO;
        }
        self.current.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Fails at once while the database is known not to answer.
    pub(super) fn check_reachable(&self) -> Result<(), StoreError> {
        match self.staleness() < LOST {
            true => Ok(()),
            false => Err(StoreError::Unreachable {
                place: "of the gateways".to_owned(),
                reason: "it has not answered for some time".to_owned(),
            }),
        }
    }

    fn tell(&self, record: &Record) {
        if let Some(listener) = self.listener.get() {
            listener(record);
        }
    }

    /// Brings what others have changed into memory.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let (began, seen) = (Instant::now(), self.read().position);
        let news = self.store.news(seen).await?;
        match news.records {
            Records::Some(records) => {
                // Otherwise a change was made meanwhile, which has brought all of them.
                self.take(Some(seen), news.position, records);
            }
            other => {
                // Not while a change is made: what was loaded before would replace it.
                let _one_at_a_time = self.writing.lock().await;
                self.reload(matches!(other, Records::Backwards)).await?;
            }
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = began.max(*current);
        Ok(())
    }

    /// Takes what others have changed up to that position, if memory is at `seen` still.
    pub(super) fn take(&self, seen: Option<Position>, position: Position, records: Vec<Record>) {
        let mut revocations = self.revocations();
        let mut memory = self.write();
        if seen.is_some_and(|seen| seen != memory.position) || (records.is_empty() && memory.position == position) {
            return;
        }
        for record in records {
            revocations.note_record(&record);
            self.tell(&record);
            memory.take(record);
        }
        memory.position = position;
        revocations.apply_unstored_to(&mut memory);
        drop(memory);
        self.changes.send_replace(());
    }

    /// Loads everything again, while no change is made. If the database went back, what it has lost of what was taken away is taken away again.
    pub(super) async fn reload(&self, went_back: bool) -> Result<(), StoreError> {
        let mut snapshot = self.store.load().await?;
        let shared = std::mem::take(&mut snapshot.shared);
        std::iter::once(&Record::Reloaded).chain(&shared).for_each(|record| self.tell(record));
        let mut revocations = self.revocations();
        let mut fresh = Memory::new(snapshot);
        if went_back {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
            let lost = revocations.lost(&fresh, i64::try_from(now).unwrap_or(i64::MAX));
            tracing::error!(
                revocations = lost,
                "the database is older than what this gateway knows, as after a standby was promoted; everything was loaded again"
            );
        }
        revocations.apply_unstored_to(&mut fresh);
        let mut memory = self.write();
        fresh.tables = memory.tables.clone();
        *memory = fresh;
        drop(memory);
        self.changes.send_replace(());
        Ok(())
    }
}

impl Memory {
    /// What the store has.
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let Snapshot { users, devices, keys, ended, invitations, identities, maintenance, position, .. } = snapshot;
        let mut memory = Self { position, maintenance: maintenance.map(Arc::new), ..Self::default() };
        users.into_iter().map(Record::User).for_each(|record| memory.take(record));
        devices.into_iter().map(Record::Device).for_each(|record| memory.take(record));
        keys.into_iter().for_each(|key| memory.put_key(key));
        ended.into_iter().for_each(|key| memory.put_ended(key));
        invitations.into_iter().for_each(|invitation| memory.put_invitation(invitation));
        identities.into_iter().for_each(|identity| memory.put_identity(identity));
        memory
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::User(user) => {
                self.users.insert(user.id, user.into());
            }
            Record::RemovedUser(id) => self.remove_user(id),
            Record::Device(mut device) => {
                let known = self.devices.get(&device.key).and_then(|known| known.last_used_at);
                device.last_used_at = device.last_used_at.max(known);
                self.devices.insert(device.key.clone(), device.into());
            }
            Record::RemovedDevice(key) => {
                self.devices.remove(&key);
            }
            Record::Key(mut key) => {
                if let Some(known) = self.keys.get(&key.id) {
                    key.last_used_at = key.last_used_at.max(known.last_used_at);
                }
                self.ended.remove(&key.hash);
                self.put_key(*key);
            }
            Record::EndedKey(key) => {
                self.end_key(&key.id);
                self.put_ended(key);
            }
            Record::ForgottenKey(hash) => {
                self.ended.remove(&hash);
            }
            Record::Invitation(invitation) => self.put_invitation(invitation),
            Record::RemovedInvitation(id) => {
                self.invitations.remove(&id);
            }
            Record::Identity(identity) => self.put_identity(identity),
            Record::Maintenance(maintenance) => self.maintenance = maintenance.map(Arc::new),
            // Pending devices and sessions are kept elsewhere: neither is a credential of the API.
            Record::PendingDevice(_)
            | Record::Session(_)
            | Record::EndedSession(_)
            | Record::EndedSessions(_)
            | Record::EndedAtProvider(_)
            | Record::Reloaded => {}
        }
    }
}
