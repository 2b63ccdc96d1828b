//! The issuers that the configuration trusts.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;

use super::http::Http;
use super::issuer::Issuer;
use super::issuer_url::IssuerUrl;
use super::metadata::Metadata;
use super::settings::{IssuerError, IssuerSettings, RefreshRules};
use super::token::{self, Expected, TokenError, Verified};
use crate::gateway::clock::Clock;

/// All of them, with what is known of each.
pub struct Issuers {
    clock: Clock,
    /// On which they are asked.
    runtime: Handle,
    all: RwLock<BTreeMap<IssuerUrl, (IssuerSettings, Issuer)>>,
}

impl Issuers {
    /// None yet.
    pub fn new(clock: Clock, runtime: Handle) -> Self {
        Self { clock, runtime, all: RwLock::default() }
    }

    /// Trusts these and no others. What is known of those whose settings stay is used until they have been read again.
    pub fn configure(&self, wanted: impl IntoIterator<Item = IssuerSettings>, rules: RefreshRules) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *all);
        for settings in wanted {
            let kept = before.remove(&settings.url).filter(|(known, _)| *known == settings);
            let issuer = kept.map_or_else(|| self.issuer(&settings), |(_, issuer)| issuer);
            issuer.set_rules(rules);
            issuer.reload();
            all.entry(settings.url.clone()).or_insert((settings, issuer));
        }
    }

    fn issuer(&self, settings: &IssuerSettings) -> Issuer {
        let http = Http::new(settings.ca_file.clone(), self.runtime.clone());
        Issuer::new(settings.url.clone(), settings.keys.clone(), http, self.clock.clone(), self.runtime.clone())
    }

    /// Checks that a token is what is expected, now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Verified, TokenError> {
        let announced = token::announced(token)?;
        let issuer = self.find(expected.issuer).ok_or(TokenError::WrongIssuer)?;
        // Read before the keys: at worst they are newer than it says.
        let generation = issuer.generation();
        let keys = issuer.keys(&announced).await?;
        let verified = token::verify(token, &announced, &keys, expected, self.clock.now())?;
        Ok(Verified { generation, ..verified })
    }

    /// What an issuer says about itself.
    ///
    /// # Errors
    /// [`IssuerError`], also for one that is not configured.
    pub async fn metadata(&self, url: &IssuerUrl) -> Result<Arc<Metadata>, IssuerError> {
        self.require(url)?.metadata().await
    }

    /// The same, of an issuer that answers: what is kept of one that is down is an error.
    ///
    /// # Errors
    /// [`IssuerError`], also for one that is not configured.
    pub async fn metadata_if_up(&self, url: &IssuerUrl) -> Result<Arc<Metadata>, IssuerError> {
        self.require(url)?.metadata_if_up().await
    }

    /// How long it is until an issuer that did not answer is asked again.
    pub fn next_read(&self, url: &IssuerUrl) -> Duration {
        self.find(url).map(|issuer| issuer.next_read()).unwrap_or_default()
    }

    /// Sends requests to an issuer; `None` for one that is not configured.
    pub fn http(&self, url: &IssuerUrl) -> Option<Http> {
        self.find(url).map(|issuer| issuer.http().clone())
    }

    /// A number that changes whenever the keys of an issuer have changed, for those who remember verified tokens; `None` for one that is not
    /// configured.
    pub fn generation(&self, url: &IssuerUrl) -> Option<u64> {
        self.find(url).map(|issuer| issuer.generation())
    }

    fn require(&self, url: &IssuerUrl) -> Result<Issuer, IssuerError> {
        let unknown = || IssuerError { issuer: url.clone(), reason: "it is not configured".to_owned() };
        self.find(url).ok_or_else(unknown)
    }

    fn find(&self, url: &IssuerUrl) -> Option<Issuer> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(url).map(|(_, issuer)| issuer.clone())
    }
}
