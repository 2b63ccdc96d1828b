//! Which names the gateway answers to, and where a request came from.
//!
//! A page on another site can make a browser send requests here under a name of its own (DNS rebinding); so a `Host` that is not ours
//! is refused.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

use super::active_config::ActiveConfig;
use super::config::Config;
use super::environments::split_host;
use super::log_throttle::LogThrottle;
use super::policy_name::PolicyName;
use super::refusal_code::RefusalCode;
use super::rejection::Rejection;
use crate::address::{BaseUrl, Scheme};

/// Even where there are few connections, a browser and the programs beside it need some.
const MIN_CONNECTIONS_PER_ADDRESS: usize = 16;

/// Where a connection came to.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// The address that it listens at.
    pub local: SocketAddr,
    /// The environment that it means.
    pub environment: Option<PolicyName>,
}

/// Makes sure that the request names us. Returns the environment that its name or listener means.
///
/// # Errors
/// 400 without a `Host`, or with two; 403 for a name that is not ours, and for one of another environment than the listener's.
pub fn accept(
    current: &ActiveConfig,
    headers: &HeaderMap,
    listener: Listener,
) -> Result<Option<PolicyName>, Rejection> {
    let (host, here) = (the_one(headers)?, listener.environment);
    // As nearly all write it; the others are read with care.
    if host == current.authority {
        return Ok(here);
    }
    if let Some(named) = current.environments.of_host(host, current.url.scheme()) {
        return match here {
            Some(here) if here != named => {
                let message =
                    format!("this host name is that of the environment {named}, and this listener that of {here}");
                Err(Rejection::new(403, message).because(RefusalCode::Environment))
            }
            _ => Ok(Some(named)),
        };
    }
    let is_literal = here.is_some() && host.parse() == Ok(listener.local);
    if is_literal || answers_to(current, &current.url, listener.local.ip(), host) {
        return Ok(here);
    }
    let message =
        format!("this gateway does not serve that host name: use {}, or add the name to allowed-hosts", current.url);
    Err(Rejection::new(403, message))
}

/// The one `Host` of a request; empty when it is not text.
///
/// # Errors
/// 400 when there is none, or two.
pub fn the_one(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Rejection::new(400, "exactly one Host header is required"));
    };
    Ok(host.to_str().unwrap_or_default())
}

/// What a `Host` names, where it is a name and perhaps a port, and nothing besides that [`BaseUrl`] would take.
pub fn named(scheme: Scheme, host: &str) -> Option<BaseUrl> {
    if host.contains(['/', '@', '?', '#', '\\', ' ']) || host.is_empty() {
        return None;
    }
    BaseUrl::parse(&format!("{}://{host}", scheme.as_str())).ok().map(|parsed| parsed.url)
}

fn answers_to(config: &Config, public: &BaseUrl, listens_at: IpAddr, host: &str) -> bool {
    let Some(named) = named(public.scheme(), host) else { return false };
    if named.origin() == public.origin() {
        return true;
    }
    // No site can call itself by a loopback address, whatever the port.
    if listens_at.is_loopback() && named.is_loopback() {
        return true;
    }
    config.allowed_hosts.iter().any(|allowed| {
        let (name, port) = split_host(allowed);
        let (asked, asked_port) = split_host(host);
        name.eq_ignore_ascii_case(asked) && (port.is_none() || port == asked_port)
    })
}

/// How many connections that address may have of the `all` that there may be. A trusted proxy, which stands for many callers, may
/// have all of them.
pub fn share(config: &Config, address: IpAddr, all: usize) -> usize {
    let address = address.to_canonical();
    if config.trusted_proxies.iter().any(|proxies| proxies.contains(&address)) {
        return all;
    }
    match config.max_connections_per_address {
        0 => (all / 4).max(MIN_CONNECTIONS_PER_ADDRESS),
        most => most,
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Why `X-Forwarded-For` does not say where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedForProblem {
    /// The peer is not a trusted proxy, so anybody may have written it.
    Untrusted,
    /// A trusted proxy wrote something that is not an address.
    Unreadable,
}

impl ForwardedForProblem {
    /// Writes it to the log, where `throttle` allows it. All peers share one subject: every caller can send the header.
    pub fn report(self, throttle: &LogThrottle, peer: IpAddr, now: i64) {
        match self {
            Self::Untrusted if throttle.allow("x-forwarded-for of an untrusted address", now) => tracing::warn!(
                %peer,
                "X-Forwarded-For ignored: the address is not in trusted-proxies. If it is your proxy, add it there"
            ),
            Self::Unreadable if throttle.allow("x-forwarded-for that cannot be read", now) => tracing::warn!(
                %peer,
                "X-Forwarded-For of a trusted proxy holds something that is not an address"
            ),
            Self::Untrusted | Self::Unreadable => {}
        }
    }
}

/// The caller's address: the peer's, or, where that is a trusted proxy, the last address in `X-Forwarded-For` that no trusted proxy has. And
/// what is wrong with that header, for the log.
pub fn client_address(config: &Config, headers: &HeaderMap, peer: IpAddr) -> (IpAddr, Option<ForwardedForProblem>) {
    let trusted = |address: IpAddr| config.trusted_proxies.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    if !trusted(client) {
        return (client, headers.contains_key(FORWARDED_FOR).then_some(ForwardedForProblem::Untrusted));
    }
    // By bytes: what a caller wrote in front of what a proxy added may be no text.
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    for hop in values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
        let hop = std::str::from_utf8(hop).unwrap_or_default();
        let Some(address) = hop_address(hop.trim()) else {
            return (client, Some(ForwardedForProblem::Unreadable));
        };
        client = address.to_canonical();
        if !trusted(client) {
            break;
        }
    }
    (client, None)
}

/// An address as proxies write it: alone, or with a port (Azure's gateways, IIS), IPv6 in brackets then.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let alone = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    alone.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn url(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap().url
    }

    #[test]
    fn a_foreign_host_name_is_refused() {
        let config = Config { allowed_hosts: vec!["box.lan".into(), "10.0.0.5:8443".into()], ..Config::default() };
        let public = url("https://gpu.example.com/prefix");
        let outside = IpAddr::from([0, 0, 0, 0]);
        for host in ["gpu.example.com", "GPU.example.com:443", "box.lan", "box.lan:99", "10.0.0.5:8443"] {
            assert!(answers_to(&config, &public, outside, host), "{host}");
        }
        for host in [
            "evil.example",
            "gpu.example.com:444",
            "gpu.example.com.evil.example",
            "10.0.0.5",
            "localhost",
            "",
            "gpu.example.com/x",
            "a@gpu.example.com",
            "gpu.example.com evil",
            "127.0.0.1:11435",
        ] {
            assert!(!answers_to(&config, &public, outside, host), "{host}");
        }
    }

    #[test]
    fn every_loopback_name_is_accepted_on_loopback() {
        let (config, public, here) = (Config::default(), url("http://127.0.0.1:11435"), IpAddr::from([127, 0, 0, 1]));
        for host in ["localhost:11435", "127.0.0.1:8000", "[::1]:11435"] {
            assert!(answers_to(&config, &public, here, host), "{host}");
        }
        assert!(!answers_to(&config, &public, here, "evil.example:11435"));
    }

    #[test]
    fn only_trusted_proxies_may_set_the_client_address() {
        let config = Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() };
        let of = |peer: [u8; 4], values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let (address, problem) = client_address(&config, &headers, IpAddr::from(peer));
            (address.to_string(), problem)
        };
        let understood = |text: &str| (text.to_owned(), None);
        let untrusted = ("192.0.2.1".to_owned(), Some(ForwardedForProblem::Untrusted));
        assert_eq!(of([192, 0, 2, 1], &["198.51.100.7"]), untrusted);
        assert_eq!(of([192, 0, 2, 1], &[]), understood("192.0.2.1"));
        assert_eq!(of([10, 0, 0, 1], &["198.51.100.7"]), understood("198.51.100.7"));
        assert_eq!(of([10, 0, 0, 1], &["1.2.3.4, 198.51.100.7, 10.0.0.9"]), understood("198.51.100.7"));
        assert_eq!(of([10, 0, 0, 1], &["1.2.3.4", "198.51.100.7"]), understood("198.51.100.7"));
        assert_eq!(of([10, 0, 0, 1], &[]), understood("10.0.0.1"));
        // With a port, as some proxies write it.
        assert_eq!(of([10, 0, 0, 1], &["198.51.100.7:5678"]), understood("198.51.100.7"));
        assert_eq!(of([10, 0, 0, 1], &["1.2.3.4:5, 198.51.100.7:65535, 10.0.0.9:1"]), understood("198.51.100.7"));
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(of([10, 0, 0, 1], &[text]), understood("2001:db8::1"), "{text}");
        }
        for text in ["nonsense", "unknown", "", "1.2.3.4:", "1.2.3.4:99999", "[1.2.3.4", "2001:db8::1]:443"] {
            let unreadable = ("10.0.0.1".to_owned(), Some(ForwardedForProblem::Unreadable));
            assert_eq!(of([10, 0, 0, 1], &[text]), unreadable, "{text}");
        }
        // What a caller put in front cannot hide what the proxy added, nor bring an older line to the fore.
        let odd: &[u8] = b"\xff, 198.51.100.7";
        let headers: HeaderMap = [&b"1.2.3.4"[..], odd]
            .into_iter()
            .map(|value| ("x-forwarded-for".parse().unwrap(), HeaderValue::from_bytes(value).unwrap()))
            .collect();
        assert_eq!(client_address(&config, &headers, IpAddr::from([10, 0, 0, 1])).0.to_string(), "198.51.100.7");
    }

    #[test]
    fn a_quarter_is_for_one_address_and_all_for_a_proxy() {
        let mut config = Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() };
        let [proxy, other] = ["::ffff:10.0.0.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        assert_eq!((share(&config, other, 10_000), share(&config, other, 2)), (2_500, MIN_CONNECTIONS_PER_ADDRESS));
        config.max_connections_per_address = 7;
        assert_eq!((share(&config, other, 10_000), share(&config, proxy, 10_000)), (7, 10_000));
    }
}
