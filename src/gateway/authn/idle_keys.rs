//! Suspending API keys that were not used for too long: when one is used, and in the sweep.

use std::sync::Arc;

use super::authenticator::{Authenticator, REFUSED};
use super::caller::{Caller, Credential, credential_suspended};
use crate::gateway::directory::{DirectoryError, not_used_for};
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Actor, Change, Event, KeyRecord, Suspendable, Suspension, Use, User};

/// Keys that are suspended at a time: the others are refused all the same when they are used.
const MOST_AT_ONCE: usize = 100;

impl Authenticator {
    /// Notes that the caller's API key was used, unless it was not for longer than role and environment allow. Then it is suspended.
    ///
    /// # Errors
    /// 403, also if the database does not answer.
    pub(super) async fn note_key_use(&self, caller: &Caller, origin: Origin) -> Result<(), Rejection> {
        let Credential::Key(key) = caller.credential() else { return Ok(()) };
        let (now, environment) = (self.clock.now(), caller.environment().and_then(|rules| rules.max_key_idle));
        let longest = caller.role().max_key_idle.into_iter().chain(environment).min();
        if let Some(longest) = longest.filter(|longest| now.saturating_sub(key.last_use()) >= *longest) {
            Box::pin(self.refuse_idle(caller, key, longest, origin, now)).await?;
        }
        self.directory.used(Use::Key(key.id.clone()), now);
        Ok(())
    }

    /// Suspends a key, unless it turns out that it was used after all.
    async fn refuse_idle(
        &self,
        caller: &Caller,
        key: &KeyRecord,
        longest: i64,
        origin: Origin,
        now: i64,
    ) -> Result<(), Rejection> {
        let used = self.directory.last_use(key).await;
        if used.as_ref().is_ok_and(|used| now.saturating_sub(*used) < longest) {
            return Ok(());
        }
        let made = match used {
            Ok(used) => self.suspend_idle(key, caller.user(), (used, longest), Some(origin)).await,
            // It may have been used at another gateway, so it is not suspended for good.
            Err(error) => Err(error.into()),
        };
        match made {
            Ok(true) => {}
            // Used or resumed meanwhile.
            Ok(false) if self.still_accepts(caller) => return Ok(()),
            Ok(false) => return Err(self.refusal(caller)),
            Err(error) => {
                if self.log_throttle.allow("idle keys", now) {
                    tracing::warn!(%error, key = key.id.as_str(), "a key that was not used for too long could not be suspended");
                }
            }
        }
        let event = Event::new(now, caller.actor(), REFUSED, key.id.as_str()).refused(RefusalCode::Suspended);
        self.note_refusal(event.of_account(caller.user()), origin, "the API key was not used for too long");
        Err(credential_suspended("API key"))
    }

    /// Suspends keys that were not used for too long.
    pub async fn suspend_idle_keys(&self) {
        let now = self.clock.now();
        for idle in self.directory.idle_keys(now, MOST_AT_ONCE) {
            let suspended = match self.directory.last_use(&idle.key).await {
                Ok(used) if now.saturating_sub(used) < idle.longest => continue,
                Ok(used) => self.suspend_idle(&idle.key, &idle.user, (used, idle.longest), None).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = suspended {
                tracing::warn!(%error, "keys that were not used for too long could not be suspended");
                return;
            }
        }
    }

    /// Suspends a key that was used last at `used`, unless it was used since. Returns whether it is suspended.
    async fn suspend_idle(
        &self,
        key: &KeyRecord,
        user: &User,
        (used, longest): (i64, i64),
        origin: Option<Origin>,
    ) -> Result<bool, DirectoryError> {
        let now = self.clock.now();
        let reason = not_used_for(now.saturating_sub(used));
        let event = Event::new(now, Actor::Gateway, "key.suspended", key.id.as_str()).of_account(user);
        let event = event.with("name", &key.name).with("reason", &reason);
        let event = match origin {
            Some(origin) => event.from(origin),
            None => event,
        };
        let suspension = Arc::new(Suspension { since: now, reason: Some(reason) });
        let change = Change::SetSuspended(Suspendable::Key(key.id.clone()), Some(suspension));
        let id = key.id.clone();
        self.directory.commit_if(change, event, move |directory| directory.is_idle(&id, longest, now)).await
    }
}
