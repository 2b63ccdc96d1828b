//! When credentials were used last, and which have expired: gathered in memory, and written now and then.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Directory, Inner, ending};
use crate::gateway::store::{Retention, StoreError, Swept, Use};

/// Batches of events that are deleted at a time, and the pause between two.
const MOST_BATCHES: usize = 100;
const BETWEEN_BATCHES: Duration = Duration::from_millis(20);

impl Directory {
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
    /// seconds that the gateway has run since the last time. Much is deleted in batches, between which changes are made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, now: i64, ran: i64, retention: Retention) -> Result<(), StoreError> {
        let mut swept = self.sweep_once(now, ran, retention).await?;
        for _ in 1..MOST_BATCHES {
            if !swept.has_more_events && !swept.has_more_usage {
                break;
            }
            tokio::time::sleep(BETWEEN_BATCHES).await;
            let retention = Retention { goes_on: swept.has_more_events, ..retention };
            swept = self.sweep_once(now, 0, retention).await?;
        }
        Ok(())
    }

    async fn sweep_once(&self, now: i64, ran: i64, retention: Retention) -> Result<Swept, StoreError> {
        let inner = self.0.clone();
        let swept = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let swept = inner.store.sweep(now, ran, retention, inner.replica()).await?;
            if !swept.deleted.is_empty() || swept.events > 0 || swept.usage > 0 {
                let (keys, events, usage) = (swept.deleted.len(), swept.events, swept.usage);
                tracing::info!(keys, events, usage, "records deleted after their retention time");
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
            for id in &swept.invitations {
                memory.invitations.remove(id);
            }
            for hash in &swept.deleted {
                memory.ended.remove(hash);
            }
            drop(memory);
            Ok(swept)
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
}

impl Inner {
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
