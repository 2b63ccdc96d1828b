//! The address of a server as `OLLAMA_HOST` and `--host` give it.
//!
//! The rules are those of stock Ollama (`envconfig.ConnectableHost`), case by case in `hosts.json` of the tests. Where
//! stock would quietly talk to a malformed host, this says what is wrong instead.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use url::{Host, Url};

use super::origin::{Origin, Scheme};

/// The port of an Ollama server when the value names neither scheme nor port.
const OLLAMA_PORT: u16 = 11434;

/// The base address of a server: an [`Origin`] and the path that every request path is appended to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    origin: Origin,
    path: String,
}

/// What [`BaseUrl::parse`] read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The address.
    pub url: BaseUrl,
    /// Set when part of the value was replaced by a default; a sentence for the user.
    pub warning: Option<String>,
}

/// Why a value is not the address of a server. No message repeats a part that may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// `user:password@host`.
    #[error(
        "the host value has a user name or password in it ('@'); credentials in a URL are refused: remove that part and sign in, or set OLLAMA_API_KEY"
    )]
    Credentials,
    /// A query or fragment follows the address.
    #[error("the host value {before:?} is followed by {mark:?}: an address has no query and no fragment")]
    QueryOrFragment {
        /// The text before the mark.
        before: String,
        /// `?` or `#`.
        mark: char,
    },
    /// A scheme that is neither `http` nor `https`.
    #[error("host {value:?} has the scheme {scheme:?}: only http and https are possible")]
    Scheme {
        /// The value as given.
        value: String,
        /// The scheme as given.
        scheme: String,
    },
    /// `http:/host`.
    #[error("host {value:?} has a single slash after its scheme: write {scheme}://")]
    SingleSlash {
        /// The value as given.
        value: String,
        /// The scheme as given.
        scheme: String,
    },
    /// Port 0, on which a server can be started but never reached.
    #[error("host {value:?} names port 0, which cannot be connected to")]
    PortZero {
        /// The value as given.
        value: String,
    },
    /// Not a host name or address.
    #[error("host {value:?} is not an address: {reason}")]
    Invalid {
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl BaseUrl {
    /// Reads a value of `OLLAMA_HOST` or `--host` as stock Ollama does: spaces and quotes around it are dropped, an
    /// empty value is the local server, `ollama.com` alone is https, unspecified addresses become loopback, and a port
    /// that is not a number or out of range becomes the scheme's default with a warning.
    ///
    /// # Errors
    /// [`HostError`] when the value holds credentials, a query or a fragment, or is not an address.
    pub fn parse(value: &str) -> Result<Parsed, HostError> {
        let value = value.trim().trim_matches(['"', '\'']).trim();
        refuse_unsafe(value)?;

        let (scheme, rest) = split_scheme(value)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_authority(authority);
        let (scheme, default_port) = match scheme {
            Some(scheme) => (scheme, scheme.default_port()),
            // Stock does this for exactly "ollama.com"; a path or capitals must not turn the same host into plain http.
            None if port.is_none() && host.eq_ignore_ascii_case("ollama.com") => (Scheme::Https, 443),
            None => (Scheme::Http, OLLAMA_PORT),
        };

        let (port, warning) = match port {
            None => (default_port, None),
            Some(text) => match text.parse::<i32>().ok().and_then(|n| u16::try_from(n).ok()) {
                Some(0) => {
                    return Err(HostError::PortZero { value: value.to_owned() });
                }
                Some(port) => (port, None),
                None => (
                    default_port,
                    Some(format!(
                        "port {text:?} of host {value:?} is not a number from 1 to 65535; using {default_port}"
                    )),
                ),
            },
        };

        let (host, path) = canonical(value, scheme, host, path)?;
        Ok(Parsed { url: Self { origin: Origin::from_parts(scheme, host, port), path }, warning })
    }

    /// `https://ollama.com`.
    pub fn ollama_com() -> Self {
        Self { origin: Origin::from_parts(Scheme::Https, "ollama.com".to_owned(), 443), path: String::new() }
    }

    /// The local server, `http://127.0.0.1:11434`.
    pub fn local() -> Self {
        Self {
            origin: Origin::from_parts(Scheme::Http, Ipv4Addr::LOCALHOST.to_string(), OLLAMA_PORT),
            path: String::new(),
        }
    }

    /// Scheme, host and port: what a credential belongs to.
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The same, for looking at.
    pub fn as_origin(&self) -> &Origin {
        &self.origin
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.origin.scheme()
    }

    /// The host as written in a URL: lower case, punycode, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.origin.host()
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.origin.port()
    }

    /// `""` or `"/prefix"`: it never ends in a slash. It is sent with every request and never signed.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address with its port always written out.
    pub fn connect_form(&self) -> String {
        format!("{}://{}:{}{}", self.scheme(), self.host(), self.port(), self.path)
    }

    /// The URL of a request for `path` (which starts with a slash, and may end in a query) at this server.
    pub fn join(&self, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{self}{slash}{path}")
    }

    /// See [`Origin::is_ollama_com`].
    pub fn is_ollama_com(&self) -> bool {
        self.origin.is_ollama_com()
    }

    /// See [`Origin::is_loopback`].
    pub fn is_loopback(&self) -> bool {
        self.origin.is_loopback()
    }

    /// The addresses at loopback to which the host can lead; none if it is another.
    pub fn loopback_addresses(&self) -> Vec<IpAddr> {
        self.origin.loopback_addresses()
    }

    /// The name of the profile made for this server: the host, with `:port` where the port is not the scheme's
    /// default, and always for plain http, so that a host's two schemes do not share a name. The base path is left out.
    pub fn profile_name(&self) -> String {
        let authority = self.origin.authority();
        let plain = self.scheme() == Scheme::Http && self.port() == Scheme::Http.default_port();
        if plain { format!("{authority}:{}", self.port()) } else { authority }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// There is no `http://` or `https://` in front.
    #[error("an origin starts with http:// or https://")]
    NoScheme,
    /// A path follows the host.
    #[error("an origin has no path, but this one has {0:?}")]
    HasPath(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0}")]
    Port(String),
    /// The host is not one.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if !value.contains("://") {
            return Err(OriginError::NoScheme);
        }
        let parsed = BaseUrl::parse(value)?;
        if let Some(warning) = parsed.warning {
            return Err(OriginError::Port(warning));
        }
        if !parsed.url.path().is_empty() {
            return Err(OriginError::HasPath(parsed.url.path().to_owned()));
        }
        Ok(parsed.url.origin())
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = Self::parse(&text).map_err(serde::de::Error::custom)?;
        match parsed.warning {
            // A file must not mean another address than the one it names.
            Some(warning) => Err(serde::de::Error::custom(warning)),
            None => Ok(parsed.url),
        }
    }
}

/// Refuses what could hide a credential or read differently elsewhere, before anything of the value can be repeated.
fn refuse_unsafe(value: &str) -> Result<(), HostError> {
    if value.contains('@') {
        return Err(HostError::Credentials);
    }
    if let Some((at, mark)) = value.char_indices().find(|(_, c)| matches!(c, '?' | '#')) {
        return Err(HostError::QueryOrFragment { before: value[..at].to_owned(), mark });
    }
    if value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(invalid(value, "it holds a space, a control character or a backslash"));
    }
    Ok(())
}

fn split_scheme(value: &str) -> Result<(Option<Scheme>, &str), HostError> {
    let Some((scheme, rest)) = value.split_once("://") else {
        return match value.split_once(":/") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
                Err(HostError::SingleSlash { value: value.to_owned(), scheme: scheme.to_owned() })
            }
            _ => Ok((None, value)),
        };
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Some(Scheme::Http), rest)),
        "https" => Ok((Some(Scheme::Https), rest)),
        _ => Err(HostError::Scheme { value: value.to_owned(), scheme: scheme.to_owned() }),
    }
}

/// Splits `host:port` by the rules of Go's `net.SplitHostPort`; what those refuse is a host without a port.
fn split_authority(authority: &str) -> (&str, Option<&str>) {
    let Some((host, port)) = authority.rsplit_once(':') else {
        return (authority, None);
    };
    if port.contains(['[', ']']) {
        return (authority, None);
    }
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) if !inner.contains(['[', ']']) => (inner, Some(port)),
        None if !host.contains([':', '[', ']']) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Host and path in the one form that is compared and stored.
fn canonical(value: &str, scheme: Scheme, host: &str, path: &str) -> Result<(String, String), HostError> {
    if host.contains('%') {
        return Err(invalid(value, "percent signs and IPv6 zones are not possible in a host"));
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let host = match bare.parse::<IpAddr>() {
        Ok(address) => url_form(address),
        Err(_) if host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
        Err(_) => host.to_owned(),
    };

    let url = Url::parse(&format!("{scheme}://{host}/{path}")).map_err(|err| invalid(value, &err.to_string()))?;
    let host = match url.host() {
        // The parser also reads short and hexadecimal IPv4 forms: they end up here.
        Some(Host::Ipv4(address)) => url_form(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => url_form(IpAddr::V6(address)),
        Some(Host::Domain(name)) => name.to_owned(),
        None => return Err(invalid(value, "it has no host")),
    };
    // Stock joins paths with doubled slashes removed.
    let path = url
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .fold(String::new(), |joined, segment| joined + "/" + segment);
    Ok((host, path))
}

/// An address as written in a URL. One that a server can listen on but no client can connect to becomes loopback.
fn url_form(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) if v6.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => url_form(IpAddr::V4(v4)),
            None => format!("[{v6}]"),
        },
    }
}

fn invalid(value: &str, reason: &str) -> HostError {
    HostError::Invalid { value: value.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
