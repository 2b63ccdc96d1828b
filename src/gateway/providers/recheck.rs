//! Asking a provider again about people who signed in: whether they still may, and what their claims give them now.
//!
//! Each person is asked about by one gateway at a time. A refresh token that the provider gave instead of the old one is stored before
//! anything else is done with the answer. While the provider does not answer nothing changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;

use super::client::{ProviderError, Tokens};
use super::refresh_cipher::RefreshCipher;
use super::service::ProviderService;
use super::settings::ProviderSettings;
use crate::gateway::directory::DirectoryError;
use crate::gateway::store::{DueTokens, Identity, IdentityId, LeasedToken, SealedToken, StoreError, User};

/// How long a gateway has for one person, in seconds. After a failure so much time passes before the next attempt.
const LEASE: i64 = 120;
/// People who are asked about at a time, and in one round.
const AT_A_TIME: u32 = 8;
const MOST_ROUNDS: usize = 50;
/// So often, and between two attempts so long, a token is stored that a provider gave instead of another one.
const STORE_ATTEMPTS: usize = 30;
const STORE_INTERVAL: Duration = Duration::from_secs(1);

impl ProviderService {
    /// Asks about everyone who is due, each provider by itself: one that does not answer keeps no other waiting.
    pub async fn recheck(self: &Arc<Self>) {
        let config = self.config.get();
        let mut running = self.rechecks.lock().await;
        running.retain(|_, task| !task.is_finished());
        for provider in config.oidc.all() {
            if let Some(interval) = provider.recheck
                && !running.contains_key(&provider.name)
            {
                let (service, provider) = (self.clone(), provider.clone());
                let name = provider.name;
                let task = tokio::spawn(async move {
                    if let Err(error) = service.recheck_people_of(&provider, interval).await {
                        tracing::warn!(%error, provider = provider.name.as_str(), "people could not be looked up at their provider");
                    }
                });
                running.insert(name, task);
            }
        }
    }

    /// Asks about nobody else, and waits for the answers under way: a refresh token that a provider has replaced would be lost with them.
    pub async fn end_rechecks(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut *self.rechecks.lock().await).into_values() {
            let _ = task.await;
        }
    }

    async fn recheck_people_of(
        self: &Arc<Self>,
        provider: &Arc<ProviderSettings>,
        interval: Duration,
    ) -> Result<(), StoreError> {
        let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
        for _ in 0..MOST_ROUNDS {
            if self.is_ending.load(Ordering::Relaxed) {
                break;
            }
            let now = self.clock.now();
            let due = DueTokens {
                issuer: provider.issuer.to_string(),
                now,
                checked_by: now.saturating_sub(interval),
                lease_until: now.saturating_add(LEASE),
                limit: AT_A_TIME,
            };
            let leased = self.directory.lease_refresh_tokens(due).await?;
            let mut asking = JoinSet::new();
            for token in leased {
                let (service, provider) = (self.clone(), provider.clone());
                asking.spawn(async move { service.recheck_one(&provider, token).await });
            }
            let mut has_answered = false;
            while let Some(asked) = asking.join_next().await {
                match asked {
                    Ok(Err(error)) => {
                        tracing::warn!(%error, provider = provider.name.as_str(), "a person could not be looked up at the provider");
                    }
                    Err(error) => tracing::error!(%error, "a look-up at the provider ended early"),
                    Ok(Ok(())) => has_answered = true,
                }
            }
            // Nobody was due, or the provider answers nothing now.
            if !has_answered {
                break;
            }
        }
        Ok(())
    }

    async fn recheck_one(&self, provider: &ProviderSettings, leased: LeasedToken) -> Result<(), RecheckError> {
        let identity = self.directory.identity(&leased.identity);
        let Some((identity, user)) = identity.and_then(|identity| {
            let user = self.directory.user(identity.user)?;
            Some((identity, user))
        }) else {
            return Ok(());
        };
        let Some(sealed) = &leased.token else {
            // Otherwise who is removed before the first question would stay for ever.
            self.withdraw(provider, &user, identity, "there is no refresh token to ask the provider with", None)
                .await?;
            self.directory.replace_refresh_token(leased, None, Some(self.clock.now())).await?;
            return Ok(());
        };
        let Some(token) = self.refresh_tokens.open(&leased.identity, &provider.client_id, sealed) else {
            tracing::error!(
                user = user.name,
                "the refresh token was encrypted with another secret-file, or is of another client-id: the person has to sign in again"
            );
            self.directory.replace_refresh_token(leased, None, Some(self.clock.now())).await?;
            return Ok(());
        };
        match self.client.refresh(provider, &token).await {
            Ok(tokens) => {
                let next = match &tokens.refresh_token {
                    Some(new) if !RefreshCipher::is_same(&token, new.expose_secret()) => {
                        let new = new.expose_secret();
                        let sealed = self.refresh_tokens.seal(&leased.identity, &provider.client_id, new);
                        sealed.map_err(|_| RecheckError::NoRandomBytes)?
                    }
                    _ => sealed.clone(),
                };
                let held = LeasedToken { identity: leased.identity, token: Some(next.clone()) };
                // The old one may be worth nothing from now on.
                if !self.store_next(leased, &next).await? {
                    // The person has signed in meanwhile, which says more than this answer.
                    return Ok(());
                }
                self.apply_answer(provider, &user, identity, &tokens).await?;
                // Only then: otherwise what failed would have its effect an interval later.
                self.directory.replace_refresh_token(held, Some(next), Some(self.clock.now())).await?;
                Ok(())
            }
            Err(ProviderError::InvalidGrant(reason)) => {
                let without = LeasedToken { identity: leased.identity, token: None };
                // A token that is not the stored one says nothing: the provider has replaced it, or the person has signed in.
                if !self.directory.replace_refresh_token(leased, None, None).await? {
                    return Ok(());
                }
                tracing::info!(user = user.name, reason, "the provider does not admit a person any more");
                self.withdraw(provider, &user, identity, "the provider refuses the refresh token", None).await?;
                // Until here the person is due without a token, so that a failure in between changes nothing.
                self.directory.replace_refresh_token(without, None, Some(self.clock.now())).await?;
                Ok(())
            }
            // Nothing changes; it is tried again when the lease is over.
            Err(error) => Err(error.into()),
        }
    }

    /// Stores the token that took the place of one, whatever the database does meanwhile: the provider may take the old one for stolen.
    async fn store_next(&self, leased: LeasedToken, next: &SealedToken) -> Result<bool, StoreError> {
        for _ in 0..STORE_ATTEMPTS {
            match self.directory.replace_refresh_token(leased.clone(), Some(next.clone()), None).await {
                Err(error) => tracing::warn!(%error, "a new refresh token could not be stored; trying again"),
                stored => return stored,
            }
            tokio::time::sleep(STORE_INTERVAL).await;
        }
        self.directory.replace_refresh_token(leased, Some(next.clone()), None).await
    }

    /// Changes what the account may, as the claims say now.
    async fn apply_answer(
        &self,
        provider: &ProviderSettings,
        user: &User,
        identity: Arc<Identity>,
        tokens: &Tokens,
    ) -> Result<(), RecheckError> {
        let subject = identity.subject.clone();
        let claims = if tokens.id_token.is_some() {
            let person = self.client.person(provider, tokens, None).await?;
            if person.subject != subject {
                return Err(RecheckError::AnotherPerson);
            }
            person.claims
        } else {
            // An answer without an ID token says that the person may still sign in, and the userinfo endpoint says the rest.
            let Some(claims) = self.client.userinfo(provider, &tokens.access_token).await? else { return Ok(()) };
            if claims.get("sub").and_then(serde_json::Value::as_str) != Some(subject.as_str()) {
                return Err(RecheckError::AnotherPerson);
            }
            super::claims::Claims(claims)
        };
        let granted = claims.granted(provider);
        match granted.role {
            None => self.withdraw(provider, user, identity, "no rule admits the person", None).await?,
            Some(_) => self.apply(provider, user, &claims, None).await?,
        }
        Ok(())
    }

    /// Encrypts the refresh token of a sign-in, if the provider is to be asked again.
    ///
    /// # Errors
    /// [`NotSealed`]. A browser can take the scope out of the request for it.
    pub fn seal_refresh_token(
        &self,
        provider: &ProviderSettings,
        subject: &str,
        tokens: &Tokens,
    ) -> Result<Option<SealedToken>, NotSealed> {
        if provider.recheck.is_none() {
            return Ok(None);
        }
        let token = tokens.refresh_token.as_ref().ok_or(NotSealed::NoToken)?;
        let id = IdentityId::of(provider.issuer.as_str(), subject);
        let sealed = self.refresh_tokens.seal(&id, &provider.client_id, token.expose_secret());
        sealed.map(Some).map_err(|_| NotSealed::NoRandomBytes)
    }
}

/// Why there is no refresh token to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSealed {
    /// The provider gave none.
    NoToken,
    /// The operating system gives no random numbers.
    NoRandomBytes,
}

/// Why a person could not be looked up.
#[derive(Debug, thiserror::Error)]
enum RecheckError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the provider speaks of another person")]
    AnotherPerson,
    #[error("no random bytes")]
    NoRandomBytes,
}
