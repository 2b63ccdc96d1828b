//! Who may use the proxy: a program of this account, or one that knows the token; never a web page that was not allowed.
//!
//! The token is a local secret that programs send and that is not forwarded.
//!
//! A browser lets any page send requests to a loopback port. It announces that in `Origin` and `Sec-Fetch-Site`, and, where the page
//! pointed a name of its own at this machine (DNS rebinding), in `Host`.

use std::str::FromStr;

use axum::http::header;
use axum::http::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::address::{OriginPattern, OriginPatternError, PageOrigin, Scheme};
use crate::gateway::{Rejection, host};
use crate::proxy::owner::Owner;

/// Decides who may use the proxy.
pub struct AccessCheck {
    port: u16,
    origins: Vec<AllowedOrigin>,
    token: Option<Token>,
}

impl AccessCheck {
    /// For a listener at that port of loopback.
    pub fn new(port: u16, origins: Vec<AllowedOrigin>, token: Option<Token>) -> Self {
        Self { port, origins, token }
    }

    /// Makes sure that the caller's program runs as this account, unless there is a token.
    ///
    /// # Errors
    /// 403.
    pub fn owner(&self, owner: Owner) -> Result<(), Rejection> {
        let reason = match owner {
            _ if self.token.is_some() => return Ok(()),
            Owner::Ours => return Ok(()),
            Owner::Other(uid) => format!("this proxy serves the account that started it, not account {uid}"),
            Owner::Unknown => {
                "this proxy serves the account that started it, and the caller's account is unknown".to_owned()
            }
        };
        Err(Rejection::new(403, format!("{reason}; to serve others, start it with --token-file FILE")))
    }

    /// Makes sure that the request names this proxy, and that no page sent it except an allowed one. Returns the page's origin, if there is one.
    ///
    /// # Errors
    /// 400 for a request without a `Host` or with two, 403.
    pub fn page(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Rejection> {
        if !self.is_this_proxy(host::the_one(headers)?) {
            let message = format!("this proxy answers to loopback hosts only, such as localhost:{}", self.port);
            return Err(Rejection::new(403, message));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => None,
            (Some(origin), None) => Some(origin),
            (Some(_), Some(_)) => return Err(Rejection::new(403, "a request can have only one Origin header")),
        };
        if let Some(origin) = origin {
            let text = origin.to_str().unwrap_or_default();
            if self.origins.iter().any(|allowed| allowed.is(text)) {
                return Ok(Some(origin.clone()));
            }
            let message = "web pages may not use this proxy; to allow one, start it with --allow-origin ORIGIN";
            return Err(Rejection::new(403, message));
        }
        // Not every request of a page has an origin. This proxy has no pages: `same-origin` means that another program listens at this port,
        // at another address of this machine or earlier.
        if headers.get_all("sec-fetch-site").iter().any(|site| site != "none") {
            return Err(Rejection::new(403, "web pages may not use this proxy"));
        }
        Ok(None)
    }

    /// The base path of a request: the token, if its path begins with that, otherwise nothing. So programs that send no key can have
    /// the token in their base URL.
    pub fn base(&self, path: &str) -> String {
        let first = path.split('/').find(|segment| !segment.is_empty());
        match (&self.token, first) {
            (Some(token), Some(first)) if token.is(first.as_bytes()) => format!("/{first}"),
            _ => String::new(),
        }
    }

    /// Makes sure that the request carries the token, if there is one: as a key, or as its base path.
    ///
    /// # Errors
    /// 401.
    pub fn token(&self, base: &str, headers: &HeaderMap) -> Result<(), Rejection> {
        match &self.token {
            Some(token) if base.is_empty() && !token.is_in(headers) => Err(Rejection::unauthorized(
                "this proxy requires its token, as Authorization: Bearer or x-api-key, or in the base URL: http://HOST/TOKEN",
            )),
            _ => Ok(()),
        }
    }

    /// Whether `host` is a loopback name with this port in its usual form: no other spelling of an address, and not `0.0.0.0`.
    fn is_this_proxy(&self, host: &str) -> bool {
        let Some(named) = host::named(Scheme::Http, host) else { return false };
        let port = if self.port == Scheme::Http.default_port() { String::new() } else { format!(":{}", self.port) };
        let written = [format!("{}{port}", named.host()), format!("{}:{}", named.host(), self.port)];
        named.is_loopback() && named.port() == self.port && written.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// Why a text cannot be allowed as an origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// A pattern, or `null`, which any page can send.
    #[error("{0:?} would let every page use your credential")]
    EveryPage(String),
    /// Something else.
    #[error(transparent)]
    Malformed(OriginPatternError),
}

/// The origin of a page that may use the proxy: one, since every page of a pattern would use the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(OriginPattern);

impl AllowedOrigin {
    /// Whether the value of an `Origin` header is this origin.
    pub fn is(&self, header: &str) -> bool {
        PageOrigin::parse(header).is_some_and(|page| self.0.matches(page))
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        match text.parse::<OriginPattern>() {
            Ok(origin) if origin.is_exact() => Ok(Self(origin)),
            Ok(_) | Err(OriginPatternError::EveryPage(_)) => Err(OriginError::EveryPage(text.to_owned())),
            Err(error) => Err(OriginError::Malformed(error)),
        }
    }
}

/// A shorter token could be guessed: nothing slows down attempts from the same machine.
const MIN_LENGTH: usize = 16;
/// The longest token, which has to fit in a header.
const MAX_LENGTH: usize = 4096;

/// A text is not a valid token. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token must be one word of {MIN_LENGTH} to {MAX_LENGTH} printable ASCII characters")]
pub struct InvalidToken;

/// The hash of a token: hashes have equal lengths, and the token itself is not stored.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a text, with the space around it cut off.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn new(text: &SecretString) -> Result<Self, InvalidToken> {
        let word = text.expose_secret().trim();
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(Sha256::digest(word).into())) } else { Err(InvalidToken) }
    }

    /// Whether a request carries it, as `Authorization: Bearer` or as `x-api-key`.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
            let (scheme, word) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(word)
        });
        let keys = headers.get_all("x-api-key").iter().map(axum::http::HeaderValue::as_bytes);
        bearers.chain(keys).any(|word| self.is(word.trim_ascii()))
    }

    /// Whether a word is it.
    fn is(&self, word: &[u8]) -> bool {
        Sha256::digest(word).as_slice().ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn page(access_check: &AccessCheck, headers: &[(&'static str, &'static str)]) -> Result<Option<HeaderValue>, u16> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        access_check.page(&headers).map_err(|rejection| rejection.status())
    }

    #[test]
    fn only_a_loopback_name_with_our_port_is_this_proxy() {
        let access_check = AccessCheck::new(11436, Vec::new(), None);
        for host in ["127.0.0.1:11436", "localhost:11436", "LOCALHOST:11436", "[::1]:11436", "127.0.0.2:11436"] {
            assert_eq!(page(&access_check, &[("host", host)]), Ok(None), "{host}");
        }
        for host in [
            "evil.example:11436",
            "evil.example",
            "localhost",
            "localhost:11435",
            "localhost:11436.evil.example",
            "127.0.0.1.nip.io:11436",
            "0.0.0.0:11436",
            "[::]:11436",
            "127.1:11436",
            "2130706433:11436",
            "a@localhost:11436",
            "localhost:11436/x",
            "",
        ] {
            assert_eq!(page(&access_check, &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(page(&access_check, &[]), Err(400));
        let usual = AccessCheck::new(80, Vec::new(), None);
        assert_eq!(page(&usual, &[("host", "localhost")]), Ok(None));
    }

    #[test]
    fn a_page_is_allowed_by_its_origin_alone() {
        let host = ("host", "localhost:11436");
        let closed = AccessCheck::new(11436, Vec::new(), None);
        let open = AccessCheck::new(11436, vec!["https://app.example".parse().unwrap()], None);
        for site in ["cross-site", "same-site", "odd", ""] {
            assert_eq!(page(&closed, &[host, ("sec-fetch-site", site)]), Err(403), "{site}");
            let allowed = page(&open, &[host, ("origin", "https://app.example"), ("sec-fetch-site", site)]);
            assert_eq!(allowed, Ok(Some(HeaderValue::from_static("https://app.example"))));
        }
        // A program that listens at the same port of another address has pages that seem to be this proxy's.
        let ours = ("origin", "http://localhost:11436");
        for headers in [
            &[host, ours][..],
            &[host, ours, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(page(&closed, headers), Err(403), "{headers:?}");
        }
        assert_eq!(page(&closed, &[host, ("sec-fetch-site", "none")]), Ok(None));
        let own = AccessCheck::new(11436, vec!["http://localhost:11436".parse().unwrap()], None);
        assert!(page(&own, &[host, ours, ("sec-fetch-site", "same-origin")]).is_ok());
        for origin in
            ["null", "https://evil.example", "http://localhost:3000", "https://localhost:11436", "http://", ""]
        {
            assert_eq!(page(&open, &[host, ("origin", origin)]), Err(403), "{origin}");
        }
    }

    #[test]
    fn an_origin_matches_only_itself() {
        let app: AllowedOrigin = "https://App.example:443/".parse().unwrap();
        assert!(app.is("https://app.example") && app.is("https://app.example:443"));
        for other in [
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example:8443",
            "https://app.example/",
            "https://evil.example",
            "null",
            "",
        ] {
            assert!(!app.is(other), "{other}");
        }
        let editor: AllowedOrigin = "vscode-webview://1a2b3c".parse().unwrap();
        assert!(editor.is("vscode-webview://1a2b3c") && !editor.is("vscode-webview://1a2b3d"));
    }

    #[test]
    fn a_wildcard_is_rejected() {
        for text in ["*", "https://*.example", "null"] {
            assert!(matches!(text.parse::<AllowedOrigin>(), Err(OriginError::EveryPage(_))), "{text}");
        }
        for text in ["", "example.com", "https://", "https://a/b", "https://a b", "https://u@a", "file://", "://a"] {
            assert!(matches!(text.parse::<AllowedOrigin>(), Err(OriginError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_token_is_one_long_word() {
        let made = |text: &str| Token::new(&SecretString::from(text)).is_ok();
        assert!(made("0123456789abcdef") && made(" 0123456789abcdef\n"));
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdé\u{e9}", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(!made(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_is_the_first_segment_of_a_path_and_only_whole() {
        let token = Token::new(&SecretString::from("0123456789abcdef")).unwrap();
        let access_check = AccessCheck::new(11436, Vec::new(), Some(token));
        for path in ["/0123456789abcdef", "/0123456789abcdef/api/tags", "//0123456789abcdef//api/tags"] {
            let base = access_check.base(path);
            assert_eq!(base, "/0123456789abcdef", "{path}");
            assert!(access_check.token(&base, &HeaderMap::new()).is_ok());
        }
        for path in
            ["/", "/api/0123456789abcdef", "/0123456789abcde/api/tags", "/0123456789ABCDEF", "/0123456789abcdef%2F"]
        {
            let base = access_check.base(path);
            assert_eq!(base, "", "{path}");
            assert!(access_check.token(&base, &HeaderMap::new()).is_err());
        }
        assert_eq!(AccessCheck::new(11436, Vec::new(), None).base("/0123456789abcdef"), "");
    }

    #[test]
    fn a_token_is_accepted_in_either_header_and_only_whole() {
        let token = Token::new(&SecretString::from("0123456789abcdef")).unwrap();
        let found = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            token.is_in(&headers)
        };
        assert!(
            found("authorization", "Bearer 0123456789abcdef") && found("authorization", "bearer  0123456789abcdef")
        );
        assert!(found("x-api-key", "0123456789abcdef"));
        for (name, value) in [
            ("authorization", "0123456789abcdef"),
            ("authorization", "Basic 0123456789abcdef"),
            ("authorization", "Bearer 0123456789abcde"),
            ("authorization", "Bearer 0123456789abcdef0"),
            ("authorization", "Bearer"),
            ("x-api-key", "0123456789ABCDEF"),
            ("x-api-key", ""),
            ("cookie", "0123456789abcdef"),
        ] {
            assert!(!found(name, value), "{name}: {value}");
        }
    }
}
