//! The configuration that is in effect, and what follows from it for every request. It is replaced on SIGHUP.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use super::config::Config;
use crate::address::BaseUrl;

/// The configuration in effect. Dereferences to the [`Config`] itself.
pub struct ActiveConfig {
    config: Config,
    /// What callers and browsers call the gateway. Links and redirects are built from it and nothing else.
    pub url: BaseUrl,
    /// The public address without the scheme, as most callers write it in `Host`: compared first, because that is cheap.
    pub authority: String,
    /// Where the gateway listens, once the system has chosen a port.
    pub local: SocketAddr,
}

impl ActiveConfig {
    fn new(config: Config, own_url: &BaseUrl, local: SocketAddr) -> Arc<Self> {
        let url = config.public_url.clone().unwrap_or_else(|| own_url.clone());
        let origin = url.origin().to_string();
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority).to_owned();
        Arc::new(Self { config, url, authority, local })
    }
}

impl Deref for ActiveConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// Where every part of the gateway finds the configuration in effect.
pub struct ConfigHandle {
    current: RwLock<Arc<ActiveConfig>>,
    local: SocketAddr,
    /// The listening address as a URL, for callers that know no better one. Its scheme does not change.
    own_url: BaseUrl,
}

impl ConfigHandle {
    /// Holds the first configuration of a gateway that listens at `local`.
    pub fn new(config: Config, local: SocketAddr) -> Self {
        let scheme = if config.tls().is_some() { "https" } else { "http" };
        let own_url = BaseUrl::parse(&format!("{scheme}://{local}"));
        let own_url = own_url.map_or_else(|_| BaseUrl::local(), |parsed| parsed.url);
        Self { current: RwLock::new(ActiveConfig::new(config, &own_url, local)), local, own_url }
    }

    /// The configuration in effect now. A request asks once, so that a reload does not change it halfway.
    pub fn get(&self) -> Arc<ActiveConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another configuration into effect, for the requests that begin from now on.
    pub fn replace(&self, config: Config) {
        let current = ActiveConfig::new(config, &self.own_url, self.local);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }
}
