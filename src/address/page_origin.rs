//! The origins of web pages: as a browser names one in the header `Origin`, and patterns of those that are allowed.
//!
//! Not every page has an [`Origin`](super::Origin) of http or https: `app://obsidian.md` is an editor, `chrome-extension://…` an extension.

use std::str::FromStr;

use thiserror::Error;
use url::Url;

use super::origin::Scheme;

/// An origin as it stands in a header: `scheme://host[:port]`, and nothing before or after it.
#[derive(Clone, Copy, Debug)]
pub struct PageOrigin<'a> {
    scheme: &'a str,
    /// Empty in `file://`.
    host: &'a str,
    /// `None`: the one that the scheme implies.
    port: Option<u16>,
}

impl<'a> PageOrigin<'a> {
    /// Reads the value of an `Origin` header. `None` for everything that is not exactly one origin, such as `null`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split_port(authority);
        let port = match port {
            Some(port) => Some(parse_port(port)?),
            None => None,
        };
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = match in_brackets {
            Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)),
        };
        let port = port.filter(|port| web_scheme(scheme).map(Scheme::default_port) != Some(*port));
        (scheme_fits && host_fits).then_some(Self { scheme, host, port })
    }
}

/// The host, and what follows its colon. Brackets of IPv6 belong to the host.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A port as a browser writes it.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

fn web_scheme(scheme: &str) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().find(|web| web.as_str().eq_ignore_ascii_case(scheme))
}

/// Why a text cannot be allowed as an origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginPatternError {
    /// A star alone, or `null`, which any page can send.
    #[error("{0:?} would allow every page")]
    EveryPage(String),
    /// Something else.
    #[error("{0:?} is not an origin (scheme://host[:port])")]
    Malformed(String),
}

/// The origin of one page, or of several: `https://*.example.com`, `http://localhost:*`, `app://*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Is(String),
    /// With the dot that it begins with.
    EndsWith(String),
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Is(Option<u16>),
    Any,
}

impl OriginPattern {
    /// Whether it allows that page.
    pub fn matches(&self, page: PageOrigin<'_>) -> bool {
        let host = match &self.host {
            HostPattern::Is(host) => host.eq_ignore_ascii_case(page.host),
            HostPattern::EndsWith(domain) => {
                let below = page.host.len().checked_sub(domain.len()).filter(|name| *name > 0);
                below.is_some_and(|at| page.host.as_bytes()[at..].eq_ignore_ascii_case(domain.as_bytes()))
            }
            HostPattern::Any => true,
        };
        let port = match self.port {
            PortPattern::Is(port) => port == page.port,
            PortPattern::Any => true,
        };
        host && port && self.scheme.eq_ignore_ascii_case(page.scheme)
    }

    /// Whether it allows one origin only.
    pub fn is_exact(&self) -> bool {
        matches!((&self.host, &self.port), (HostPattern::Is(_), PortPattern::Is(_)))
    }

    fn parse(text: &str) -> Option<Self> {
        // As it is copied from an address.
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = text.split_once("://")?;
        let (authority, any_port) = authority.strip_suffix(":*").map_or((authority, false), |host| (host, true));
        let is_web = web_scheme(scheme).is_some();
        if authority == "*" && !is_web {
            return Some(Self { scheme: scheme.to_owned(), host: HostPattern::Any, port: PortPattern::Any });
        }
        let (authority, any_name) = authority.strip_prefix("*.").map_or((authority, false), |domain| (domain, true));
        let has_port_twice = any_port && split_port(authority).1.is_some();
        if authority.is_empty() || has_port_twice || authority.contains(['*', '/', '\\', '?', '#', '@', ' ']) {
            return None;
        }
        let written = format!("{scheme}://{authority}");
        // A browser sends the name of such a host in one form: lower case, punycode.
        let canonical = if is_web { Url::parse(&written).ok()?.origin().ascii_serialization() } else { written };
        let PageOrigin { scheme, host, port } = PageOrigin::parse(&canonical)?;
        let host = if any_name { HostPattern::EndsWith(format!(".{host}")) } else { HostPattern::Is(host.to_owned()) };
        let port = if any_port { PortPattern::Any } else { PortPattern::Is(port) };
        Some(Self { scheme: scheme.to_owned(), host, port })
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let every_page = ["*", "null", "http://*", "https://*", "http://*:*", "https://*:*"];
        if every_page.iter().any(|every| text.trim_end_matches('/').eq_ignore_ascii_case(every)) {
            return Err(OriginPatternError::EveryPage(text.to_owned()));
        }
        Self::parse(text).ok_or_else(|| OriginPatternError::Malformed(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        let pattern: OriginPattern = pattern.parse().unwrap();
        PageOrigin::parse(origin).is_some_and(|origin| pattern.matches(origin))
    }

    #[test]
    fn an_exact_origin_matches_only_itself() {
        for (pattern, same) in [
            ("https://App.example:443/", "https://app.example"),
            ("https://app.example", "https://app.example:443"),
            ("http://app.example:80", "http://app.example"),
            ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://0.0.0.0", "http://0.0.0.0"),
            ("vscode-webview://1A2b3c", "vscode-webview://1a2b3c"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert!(allows(pattern, same), "{pattern} {same}");
            assert!(pattern.parse::<OriginPattern>().unwrap().is_exact(), "{pattern}");
        }
        for other in [
            "http://app.example",
            "https://app.example.evil.example",
            "https://evil.example/https://app.example",
            "https://app.example:8443",
            "https://app.example.",
            "https://app.example/",
            "https://app.example:",
            "https://app.example:0443",
            "https://app.example:443:443",
            "https://app.example:99999",
            "https://user@app.example",
            "https://app.example#",
            "https://app.example,https://evil.example",
            " https://app.example",
            "https:app.example",
            "null",
            "",
        ] {
            assert!(!allows("https://app.example", other), "{other}");
        }
        assert!(!allows("vscode-webview://1a2b3c", "vscode-webview://1a2b3d"));
    }

    #[test]
    fn a_star_for_the_port_is_every_port_of_that_host_alone() {
        for origin in ["http://localhost", "http://localhost:80", "http://localhost:3000", "http://LOCALHOST:65535"] {
            assert!(allows("http://localhost:*", origin), "{origin}");
        }
        assert!(allows("http://[::1]:*", "http://[::1]:5173") && !allows("http://[::1]:*", "http://[::2]:5173"));
        for origin in [
            "https://localhost:3000",
            "http://localhost.evil.com",
            "http://localhost.evil.com:3000",
            "http://localhost:1@evil.com",
            "http://localhost:1.evil.com",
            "http://localhost:evil.com",
            "http://localhost:",
            "http://localhost:0",
            "http://localhost:*",
            "http://evil.com#localhost:3000",
            "http://evil.com/localhost:3000",
            "http://evillocalhost:3000",
            "http://[localhost]:3000",
            "http://127.0.0.1:3000",
        ] {
            assert!(!allows("http://localhost:*", origin), "{origin}");
        }
    }

    #[test]
    fn a_star_for_a_name_is_every_name_below_that_domain() {
        assert!(allows("https://*.example.com", "https://chat.example.com"));
        assert!(allows("https://*.example.com", "https://a.b.EXAMPLE.com"));
        assert!(allows("http://*.localhost:*", "http://app.localhost:3000"));
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://chat.example.com.evil.com",
            "https://chat.example.com:8443",
            "http://chat.example.com",
        ] {
            assert!(!allows("https://*.example.com", origin), "{origin}");
        }
    }

    #[test]
    fn a_star_for_the_host_is_every_program_of_a_scheme() {
        for (pattern, origin) in [
            ("app://*", "app://obsidian.md"),
            ("file://*", "file://"),
            ("tauri://*", "tauri://localhost"),
            ("vscode-webview://*", "vscode-webview://08f5q4"),
            ("moz-extension://*", "moz-extension://2c1b1f3e-9a1b-4c6e-8a34-0c8d5d1f0a11"),
        ] {
            assert!(allows(pattern, origin) && !pattern.parse::<OriginPattern>().unwrap().is_exact(), "{pattern}");
        }
        for origin in ["apps://obsidian.md", "http://app", "app:/x", "app://a/b", "app://a@b", "null"] {
            assert!(!allows("app://*", origin), "{origin}");
        }
    }

    #[test]
    fn what_would_allow_every_page_or_none_is_refused() {
        for text in ["*", "null", "NULL", "http://*", "https://*/", "https://*:*"] {
            assert_eq!(text.parse::<OriginPattern>(), Err(OriginPatternError::EveryPage(text.to_owned())), "{text}");
        }
        for text in [
            "",
            "example.com",
            "localhost:3000",
            "https://",
            "https://a/b",
            "https://a//",
            "https:////a",
            "https://a b",
            "https://u@a",
            "https://a?b",
            "https://a\\b",
            "https://a:99999",
            "https://a:8*",
            "https://a:1:*",
            "https://a:443:*",
            "https://a*b.example",
            "https://*example.com",
            "https://*.*.example",
            "https://*.",
            "https://*.:*",
            "*://localhost",
            "file://",
            "app://a:*b",
            "://a",
        ] {
            assert_eq!(text.parse::<OriginPattern>(), Err(OriginPatternError::Malformed(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_allowed_web_origin_is_of_the_allowed_host(origin in "https?://[a-z.:@/#\\[\\]0-9-]{0,30}") {
            let pattern: OriginPattern = "http://localhost:*".parse().unwrap();
            if PageOrigin::parse(&origin).is_some_and(|page| pattern.matches(page)) {
                let url = Url::parse(&origin).unwrap();
                prop_assert_eq!((url.scheme(), url.host_str()), ("http", Some("localhost")));
            }
        }

        #[test]
        fn an_exact_pattern_allows_its_own_origin(text in "(https?|app)://[!-~]{0,20}") {
            if let Ok(pattern) = text.parse::<OriginPattern>() && pattern.is_exact() {
                let url = Url::parse(&text).unwrap();
                let origin = match url.host_str() {
                    Some(_) if web_scheme(url.scheme()).is_some() => url.origin().ascii_serialization(),
                    _ => text.trim_end_matches('/').to_owned(),
                };
                prop_assert!(pattern.matches(PageOrigin::parse(&origin).unwrap()), "{} {}", text, origin);
            }
        }
    }
}
