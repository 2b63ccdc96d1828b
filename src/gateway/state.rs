//! What every request of a gateway is decided by.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use super::account::RateLimiter;
use super::authn::SignatureCache;
use super::log_throttle::LogThrottle;
use super::pages::Pages;
use super::replays::Replays;
use super::{Clock, Config, Directory, PendingDevices};
use crate::address::BaseUrl;

/// A running gateway.
pub struct Gateway {
    /// The accounts, devices and keys.
    pub directory: Directory,
    /// The unknown keys that can be approved.
    pub pending_devices: PendingDevices,
    /// The signatures that were accepted lately.
    pub replays: Replays,
    /// The signatures that were verified lately.
    pub signature_cache: SignatureCache,
    /// What was reported lately.
    pub log_throttle: LogThrottle,
    /// What keys changed of themselves lately.
    pub self_change_limiter: RateLimiter,
    /// The time.
    pub clock: Clock,
    /// Browser sessions and what belongs to them.
    pub pages: Pages,
    config: RwLock<Arc<Current>>,
    /// Where it really listens, once the system has chosen a port.
    local: SocketAddr,
    /// The address itself, for callers that know no better one. Whether TLS is spoken there does not change.
    own_url: BaseUrl,
    not_before: i64,
}

/// The configuration as it is, and what follows from it for every request.
pub struct Current {
    config: Config,
    /// What callers and browsers call the gateway. Links and redirects are built from it and nothing else.
    pub url: BaseUrl,
    /// The same as most callers write it in `Host`.
    pub authority: String,
}

impl Current {
    fn new(config: Config, own_url: &BaseUrl) -> Arc<Self> {
        let url = config.public_url.clone().unwrap_or_else(|| own_url.clone());
        let origin = url.origin().to_string();
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority).to_owned();
        Arc::new(Self { config, url, authority })
    }
}

impl Deref for Current {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// Where a request came from: the peer's address, or what a trusted proxy says. An extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl Gateway {
    /// A gateway that listens at `local`. Signatures from before this second are not taken: if an earlier gateway may have seen some in
    /// it, it has to be over.
    pub fn new(directory: Directory, clock: Clock, pages: Pages, config: Config, local: SocketAddr) -> Self {
        let not_before = clock.now();
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let own_url = BaseUrl::parse(&format!("{scheme}://{local}"));
        let own_url = own_url.map_or_else(|_| BaseUrl::local(), |parsed| parsed.url);
        Self {
            directory,
            pending_devices: PendingDevices::default(),
            replays: Replays::default(),
            signature_cache: SignatureCache::default(),
            log_throttle: LogThrottle::default(),
            self_change_limiter: RateLimiter::default(),
            clock,
            pages,
            config: RwLock::new(Current::new(config, &own_url)),
            local,
            own_url,
            not_before,
        }
    }

    /// The configuration as it is now: it changes on SIGHUP.
    pub fn config(&self) -> Arc<Current> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the configuration.
    pub fn reconfigure(&self, config: Config) {
        let current = Current::new(config, &self.own_url);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Nothing signed before this Unix second is taken, since it may have been used before.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// What callers and browsers call the gateway. Links and redirects are built from it and nothing else.
    pub fn public_url(&self) -> BaseUrl {
        self.config().url.clone()
    }
}
