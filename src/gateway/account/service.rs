//! Changes that an account makes of itself: who may make them, how often, and their events.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use uuid::Uuid;

use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::{Caller, Credential, credential_suspended};
use crate::gateway::clock::Clock;
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::limits::{Budgets, Limiter};
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Change, Event, KeyRecord, StoreError};
use crate::gateway::target::Target;
use crate::keyspec::{KeyId, LimitUse, Scope};

/// So many changes may a key without the scope `keys` make of itself at once: more than a rotation needs that is cut short every minute
/// for half a day; and a twentieth of what an account may have.
const SELF_CHANGES: NonZeroU32 = NonZeroU32::new(1000).unwrap();
/// From then on one in this time: in a year a third of what an account may have on record.
const SELF_CHANGE_PERIOD: Duration = Duration::from_secs(900);

/// So many questions about usage may an account ask at once: some of them read much of the database.
const USAGE_QUESTIONS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// From then on one in this time.
const USAGE_QUESTION_PERIOD: Duration = Duration::from_secs(3);

/// A call and what came with it.
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub target: &'a Target<'a>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Body,
    /// From where.
    pub origin: Origin,
}

/// What an [`AccountService`] needs.
pub struct AccountParts {
    /// The accounts.
    pub directory: Directory,
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// How many requests are used of limits.
    pub limiter: Arc<Limiter>,
    /// How many tokens are used of budgets.
    pub budgets: Arc<Budgets>,
    /// The clock.
    pub clock: Clock,
}

/// Lists, makes, replaces and ends the keys and devices of accounts.
pub struct AccountService {
    pub(super) directory: Directory,
    pub(super) clock: Clock,
    pub(super) config: Arc<ConfigHandle>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) budgets: Arc<Budgets>,
    /// How often a key without the scope `keys` changes something of itself. Each change stays on record, and an account holds so many:
    /// a stolen key could otherwise use all of them up, and the account could never create or replace a key again.
    /// All keys of which one replaces the other are counted as one, since a replacement can ask for the next. It holds no more keys than
    /// the directory.
    self_changes: DefaultKeyedRateLimiter<KeyId>,
    /// How often an account asks what was used. It holds no more accounts than the directory.
    usage_questions: DefaultKeyedRateLimiter<Uuid>,
}

impl AccountService {
    /// For the accounts of that directory.
    pub fn new(parts: AccountParts) -> Self {
        let AccountParts { directory, config, limiter, budgets, clock } = parts;
        let self_changes = DefaultKeyedRateLimiter::keyed(self_change_quota());
        let usage_questions = DefaultKeyedRateLimiter::keyed(usage_question_quota());
        Self { directory, clock, config, limiter, budgets, self_changes, usage_questions }
    }

    /// What a key uses of its limits: of budgets at all gateways, of the others at this one.
    pub fn use_of(&self, key: &KeyRecord) -> Option<LimitUse> {
        let first = key.first.as_ref().unwrap_or(&key.id);
        let (limits, now) = (key.rights.limits, || self.clock.elapsed());
        let of_requests = self.limiter.used_by_key(first, limits, now);
        if !limits.has_budget() {
            return of_requests;
        }
        let LimitUse { requests, streams, .. } = of_requests.unwrap_or_default();
        Some(LimitUse { requests, streams, ..self.budgets.used_by_key(first, limits) })
    }

    /// Makes a change in a caller's name, if the caller's credential still holds then: with a body that came slowly, a key that was revoked
    /// since would make itself another. What goes beyond its own end also takes that nothing was taken from it since: a key that was just
    /// brought to its end would otherwise leave a longer-lived one behind, or revoke the one that replaces it.
    pub(super) async fn commit(&self, change: Change, caller: &Caller, event: Event) -> Result<(), Rejection> {
        let as_before = match &change {
            Change::AddKey(_) => true,
            Change::RevokeKey(id, _) | Change::ExpireKey(id, _) => own_key(caller).is_some_and(|own| own.id != *id),
            _ => false,
        };
        let (by, clock) = (caller.clone(), self.clock.clone());
        let still =
            move |directory: &Directory| by.holds(directory, clock.now()) && (!as_before || by.is_unchanged(directory));
        let made = self.directory.commit_if(change, event, still).await;
        let made = made.map_err(|error| match error {
            DirectoryError::Store(StoreError::Taken(what)) => {
                Rejection::new(409, format!("{what} is already taken")).member("code", "id_taken")
            }
            DirectoryError::Store(StoreError::Exchanged) => {
                Rejection::new(409, format!("{error}; get a new token for another key"))
                    .because(RefusalCode::ExchangedToken)
            }
            DirectoryError::Unknown(what) => Rejection::new(404, format!("there is no {what}")),
            DirectoryError::Replaced(by) => {
                let message = format!("the key already has a replacement: {by}");
                Rejection::new(409, message).member("code", "replaced").member("by", by.as_str())
            }
            DirectoryError::NotLive(id) => not_live(&id),
            DirectoryError::Suspended(_) => credential_suspended("API key"),
            DirectoryError::TooMany(wait) => too_many(&error.to_string(), wait),
            DirectoryError::Invitation(_) | DirectoryError::LastAdmin(_) => Rejection::new(403, error.to_string()),
            DirectoryError::Store(StoreError::Doubtful { .. }) => {
                tracing::error!(%error, "outcome of a change is not known");
                Rejection::new(503, "it is not known whether the change was saved; look before you try again")
            }
            DirectoryError::NotStored => {
                Rejection::new(503, error.to_string()).member("code", "not_stored").header("retry-after", "10")
            }
            DirectoryError::Store(_) | DirectoryError::Ending => {
                tracing::error!(%error, "change could not be saved");
                Rejection::new(503, "the change could not be saved; nothing was changed").header("retry-after", "10")
            }
        })?;
        match made {
            true => Ok(()),
            false if caller.holds(&self.directory, self.clock.now()) => {
                Err(Rejection::new(403, "the expiry of this key changed during the request"))
            }
            false => Err(caller.refusal(&self.directory)),
        }
    }

    /// An event of something that a caller does, concerning the caller's account.
    pub(super) fn event(
        &self,
        caller: &Caller,
        origin: Origin,
        action: &'static str,
        subject: impl Into<String>,
    ) -> Event {
        Event::new(self.clock.now(), caller.actor(), action, subject).of_account(caller.user()).from(origin)
    }

    /// Counts a change that a key without the scope `keys` asks for.
    ///
    /// # Errors
    /// 429 when it asks too often.
    pub(super) fn count_self_change(&self, caller: &Caller) -> Result<(), Rejection> {
        let Some(own) = own_key(caller).filter(|_| !manages(caller)) else { return Ok(()) };
        self.self_changes.check_key(own.first.as_ref().unwrap_or(&own.id)).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1);
            too_many(&format!("too many changes by this key; try again in {wait} s"), wait)
        })
    }

    /// Counts a question about usage, of an API or a page.
    ///
    /// # Errors
    /// 429 when the account asks too often.
    pub fn count_usage_question(&self, account: Uuid) -> Result<(), Rejection> {
        self.usage_questions.check_key(&account).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1);
            too_many(&format!("too many questions about usage by this account; try again in {wait} s"), wait)
        })
    }
}

/// 503 for keys that cannot be read.
pub(super) fn unreadable(error: &StoreError) -> Rejection {
    tracing::error!(%error, "keys could not be read");
    Rejection::new(503, "the keys could not be read").header("retry-after", "10")
}

/// 429 for changes that come too fast.
pub fn too_many(message: &str, wait: u64) -> Rejection {
    Rejection::new(429, message).header("retry-after", &wait.to_string())
}

fn self_change_quota() -> Quota {
    Quota::with_period(SELF_CHANGE_PERIOD).unwrap_or(Quota::per_hour(NonZeroU32::MIN)).allow_burst(SELF_CHANGES)
}

fn usage_question_quota() -> Quota {
    Quota::with_period(USAGE_QUESTION_PERIOD).unwrap_or(Quota::per_hour(NonZeroU32::MIN)).allow_burst(USAGE_QUESTIONS)
}

/// 409 if the key to replace is no longer accepted.
pub(super) fn not_live(id: &KeyId) -> Rejection {
    let error = DirectoryError::NotLive(id.clone());
    Rejection::new(409, error.to_string()).member("code", "not_live")
}

/// Whether a credential may manage what its account has; without that a key may still see, replace and revoke itself.
pub(super) fn manages(caller: &Caller) -> bool {
    caller.rights().scopes.contains(Scope::Keys)
}

/// 403 for a credential that may only manage itself.
pub(super) fn require_management(caller: &Caller) -> Result<(), Rejection> {
    if manages(caller) {
        return Ok(());
    }
    Err(Rejection::new(403, "this key does not have the scope keys: it can only revoke itself and its replacement"))
}

/// 403 where a workload asks for something else than a key of its own.
pub(super) fn refuse_workload(caller: &Caller) -> Result<(), Rejection> {
    let message = "a workload can exchange its token for one API key, and cannot list, replace or end keys and devices";
    caller.workload().map_or(Ok(()), |_| Err(Rejection::new(403, message)))
}

/// The caller's own key, if it is one.
pub(super) fn own_key(caller: &Caller) -> Option<&KeyRecord> {
    match caller.credential() {
        Credential::Key(key) => Some(key),
        Credential::Device(_) | Credential::Workload(_) | Credential::Session(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use governor::RateLimiter;
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn an_account_asks_twenty_times_and_then_once_in_three_seconds() {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::dashmap_with_clock(usage_question_quota(), clock.clone());
        let [one, other] = [1, 2].map(Uuid::from_u128);
        for _ in 0..20 {
            limiter.check_key(&one).unwrap();
        }
        assert!(limiter.check_key(&one).is_err() && limiter.check_key(&other).is_ok());
        clock.advance(Duration::from_secs(3));
        assert!(limiter.check_key(&one).is_ok() && limiter.check_key(&one).is_err());
    }

    #[test]
    fn a_key_changes_itself_a_thousand_times_and_then_once_in_fifteen_minutes() {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::dashmap_with_clock(self_change_quota(), clock.clone());
        let [one, other] = ["key_12345678", "key_87654321"].map(|id| id.parse::<KeyId>().unwrap());
        for _ in 0..SELF_CHANGES.get() {
            limiter.check_key(&one).unwrap();
        }
        let wait = limiter.check_key(&one).unwrap_err().wait_time_from(clock.now()).as_secs();
        assert!((899..=900).contains(&wait), "{wait}");
        limiter.check_key(&other).unwrap();
        clock.advance(SELF_CHANGE_PERIOD);
        limiter.check_key(&one).unwrap();
        assert!(limiter.check_key(&one).is_err());
    }
}
