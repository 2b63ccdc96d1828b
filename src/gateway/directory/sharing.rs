//! What gateways on one database tell each other although no account has changed, and what all of them count together.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Directory, Inner, ending};
use crate::gateway::store::{AttemptLimit, EarlierUse, Record, Shared, StoreError};

impl Directory {
    /// Has `listener` told of the devices that ask for approval, and of the browser sessions, at other gateways, now and later.
    pub fn listen(&self, listener: impl Fn(&Record) + Send + Sync + 'static) {
        let first = std::mem::take(&mut *self.0.first.lock().unwrap_or_else(PoisonError::into_inner));
        first.iter().for_each(&listener);
        let _ = self.0.listener.set(Box::new(listener));
    }

    /// Whether other gateways may use the store.
    pub fn is_shared(&self) -> bool {
        self.0.store.is_shared()
    }

    /// Reads what other gateways have changed: something may be there that this one has not heard of yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let inner = self.0.clone();
        self.0.runtime.spawn(async move { inner.catch_up().await }).await.map_err(|_| ending())?
    }

    /// Whether the gateways that share the store have the secret with that fingerprint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_secret(&self, fingerprint: [u8; 32]) -> Result<bool, StoreError> {
        let store = self.0.store.clone();
        let asked = self.0.runtime.spawn(async move { store.has_secret(&fingerprint).await });
        asked.await.map_err(|_| ending())?
    }

    /// Tells the other gateways that this one runs, and counts those that do.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_gateways(&self) -> Result<NonZeroU32, StoreError> {
        let inner = self.0.clone();
        self.0.runtime.spawn(async move { inner.store.count_gateways(inner.id).await }).await.map_err(|_| ending())?
    }

    /// Tells the other gateways that this one stops.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave(&self) -> Result<(), StoreError> {
        let inner = self.0.clone();
        inner.check_reachable()?;
        self.0.runtime.spawn(async move { inner.store.leave(inner.id).await }).await.map_err(|_| ending())?
    }

    /// Tells the other gateways, unless `still` returns false when that is due. Returns whether they are told. That a session has ended they
    /// are told later, if that is not possible now, even if the caller does not wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn share(
        &self,
        what: Shared,
        still: impl FnOnce(&Self) -> bool + Send + 'static,
    ) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(true);
        }
        let inner = self.0.clone();
        let shared = self.0.runtime.spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let shared = inner.share(&what, || still(&Self(inner.clone()))).await;
            if let (Err(_), Shared::EndedSession(digest)) = (&shared, &what) {
                inner.revocations().note_ended_session(*digest);
            }
            shared
        });
        shared.await.map_err(|_| ending())?
    }

    /// Notes that a signature was used that is good once for all gateways together; see [`Store::use_signature`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn use_signature(
        &self,
        digest: [u8; 32],
        address: IpAddr,
        kept: Duration,
    ) -> Result<Option<EarlierUse>, StoreError> {
        if !self.0.store.is_shared() {
            return Ok(None);
        }
        let store = self.0.store.clone();
        let used = self.0.runtime.spawn(async move { store.use_signature(&digest, address, kept).await });
        used.await.map_err(|_| ending())?
    }

    /// Counts an attempt to sign in at all gateways together. Returns how long to wait, if it exceeds one of the limits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_attempt(&self, limits: Vec<AttemptLimit>) -> Result<Option<Duration>, StoreError> {
        let store = self.0.store.clone();
        let counted = self.0.runtime.spawn(async move { store.count_attempt(&limits).await });
        counted.await.map_err(|_| ending())?
    }

    /// Lifts the limits that name this digest, at all gateways.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trust(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        let store = self.0.store.clone();
        self.0.runtime.spawn(async move { store.trust(&digest).await }).await.map_err(|_| ending())?
    }
}

impl Inner {
    /// See [`Directory::share`]. No change may be made at the same time.
    pub(super) async fn share(&self, what: &Shared, still: impl FnOnce() -> bool) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        if !still() {
            return Ok(false);
        }
        transaction.share(what).await?;
        let position = transaction.commit().await?;
        let mut memory = self.write();
        if memory.position.number < position.number {
            memory.position = position;
        }
        Ok(true)
    }
}
