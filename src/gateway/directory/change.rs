//! Making changes: one after the other, in the store before they count.

use std::sync::Arc;

use super::unstored::takes_away;
use super::{Directory, DirectoryError, Inner, ending};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Change, Event, KeyRecord, Records, StoreError, Transaction};

impl Directory {
    /// Makes a change: when this returns `Ok`, it is stored and in effect. It completes even if the caller does not wait. What is in
    /// effect already is not made again, and has no second event.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit(&self, change: Change, event: Event) -> Result<(), DirectoryError> {
        self.commit_if(change, event, |_| true).await.map(|_| ())
    }

    /// The same for a command, whose memory ends with it: what cannot be stored is not made.
    ///
    /// # Errors
    /// [`DirectoryError`]; then nothing has changed.
    pub async fn commit_stored(&self, change: Change, event: Event) -> Result<(), DirectoryError> {
        self.make(change, event, |_| true, false).await.map(|_| ())
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
        self.make(change, event, still, true).await
    }

    async fn make(
        &self,
        change: Change,
        event: Event,
        still: impl Fn(&Self) -> bool + Send + Sync + 'static,
        counts_unstored: bool,
    ) -> Result<bool, DirectoryError> {
        if let Some(account) = event.charged_to {
            self.0.budget.take(account).map_err(DirectoryError::TooMany)?;
        }
        let inner = self.0.clone();
        let (change, event) = inner.redacted(change, event);
        let made = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let made = inner.make(&change, &event, &still).await;
            match made {
                Err(DirectoryError::Store(error))
                    if counts_unstored && error.is_of_database() && takes_away(&change) =>
                {
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
        let event = inner.redacted_event(event);
        let recorded = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let transaction = inner.begin().await?;
            inner.finish(transaction, &Change::Note, &event, None).await
        });
        recorded.await.map_err(|_| ending())?
    }

    /// Takes the events of a version before this one into the log's tree.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn import_events(&self, now: i64) -> Result<(), StoreError> {
        while self.0.store.import_events(now, self.0.replica()).await? {}
        Ok(())
    }

    /// Begins another event log with that event. Returns its origin.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_log(&self, event: Event) -> Result<String, StoreError> {
        let inner = self.0.clone();
        let event = inner.redacted_event(event);
        let begun = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            inner.store.begin_log(&event, inner.replica()).await
        });
        begun.await.map_err(|_| ending())?
    }

    /// Gives this gateway a name in events other than that of the machine. Once.
    pub fn set_replica(&self, name: &str) {
        let _ = self.0.replica.set(name.to_owned());
    }
}

impl Inner {
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
    pub(super) async fn finish(
        &self,
        mut transaction: Box<dyn Transaction + '_>,
        change: &Change,
        event: &Event,
        stored: Option<KeyRecord>,
    ) -> Result<i64, StoreError> {
        let number = transaction.make(change, event, self.replica()).await?;
        if let Some(also) = &event.also {
            transaction.make(&Change::Note, also, self.replica()).await?;
        }
        let position = transaction.commit().await?;
        log(event);
        if let Some(also) = &event.also {
            log(also);
        }
        let mut revocations = self.revocations();
        revocations.note(change);
        let mut memory = self.write();
        memory.apply_at(position, self.store.is_shared(), change.clone(), stored);
        // Something may have been taken away while this was being stored.
        revocations.apply_unstored_to(&mut memory);
        drop((memory, revocations));
        self.changes.send_replace(());
        Ok(number)
    }

    /// What this gateway is called in events.
    pub(super) fn replica(&self) -> &str {
        self.replica.get_or_init(machine)
    }

    /// Begins a change: no other gateway makes one meanwhile, and what others have changed is in memory.
    pub(super) async fn begin(&self) -> Result<Box<dyn Transaction + '_>, StoreError> {
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
}

/// Writes an event to the log of the process, too.
fn log(event: &Event) {
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
}

/// The name of this machine: what events name as the gateway that has no other.
pub fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
