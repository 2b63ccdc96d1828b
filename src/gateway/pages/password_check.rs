//! Verifies and makes password hashes: two at a time, on threads of their own, and taking as long for an unknown name.
//! Asks for the password again before something that outlives the session: a new key, an approved device.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use maud::Markup;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::gateway::authn::random_token;
use crate::gateway::directory::Directory;
use crate::gateway::pages::error_page::ErrorPage;
use crate::gateway::pages::form::{Field, FieldError, Form};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::sign_in::record_failed_sign_in;
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

/// The slot is held until the work is done, even if the request has gone.
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

/// The name of the field.
const PASSWORD: &str = "password";

/// What outlives the session, and so needs the password.
#[derive(Clone, Copy)]
pub enum ReauthReason {
    /// A new key.
    Key,
    /// An approved device.
    Device,
}

impl ReauthReason {
    fn hint(self) -> &'static str {
        match self {
            Self::Key => {
                "You signed in more than 15 minutes ago. Enter your password again, because a key stays valid after you sign out."
            }
            Self::Device => {
                "You signed in more than 15 minutes ago. Enter your password again, because a device stays signed in after you sign out."
            }
        }
    }

    /// The detail of the event for a wrong password.
    fn event_detail(self) -> &'static str {
        match self {
            Self::Key => "wrong password for a new key",
            Self::Device => "wrong password for a device",
        }
    }
}

/// The password field. With `is_wrong` it is marked as the reason why the form is shown again.
pub fn field(reason: ReauthReason, is_wrong: bool) -> Markup {
    let field = Field {
        name: PASSWORD,
        label: "Your password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        hint: reason.hint(),
        longest: 1024,
        optional: false,
        autofocus: is_wrong,
    };
    field.render(is_wrong)
}

/// Succeeds if the person signed in within the last 15 minutes, or typed the right password into this form. Throttled as a sign-in.
///
/// # Errors
/// The inner error is shown with the form; the outer one is a page, for a failure of the gateway.
pub async fn confirm(
    context: &PageContext,
    session: &BrowserSession,
    form: &mut Form,
    reason: ReauthReason,
) -> Result<Result<(), FieldError>, ErrorPage> {
    if session.fresh {
        return Ok(Ok(()));
    }
    let wrong = |status, message: &str| Ok(Err(FieldError::new(PASSWORD, status, message)));
    if form.get(PASSWORD).is_empty() {
        return wrong(StatusCode::FORBIDDEN, "Enter your password: you signed in more than 15 minutes ago.");
    }
    let (pages, name) = (&context.pages, &session.user().name);
    if let Err(wait) = pages.throttle.count_attempt(name, context.address) {
        record_failed_sign_in(context, name, "user.sign_in_throttled", "too many attempts");
        let message = format!("Too many attempts. Wait {} seconds, then try again.", wait.as_secs() + 1);
        return wrong(StatusCode::TOO_MANY_REQUESTS, &message);
    }
    match pages.passwords.verify(&context.pages.directory, name, form.secret(PASSWORD)).await {
        Ok(Some(user)) if user.id == session.user().id => {
            pages.sessions.confirm(&session.cookie, context.now);
            Ok(Ok(()))
        }
        Ok(_) => {
            record_failed_sign_in(context, name, "user.sign_in_failed", reason.event_detail());
            wrong(StatusCode::FORBIDDEN, "Wrong password.")
        }
        Err(PasswordCheckError::Busy) => {
            wrong(StatusCode::SERVICE_UNAVAILABLE, "Too many people are signing in. Try again in a moment.")
        }
        Err(error) => Err(context.internal_error(&error.to_string())),
    }
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
