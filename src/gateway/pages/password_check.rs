//! Checks and makes password hashes: two at a time, on threads of their own, and as long for a name that nobody has.

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
const AT_A_TIME: usize = 2;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// See the module.
pub struct PasswordCheck {
    slots: Arc<Semaphore>,
    longest_wait: Duration,
    /// What an unknown name's password is checked against; nothing fits it.
    decoy: Arc<OnceLock<PasswordHash>>,
}

/// Why nothing can be said about a password.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Too many are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not one that can be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Default for PasswordCheck {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_A_TIME)), longest_wait: LONGEST_WAIT, decoy: Arc::default() }
    }
}

impl PasswordCheck {
    /// The account with that name and password. It may be disabled.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check(
        &self,
        directory: &Directory,
        name: &str,
        password: SecretString,
    ) -> Result<Option<Arc<User>>, CheckError> {
        let slot = self.slot().await?;
        let user = directory.user_by_name(name);
        // An unknown name is looked up too, so that it takes as long.
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
    /// [`CheckError`].
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, CheckError> {
        let slot = self.slot().await?;
        Ok(blocking(slot, move || PasswordHash::of(&password)).await?)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, CheckError> {
        let slot = tokio::time::timeout(self.longest_wait, self.slots.clone().acquire_owned()).await;
        slot.map_err(|_| CheckError::Busy)?.map_err(|_| CheckError::Busy)
    }
}

/// The slot is held until the work is done, even if nobody waits for it any more.
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
    async fn waits_for_a_slot_but_not_for_ever() {
        let check = PasswordCheck { longest_wait: Duration::from_millis(20), ..PasswordCheck::default() };
        let (_one, two) = (check.slot().await.unwrap(), check.slot().await.unwrap());
        assert!(matches!(check.hash("long enough".into()).await, Err(CheckError::Busy)));
        drop(two);
        assert!(check.hash("long enough".into()).await.is_ok());
    }
}
