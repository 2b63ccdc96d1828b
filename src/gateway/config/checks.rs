//! What must hold between settings, whichever layer they come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::error::{ConfigError, Place};
use super::settings::Draft;
use super::{Config, TlsFiles};
use crate::address::{BaseUrl, Scheme};

/// Where each setting that was given stands.
pub type Places = BTreeMap<&'static str, Place>;

/// The finished configuration.
///
/// # Errors
/// Settings that do not go together.
pub fn finish(draft: Draft, places: &Places) -> Result<Config, ConfigError> {
    let place = |name: &str| places.get(name).cloned().unwrap_or(Place::Default);
    let mut config = draft.config;
    config.tls = match (draft.tls_cert, draft.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(ConfigError::HalfTls { place: place("tls-cert"), given: "tls-cert", missing: "tls-key" });
        }
        (None, Some(_)) => {
            return Err(ConfigError::HalfTls { place: place("tls-key"), given: "tls-key", missing: "tls-cert" });
        }
    };
    let beyond = !config.listen.ip().to_canonical().is_loopback();
    let listen = config.listen.to_string();
    if beyond && config.tls.is_none() && !config.behind_tls_proxy {
        return Err(ConfigError::PlainBeyondLoopback { place: place("listen"), listen });
    }
    match &config.public_url {
        None if beyond => return Err(ConfigError::NoPublicUrl { place: place("listen"), listen }),
        Some(url) if url.scheme() == Scheme::Http => {
            let reason = if config.behind_tls_proxy {
                Some("behind-tls-proxy says that a proxy in front serves https")
            } else if config.tls.is_some() {
                Some("tls-cert makes the gateway serve https")
            } else if !url.is_loopback() {
                Some("callers on other machines would send their credentials in the clear")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(ConfigError::PlainPublicUrl { place: place("public-url"), url: url.to_string(), reason });
            }
        }
        _ => {}
    }
    if is_ours(&config.upstream, config.listen) || config.public_url.as_ref() == Some(&config.upstream) {
        return Err(ConfigError::Loop { place: place("upstream"), upstream: config.upstream.to_string() });
    }
    Ok(config)
}

/// Whether a request to that address would come back to us. A name other than `localhost` is not looked up.
fn is_ours(upstream: &BaseUrl, listen: SocketAddr) -> bool {
    let host = upstream.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ours = listen.ip().to_canonical();
    let same = match bare.parse::<IpAddr>() {
        Ok(address) => address == ours || ours.is_unspecified() && address.is_loopback(),
        Err(_) => upstream.is_loopback() && (ours.is_loopback() || ours.is_unspecified()),
    };
    same && upstream.port() == listen.port()
}
