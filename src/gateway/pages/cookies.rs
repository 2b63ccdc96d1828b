//! The cookies of a session and of a visitor who is not signed in yet; that of a browser that has signed in before is in
//! `known_browser`.
//!
//! All are `HttpOnly` and `SameSite=Strict`. Over https their names have a prefix for which browsers enforce that.
//!
//! The CSRF token of a form is an HMAC of the browser's cookie under the gateway's secret. No state is stored, so requests cannot
//! fill the memory.

use hmac::{Hmac, Mac as _};
use http::header::{COOKIE, ORIGIN};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::address::{BaseUrl, Scheme};
use crate::gateway::host;
use crate::gateway::secret::{self, Secret};

/// Of 32 bytes in base64url.
const LENGTH: usize = 43;

/// The name of a cookie.
pub fn name(public: &BaseUrl, purpose: CsrfPurpose) -> String {
    let base = match purpose {
        CsrfPurpose::Visitor => "ollama-auth-visitor",
        CsrfPurpose::Session => "ollama-auth-session",
    };
    full_name(public, base)
}

/// A cookie's name with what the public address adds. Over plain http that is the port, since a browser gives cookies to all ports
/// of a host.
pub fn full_name(public: &BaseUrl, base: &str) -> String {
    match (public.scheme(), public.path()) {
        (Scheme::Https, "") => format!("__Host-{base}"),
        (Scheme::Https, _) => format!("__Secure-{base}"),
        (Scheme::Http, _) => format!("{base}-{}", public.port()),
    }
}

/// The value of that cookie; `None` if it is there twice, since only one of them can be ours.
pub fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = pairs
        .flat_map(|pairs| pairs.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(key, value)| (key == name).then_some(value));
    let value = values.next()?;
    let shaped = value.len() == LENGTH && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (shaped && values.next().is_none()).then(|| value.to_owned())
}

/// The `Set-Cookie` that gives a browser that cookie until it is closed.
pub fn set(public: &BaseUrl, purpose: CsrfPurpose, value: &str) -> String {
    format!("{}={value}; {}", name(public, purpose), attributes(public))
}

/// The attributes of every cookie.
pub fn attributes(public: &BaseUrl) -> String {
    let secure = if public.scheme() == Scheme::Https { "; Secure" } else { "" };
    let path = if public.path().is_empty() { "/" } else { public.path() };
    format!("Path={path}; HttpOnly; SameSite=Strict{secure}")
}

/// The `Set-Cookie` that removes it.
pub fn remove(public: &BaseUrl, purpose: CsrfPurpose) -> String {
    format!("{}; Max-Age=0", set(public, purpose, ""))
}

/// The secret that tokens are made with.
pub struct Csrf(Zeroizing<[u8; 32]>);

/// Which cookie a token belongs to. A token for one is not accepted for the other.
#[derive(Clone, Copy)]
pub enum CsrfPurpose {
    /// Forms before the sign-in.
    Visitor,
    /// Forms during a session.
    Session,
}

impl Csrf {
    /// Those of gateways with the same secret are the same.
    pub fn new(secret: &Secret) -> Self {
        Self(secret.key("forms"))
    }

    /// The token for a browser with that cookie: 64 hex digits.
    pub fn token(&self, purpose: CsrfPurpose, cookie: &str) -> String {
        self.mac(purpose, cookie).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `token` is the token of that cookie. Takes the same time wherever they differ.
    pub fn verify(&self, purpose: CsrfPurpose, cookie: &str, token: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..token.len())
            .step_by(2)
            .map(|at| token.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .collect();
        bytes.is_some_and(|bytes| self.mac(purpose, cookie).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, purpose: CsrfPurpose, cookie: &str) -> Hmac<Sha256> {
        let mut mac = secret::mac(&self.0);
        mac.update(match purpose {
            CsrfPurpose::Visitor => b"visitor\0",
            CsrfPurpose::Session => b"session\0",
        });
        mac.update(cookie.as_bytes());
        mac
    }
}

/// Whether the headers of a POST say that it comes from a page of another site. Browsers set them, and pages cannot change them.
///
/// `named` is the `Host` of the request, if the gateway answers to that name: a page that was opened under it is ours. A page of another
/// port, scheme or name is not, even on this machine.
pub fn is_foreign(headers: &HeaderMap, public: &BaseUrl, named: Option<&str>) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return true;
    }
    let named = named.and_then(|host| host::named(public.scheme(), host)).map(|url| url.origin().to_string());
    let public = public.origin().to_string();
    let is_ours =
        |origin: &[u8]| origin == public.as_bytes() || named.as_ref().is_some_and(|name| origin == name.as_bytes());
    // Browsers send `null` where a proxy in front has added `Referrer-Policy: no-referrer` to our pages. Any sandboxed page sends it
    // too, hence the second condition.
    let is_null = |origin: &HeaderValue| origin == "null" && site == Some(b"same-origin".as_slice());
    headers.get_all(ORIGIN).iter().any(|origin| !(is_ours(origin.as_bytes()) || is_null(origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap().url
    }

    #[test]
    fn cookies_are_as_strict_as_the_address_allows() {
        let strict = "HttpOnly; SameSite=Strict";
        assert_eq!(
            set(&url("https://gate.example"), CsrfPurpose::Session, "v"),
            format!("__Host-ollama-auth-session=v; Path=/; {strict}; Secure")
        );
        assert_eq!(
            set(&url("https://gate.example/models"), CsrfPurpose::Visitor, "v"),
            format!("__Secure-ollama-auth-visitor=v; Path=/models; {strict}; Secure")
        );
        let plain = url("http://127.0.0.1:11435");
        assert_eq!(set(&plain, CsrfPurpose::Session, "v"), format!("ollama-auth-session-11435=v; Path=/; {strict}"));
        assert!(remove(&plain, CsrfPurpose::Session).ends_with("; Max-Age=0"));
    }

    #[test]
    fn a_cookie_is_read_only_if_it_is_unique_and_well_formed() {
        let value = "a".repeat(43);
        let read_from = |lines: &[String]| {
            let lines = lines.iter().map(|line| (COOKIE, line.parse().unwrap()));
            read(&lines.collect(), "n")
        };
        assert_eq!(read_from(&[format!("m=1; n={value}")]), Some(value.clone()));
        assert_eq!(read_from(&["m=1".to_owned(), format!("n={value};x")]), Some(value.clone()));
        for wrong in
            ["n=short".to_owned(), format!("n={}\"", &value[1..]), format!("N={value}"), format!("n={value}; n=x")]
        {
            assert_eq!(read_from(std::slice::from_ref(&wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_valid_for_its_cookie_purpose_and_process_only() {
        let csrf = || Csrf::new(&Secret::random().unwrap());
        let (csrf, other) = (csrf(), csrf());
        let token = csrf.token(CsrfPurpose::Visitor, "cookie");
        assert!(token.len() == 64 && csrf.verify(CsrfPurpose::Visitor, "cookie", &token));
        assert!(
            !csrf.verify(CsrfPurpose::Session, "cookie", &token)
                && !csrf.verify(CsrfPurpose::Visitor, "cookif", &token)
        );
        assert!(!other.verify(CsrfPurpose::Visitor, "cookie", &token));
        for wrong in ["", "0", "zz", "ää", &token[..62], &format!("{token}00"), &token.replace(['0', '1'], "2")] {
            assert!(!csrf.verify(CsrfPurpose::Visitor, "cookie", wrong), "{wrong}");
        }
    }

    #[test]
    fn requests_from_other_sites_are_recognized() {
        let public = BaseUrl::parse("https://gate.example/models").unwrap().url;
        let foreign = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            is_foreign(&headers, &public, Some("box.lan:443"))
        };
        assert!(!foreign(&[]) && !foreign(&[("origin", "https://gate.example")]));
        assert!(!foreign(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(!foreign(&[("origin", "https://box.lan")]), "opened under another of our names");
        for origin in [
            "http://box.lan",
            "https://box.lan:444",
            "https://box.lan.evil.example",
            "https://evil.example",
            "http://gate.example",
            "https://gate.example:444",
            "null",
            "",
        ] {
            assert!(foreign(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "new-fangled"] {
            assert!(foreign(&[("origin", "https://gate.example"), ("sec-fetch-site", site)]), "{site}");
        }
        assert!(foreign(&[("origin", "https://gate.example"), ("origin", "https://evil.example")]));
    }
}
