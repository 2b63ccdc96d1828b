//! The name of an issuer, which is the address at which it says what it is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

/// In bytes.
const LONGEST: usize = 512;

/// An issuer, compared as it is written: https, or http on this machine, without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerUrl(Arc<str>);

/// Why a text is not an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IssuerUrlError {
    /// Not a URL of a server.
    #[error("{0:?} is not a URL such as https://token.example.com")]
    Malformed(String),
    /// It would be read unencrypted from another machine.
    #[error("{0:?} must begin with https:// (http:// is for this machine alone)")]
    Plain(String),
    /// It has more than a host and a path.
    #[error("{0:?} must have no user name, query or fragment")]
    Parts(String),
}

impl IssuerUrl {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host name.
    pub fn host(&self) -> String {
        Url::parse(&self.0).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Whether it is read by plain http, from this machine.
    pub fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }

    /// Where it describes itself (OpenID Connect Discovery 1.0, section 4).
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

/// A URL that a request may be sent to: https, or http on this machine.
///
/// # Errors
/// [`IssuerUrlError`].
pub fn endpoint(text: &str) -> Result<Url, IssuerUrlError> {
    let shown = || text.chars().take(120).collect::<String>();
    let malformed = || IssuerUrlError::Malformed(shown());
    let has_oddities =
        text.len() > 4 * LONGEST || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    let url = Url::parse(text).ok().filter(|_| !has_oddities).ok_or_else(malformed)?;
    let is_local = match url.host().ok_or_else(malformed)? {
        Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(address).is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    if !(url.scheme() == "https" || url.scheme() == "http" && is_local) {
        return Err(if url.scheme() == "http" { IssuerUrlError::Plain(shown()) } else { malformed() });
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(IssuerUrlError::Parts(shown()));
    }
    Ok(url)
}

impl FromStr for IssuerUrl {
    type Err = IssuerUrlError;

    fn from_str(text: &str) -> Result<Self, IssuerUrlError> {
        let url = endpoint(text)?;
        match url.query() {
            Some(_) => Err(IssuerUrlError::Parts(text.to_owned())),
            None if text.len() > LONGEST => Err(IssuerUrlError::Malformed(text.chars().take(120).collect())),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for IssuerUrl {
    type Error = IssuerUrlError;

    fn try_from(text: String) -> Result<Self, IssuerUrlError> {
        text.parse()
    }
}

impl From<IssuerUrl> for String {
    fn from(url: IssuerUrl) -> Self {
        url.as_str().to_owned()
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_on_this_machine() {
        let of = |text: &str| text.parse::<IssuerUrl>().map(|url| url.to_string());
        for good in [
            "https://token.example.com",
            "https://a.example/realms/x/",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost:1/a",
        ] {
            assert_eq!(of(good).as_deref(), Ok(good));
        }
        for bad in [
            "http://a.example",
            "http://localhost.example",
            "ftp://a.example",
            "a.example",
            "",
            "https://",
            "https://a\\@b.example",
            "https://a.example/ x",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        for parts in ["https://u@a.example", "https://a.example?x=1", "https://a.example/#x", "https://:p@a.example"] {
            assert_eq!(of(parts), Err(IssuerUrlError::Parts(parts.to_owned())));
        }
    }

    #[test]
    fn it_is_compared_as_it_is_written() {
        let of = |text: &str| text.parse::<IssuerUrl>().unwrap();
        assert_ne!(of("https://a.example"), of("https://a.example/"));
        assert_eq!(of("https://a.example/b/").discovery(), "https://a.example/b/.well-known/openid-configuration");
        assert_eq!(of("https://A.example:8443/b").host(), "a.example");
    }
}
