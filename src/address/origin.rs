//! The origin (scheme, host, port) that a credential belongs to.
//!
//! Two addresses share a credential only when their origins are equal, so an origin is always held in one canonical
//! form: lower-case host, punycode, IPv6 in brackets, explicit port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as written in a URL, without `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme means when it names none: 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Scheme, host and port of a server, in canonical form.
///
/// `Display` leaves out the port that the scheme implies (`https://ollama.com`), and [`FromStr`](std::str::FromStr) reads that form back.
/// In serde an origin is that same string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// `host` must already be canonical, as the `url` crate writes it.
    pub(super) fn from_parts(scheme: Scheme, host: String, port: u16) -> Self {
        Self { scheme, host, port }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as written in a URL: lower case, punycode, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether this is `https://ollama.com` on port 443, and nothing like it.
    pub fn is_ollama_com(&self) -> bool {
        self.scheme == Scheme::Https && self.host == "ollama.com" && self.port == 443
    }

    /// Whether a request may reach ollama.com: under its name, one below it, or with the dot of the root.
    pub fn belongs_to_ollama_com(&self) -> bool {
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        name == "ollama.com" || name.ends_with(".ollama.com")
    }

    /// Whether the host can only be this machine: 127.0.0.0/8, `::1`, `localhost` or a name below `.localhost`.
    pub fn is_loopback(&self) -> bool {
        !self.loopback_addresses().is_empty()
    }

    /// The addresses at loopback to which the host can lead; none if it is another.
    pub fn loopback_addresses(&self) -> Vec<IpAddr> {
        let literal = self.ipv6().map(IpAddr::from).or_else(|| self.host.parse().ok());
        if let Some(address) = literal {
            return if address.is_loopback() { vec![address] } else { Vec::new() };
        }
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        let is_local = name == "localhost" || name.ends_with(".localhost");
        if is_local { vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] } else { Vec::new() }
    }

    /// Whether both are one server: the same origin, or `localhost`, `127.0.0.1` and `::1` with the same scheme and port, which
    /// people use for one another.
    pub fn is_same_server(&self, other: &Self) -> bool {
        let is_local = |origin: &Self| matches!(origin.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        self == other || (self.scheme, self.port) == (other.scheme, other.port) && is_local(self) && is_local(other)
    }

    /// The host, followed by `:port` where the port is not the scheme's default.
    pub(super) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    fn ipv6(&self) -> Option<Ipv6Addr> {
        self.host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::OriginError;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn the_names_of_this_machine_are_one_server() {
        let same = |one: &str, other: &str| origin(one).is_same_server(&origin(other));
        for name in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(same("http://localhost:8080", name) && same(name, "http://127.0.0.1:8080"));
            for other in ["https://localhost:8080", "http://localhost:8081", "http://127.0.0.2:8080", "http://h:8080"] {
                assert!(!same(name, other), "{name} {other}");
            }
        }
        assert!(same("http://h:8080", "http://h:8080"));
    }

    #[test]
    fn is_written_without_the_port_its_scheme_implies() {
        for (text, shown) in [
            ("https://ollama.com", "https://ollama.com"),
            ("https://OLLAMA.com:443/", "https://ollama.com"),
            ("http://h:80", "http://h"),
            ("http://h:443", "http://h:443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(origin(text).to_string(), shown);
        }
    }

    #[test]
    fn knows_ollama_com_from_its_neighbours() {
        assert!(origin("https://ollama.com").is_ollama_com());
        for other in [
            "http://ollama.com",
            "https://ollama.com:444",
            "https://www.ollama.com",
            "https://ollama.com.",
            "https://ollama.com.evil.example",
        ] {
            assert!(!origin(other).is_ollama_com(), "{other}");
        }
    }

    #[test]
    fn knows_loopback() {
        for yes in [
            "http://127.0.0.1",
            "http://127.9.9.9:1",
            "http://[::1]:2",
            "http://[::ffff:127.0.0.1]",
            "http://localhost",
            "http://a.localhost.",
        ] {
            assert!(origin(yes).is_loopback(), "{yes}");
        }
        for no in [
            "http://128.0.0.1",
            "http://[::2]",
            "http://notlocalhost",
            "http://localhost.example",
            "http://127.0.0.1.nip.io",
        ] {
            assert!(!origin(no).is_loopback(), "{no}");
        }
    }

    #[test]
    fn refuses_what_is_more_or_less_than_an_origin() {
        assert_eq!("ollama.com".parse::<Origin>(), Err(OriginError::NoScheme));
        assert_eq!("https://h/p".parse::<Origin>(), Err(OriginError::HasPath("/p".into())));
        assert!(matches!("https://h:99999".parse::<Origin>(), Err(OriginError::Port(_))));
        assert!(matches!("https://u:p@h".parse::<Origin>(), Err(OriginError::Host(_))));
    }

    #[test]
    fn is_a_string_in_json() {
        let json = serde_json::to_string(&origin("https://h:8443")).unwrap();
        assert_eq!(json, r#""https://h:8443""#);
        assert_eq!(serde_json::from_str::<Origin>(&json).unwrap(), origin("https://h:8443"));
        assert!(serde_json::from_str::<Origin>(r#""h""#).is_err());
    }
}
