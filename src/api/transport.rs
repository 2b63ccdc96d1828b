//! Connections, and `Retry-After`: one lazily built HTTP client per way of connecting.
//!
//! Building TLS costs milliseconds and fails on a machine without CA certificates even for plain http (measured), so a
//! plain-http host gets a client that has no authorities at all. A loopback host never goes through a proxy: that would
//! carry a credential off the machine in the clear.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::address::{BaseUrl, Scheme};
use crate::api::clock::clock_offset;
use crate::api::error::{ApiError, innermost};
use crate::api::host_facts::HostFacts;
use crate::api::key_expiry::{KeyExpiry, KeyExpiryNotice};
use crate::api::listener::{ListenerCheck, Warning};
use crate::http::Http1Client;

/// Which programs on a loopback port may receive a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ListenerRule {
    /// The account that the port belonged to when a person signed in.
    pub known: Option<u32>,
    /// Programs of other accounts get nothing; otherwise there is a warning.
    pub refuses: bool,
}

/// What this program calls itself.
pub(super) const USER_AGENT: &str = concat!("ollama-auth/", env!("CARGO_PKG_VERSION"));

/// Time allowed to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What shapes every connection.
#[derive(Debug, Clone, Default)]
pub struct TransportOptions {
    /// A PEM file of certificate authorities trusted besides the system's.
    pub ca_cert: Option<PathBuf>,
    /// How to warn.
    pub warning: Warning,
    /// How to say that an API key ends soon.
    pub key_expiry: KeyExpiryNotice,
}

type LoopbackKey = (u16, Option<u32>, bool);

/// The process's HTTP clients. Cheap to make; each client is built on first use.
#[derive(Debug, Default)]
pub struct Transport {
    options: TransportOptions,
    /// By the port, the account known for it, and whether others are refused.
    loopback: RefCell<HashMap<LoopbackKey, Client>>,
    warned: Arc<AtomicBool>,
    /// By the host's URL.
    facts: RefCell<HashMap<String, Arc<HostFacts>>>,
    plain: OnceCell<Client>,
    tls: OnceCell<Client>,
}

impl Transport {
    /// A transport that has not connected to anything yet.
    pub fn new(options: TransportOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The client for a host.
    ///
    /// # Errors
    /// [`ApiError::NoAuthorities`] for an https host on a machine without CA certificates, [`ApiError::CaFile`] when the
    /// file of `--ca-cert` cannot be used.
    pub(super) fn client(&self, base: &BaseUrl, rule: ListenerRule) -> Result<Client, ApiError> {
        let https = base.scheme() == Scheme::Https;
        let cell = if https { &self.tls } else { &self.plain };
        let check = self.listener_check(base, rule);
        let key = check.as_ref().map(|check| (check.port, check.known, check.refuses));
        let known = match &key {
            Some(key) => self.loopback.borrow().get(key).cloned(),
            None => cell.get().cloned(),
        };
        if let Some(client) = known {
            return Ok(client);
        }
        let mut builder = common();
        if https {
            builder = builder.https_only(true);
            if let Some(certificates) = self.extra_authorities()? {
                builder = builder.tls_certs_merge(certificates);
            }
        } else {
            builder = builder.tls_certs_only([]);
        }
        if base.is_loopback() {
            builder = builder.no_proxy();
            if !https {
                builder = builder.dns_resolver(Loopback);
            }
        }
        if let Some(check) = check {
            builder = builder.connector_layer(check);
        }
        let client = builder
            .build()
            .map_err(|error| ApiError::NoAuthorities { host: base.to_string(), reason: innermost(&error) })?;
        match key {
            Some(key) => drop(self.loopback.borrow_mut().insert(key, client.clone())),
            None => drop(cell.set(client.clone())),
        }
        Ok(client)
    }

    /// Reads the certificate authorities, as the first request to an https host does.
    ///
    /// # Errors
    /// [`ApiError::NoAuthorities`] and [`ApiError::CaFile`].
    pub fn load_authorities(&self) -> Result<(), ApiError> {
        self.client(&BaseUrl::ollama_com(), ListenerRule::default()).map(drop)
    }

    /// What a host has told in its answers so far.
    pub(super) fn facts(&self, base: &BaseUrl) -> Arc<HostFacts> {
        self.facts.borrow_mut().entry(base.to_string()).or_default().clone()
    }

    /// Tells the person at the terminal something that is not an error.
    pub(super) fn warn(&self, text: &str) {
        self.options.warning.tell(text);
    }

    /// Tells that an API key ends soon.
    pub(super) fn tell_expiry(&self, expiry: &KeyExpiry<'_>) {
        self.options.key_expiry.tell(expiry);
    }

    /// The client for streams, if the host is reached by plain http on this machine: no proxy is ever in between.
    pub(super) fn loopback_client(&self, base: &BaseUrl, rule: ListenerRule) -> Option<Http1Client> {
        let check = self.listener_check(base, rule)?;
        Some(Http1Client::loopback(check.into_connect_check()))
    }

    /// The check of connections by plain http to this machine; TLS proves itself whom it talks to.
    fn listener_check(&self, base: &BaseUrl, rule: ListenerRule) -> Option<ListenerCheck> {
        let addresses = base.loopback_addresses();
        (base.scheme() == Scheme::Http && !addresses.is_empty()).then(|| ListenerCheck {
            port: base.port(),
            addresses,
            known: rule.known,
            refuses: rule.refuses,
            warning: self.options.warning.clone(),
            warned: self.warned.clone(),
        })
    }

    fn extra_authorities(&self) -> Result<Option<Vec<Certificate>>, ApiError> {
        let Some(path) = &self.options.ca_cert else {
            return Ok(None);
        };
        let problem = |reason: String| ApiError::CaFile { path: path.display().to_string(), reason };
        let pem = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| problem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(problem("it holds no certificate in PEM form".to_owned()));
        }
        Ok(Some(certificates))
    }
}

/// What holds for every client: no redirect is followed, nothing is repeated behind our back (a repeated request needs a
/// fresh signature), and no `Referer` is sent.
fn common() -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
}

/// `localhost` and the names below it are this machine, whatever a hosts file or a name server says (RFC 6761 §6.3): credentials
/// go there over plain http.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        // The port is the URL's: the resolver's own is not looked at.
        let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// The longest waiting time that is believed: a year. Budgets of a month renew within it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long `Retry-After` asks to wait: seconds, or a date by the clock of the host; at most a year.
pub(super) fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST).min(LONGEST));
    }
    let then = DateTimeParser::new().parse_timestamp(text).ok()?.as_second();
    let left = u64::try_from(then - now + clock_offset(headers, now).unwrap_or(0)).unwrap_or(0);
    Some(Duration::from_secs(left).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use reqwest::header::DATE;

    use super::*;

    #[test]
    fn reads_retry_after_in_both_forms_and_within_reason() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, 1_795_211_572).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("17"), Some(17));
        assert_eq!(wait("3.5"), Some(4));
        assert_eq!(wait("18446744073709551615"), Some(366 * 86_400));
        assert_eq!(wait("inf"), Some(366 * 86_400));
        assert_eq!(wait("Fri, 20 Nov 2026 21:53:52 GMT"), Some(60));
        assert_eq!(wait("Fri, 20 Nov 2026 21:50:52 GMT"), Some(0));
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("NaN"), None);
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_date_is_by_the_clock_of_the_host() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Fri, 20 Nov 2026 21:52:52 GMT".parse().unwrap());
        headers.insert(RETRY_AFTER, "Fri, 20 Nov 2026 21:53:52 GMT".parse().unwrap());
        for wrong in [-86_400, 0, 600] {
            assert_eq!(retry_after(&headers, 1_795_211_572 + wrong), Some(Duration::from_secs(60)), "{wrong}");
        }
    }
}
