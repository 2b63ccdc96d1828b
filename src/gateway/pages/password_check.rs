//! Verifies and makes password hashes: two at a time, on threads of their own, and taking as long for an unknown name.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::gateway::authn::random_token;
use crate::gateway::directory::Directory;
use crate::gateway::password::{PasswordError, PasswordHash};
use crate::gateway::store::{StoreError, User};

/// Each takes 19 MiB and a processor.
const SLOTS: usize = 2;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Slots for hashing, and the decoy.
pub struct PasswordCheck {
    slots: Arc<Semaphore>,
    longest_wait: Duration,
    /// What the password for an unknown name is checked against; no password fits it.
    decoy: Arc<OnceLock<PasswordHash>>,
}

/// Why a password could not be checked.
#[derive(Debug, Error)]
pub enum PasswordCheckError {
    /// All slots are in use.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Default for PasswordCheck {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(SLOTS)), longest_wait: LONGEST_WAIT, decoy: Arc::default() }
    }
}

impl PasswordCheck {
    /// The account with that name and password. It may be disabled.
    ///
    /// # Errors
    /// [`PasswordCheckError`].
    pub async fn verify(
        &self,
        directory: &Directory,
        name: &str,
        password: SecretString,
    ) -> Result<Option<Arc<User>>, PasswordCheckError> {
        let slot = self.slot().await?;
        let user = directory.user_by_name(name);
        // An unknown name is looked up in the store too, so that it takes as long.
        let kept = directory.password(user.as_ref().map_or(Uuid::nil(), |user| user.id)).await?;
        let decoy = self.decoy.clone();
        let fits = blocking(slot, move || {
            let decoy = match decoy.get() {
                Some(decoy) => decoy,
                None => {
                    let chance = random_token().map_err(|error| PasswordError::Hash(error.to_string()))?;
                    let made = PasswordHash::of(&SecretString::from(chance))?;
                    decoy.get_or_init(|| made)
                }
            };
            let fits = kept.as_ref().unwrap_or(decoy).fits(&password);
            Ok(fits && kept.is_some())
        })
        .await?;
        Ok(user.filter(|_| fits))
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// [`PasswordCheckError`].
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, PasswordCheckError> {
        let slot = self.slot().await?;
        Ok(blocking(slot, move || PasswordHash::of(&password)).await?)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, PasswordCheckError> {
        let slot = tokio::time::timeout(self.longest_wait, self.slots.clone().acquire_owned()).await;
        slot.map_err(|_| PasswordCheckError::Busy)?.map_err(|_| PasswordCheckError::Busy)
    }
}

/// The slot is held until the work is done, even if the request was cancelled.
async fn blocking<T: Send + 'static>(
    slot: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    let done = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    done.await.unwrap_or_else(|_| Err(PasswordError::Hash("the gateway is shutting down".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_for_a_slot_has_a_deadline() {
        let check = PasswordCheck { longest_wait: Duration::from_millis(20), ..PasswordCheck::default() };
        let (_one, two) = (check.slot().await.unwrap(), check.slot().await.unwrap());
        assert!(matches!(check.hash("long enough".into()).await, Err(PasswordCheckError::Busy)));
        drop(two);
        assert!(check.hash("long enough".into()).await.is_ok());
    }
}
