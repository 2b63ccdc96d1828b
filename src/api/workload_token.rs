//! An OIDC token, such as GitHub Actions, in place of a stored secret. It is taken from its source when it is first needed and
//! again before it ends, so that a long job goes on.

mod claims;

use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};

use super::error::TokenError;

pub use claims::TokenClaims;

/// A token that ends within so many seconds is renewed before it is sent.
const RENEWAL_MARGIN: i64 = 60;
/// How long to wait until a source is asked again that had no newer token.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// What a token comes in.
pub type FetchedToken<'f> = Pin<Box<dyn Future<Output = Result<SecretString, TokenError>> + Send + 'f>>;

/// Where tokens come from: an endpoint, a file, a variable.
pub trait TokenSource: Send + Sync {
    /// The source in words, such as "the token file FILE".
    fn name(&self) -> String;
    /// The token that the source has now.
    fn fetch(&self) -> FetchedToken<'_>;
}

/// A token and its source. Requests and connections share it.
pub struct WorkloadToken {
    source: Box<dyn TokenSource>,
    held: RwLock<Held>,
    /// Held while the source is asked: requests that come meanwhile need the same token.
    renewing: tokio::sync::Mutex<()>,
}

struct Held {
    token: SecretString,
    claims: TokenClaims,
    /// When the source was last asked.
    asked_at: Instant,
    /// It was about to end when it came: the source has no newer one at the moment.
    was_stale: bool,
    /// A host has refused it.
    was_refused: bool,
}

impl Held {
    async fn fetch(source: &dyn TokenSource, now: i64) -> Result<Self, TokenError> {
        let token = source.fetch().await?;
        let claims = TokenClaims::read(token.expose_secret())
            .map_err(|invalid| TokenError::Unusable { message: format!("{} {invalid}", source.name()), hint: None })?;
        let was_stale = claims.ends_within(RENEWAL_MARGIN, now);
        Ok(Self { token, claims, asked_at: Instant::now(), was_stale, was_refused: false })
    }

    fn is_due(&self, now: i64) -> bool {
        let is_near_end = self.claims.ends_within(RENEWAL_MARGIN, now);
        let may_ask =
            (is_near_end && !self.was_stale && !self.was_refused) || self.asked_at.elapsed() >= RETRY_INTERVAL;
        (is_near_end || self.was_refused) && may_ask
    }
}

impl std::fmt::Debug for WorkloadToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorkloadToken(****)")
    }
}

impl WorkloadToken {
    /// Takes the first token from its source.
    ///
    /// # Errors
    /// When the source has none, or something else.
    pub async fn fetch(source: Box<dyn TokenSource>, now: i64) -> Result<Self, TokenError> {
        let held = Held::fetch(&*source, now).await?;
        Ok(Self { source, held: RwLock::new(held), renewing: tokio::sync::Mutex::new(()) })
    }

    /// The token, as it is sent.
    pub fn secret(&self) -> SecretString {
        self.read(|held| held.token.clone())
    }

    /// What it says of itself.
    pub fn claims(&self) -> TokenClaims {
        self.read(|held| held.claims.clone())
    }

    /// Says that a host refused it, so that the source is asked for another one.
    pub(super) fn mark_refused(&self) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).was_refused = true;
    }

    /// Renews a token that is about to end or was refused. `true` if there is another one now.
    ///
    /// # Errors
    /// When the source has none, and the one that is here cannot be sent any more either.
    pub(super) async fn renew_if_due(&self, now: i64) -> Result<bool, TokenError> {
        if !self.read(|held| held.is_due(now)) {
            return Ok(false);
        }
        let _renewing = self.renewing.lock().await;
        if !self.read(|held| held.is_due(now)) {
            return Ok(false);
        }
        match Held::fetch(&*self.source, now).await {
            Ok(new) => {
                let is_another = self.read(|held| held.token.expose_secret() != new.token.expose_secret());
                tracing::debug!(is_another, "token of the workload renewed");
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = new;
                Ok(is_another)
            }
            // It is asked again in a moment.
            Err(error) if self.read(|held| !held.was_refused && !held.claims.ends_within(0, now)) => {
                tracing::warn!(%error, "token of the workload not renewed yet");
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                (held.asked_at, held.was_stale) = (Instant::now(), true);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Held) -> T) -> T {
        read(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::claims::token_that_ends;
    use super::*;

    /// Gives tokens that end at a settable time, or fails.
    #[derive(Clone, Default)]
    struct Source {
        ends_at: Arc<AtomicI64>,
        asked: Arc<AtomicUsize>,
        fails: Arc<Mutex<bool>>,
    }

    impl TokenSource for Source {
        fn name(&self) -> String {
            "the source".to_owned()
        }

        fn fetch(&self) -> FetchedToken<'_> {
            Box::pin(async {
                self.asked.fetch_add(1, Ordering::Relaxed);
                if *self.fails.lock().unwrap() {
                    return Err(TokenError::Refused { message: "none".into(), hint: None });
                }
                Ok(SecretString::from(token_that_ends(self.ends_at.load(Ordering::Relaxed))))
            })
        }
    }

    async fn token(ends_at: i64) -> (Source, WorkloadToken) {
        let source = Source::default();
        source.ends_at.store(ends_at, Ordering::Relaxed);
        let token = WorkloadToken::fetch(Box::new(source.clone()), 0).await.unwrap();
        (source, token)
    }

    impl WorkloadToken {
        /// As after a pause.
        fn long_ago(&self) {
            self.held.write().unwrap().asked_at = Instant::now().checked_sub(RETRY_INTERVAL).unwrap();
        }
    }

    #[tokio::test]
    async fn is_renewed_in_its_last_minute_and_not_before() {
        let (source, token) = token(600).await;
        assert!(!token.renew_if_due(539).await.unwrap());
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
        source.ends_at.store(1200, Ordering::Relaxed);
        assert!(token.renew_if_due(541).await.unwrap());
        assert_eq!(token.claims().expires_at(), Some(1200));
        assert!(!token.renew_if_due(542).await.unwrap());
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_source_without_a_newer_one_is_not_asked_for_each_request() {
        let (source, token) = token(600).await;
        for _ in 0..10 {
            assert!(!token.renew_if_due(590).await.unwrap());
        }
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
        token.long_ago();
        token.renew_if_due(590).await.unwrap();
        assert_eq!(source.asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_refused_one_is_replaced_but_not_at_once() {
        let (source, token) = token(600).await;
        source.ends_at.store(700, Ordering::Relaxed);
        token.mark_refused();
        assert!(!token.renew_if_due(0).await.unwrap(), "it has just come from there");
        token.long_ago();
        assert!(token.renew_if_due(0).await.unwrap());
        assert!(!token.renew_if_due(0).await.unwrap(), "the new one was not refused");
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_source_that_fails_matters_once_the_token_has_ended() {
        let (source, token) = token(600).await;
        *source.fails.lock().unwrap() = true;
        assert!(!token.renew_if_due(590).await.unwrap());
        token.long_ago();
        assert!(token.renew_if_due(601).await.is_err());
        *source.fails.lock().unwrap() = false;
        source.ends_at.store(1200, Ordering::Relaxed);
        token.long_ago();
        assert!(token.renew_if_due(601).await.unwrap());
    }

    #[tokio::test]
    async fn requests_at_the_same_time_ask_once() {
        let (source, token) = token(600).await;
        source.ends_at.store(1200, Ordering::Relaxed);
        let renewed = tokio::join!(token.renew_if_due(590), token.renew_if_due(590), token.renew_if_due(590));
        assert!(renewed.0.unwrap() && !renewed.1.unwrap() && !renewed.2.unwrap());
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn shows_nothing_of_the_token() {
        let (_, token) = token(600).await;
        assert_eq!(format!("{token:?}"), "WorkloadToken(****)");
    }
}
