//! The two cookies: of a session, and of a visitor who is not signed in yet.
//!
//! Both are `HttpOnly` and `SameSite=Strict`. Over https their names have a prefix for which browsers enforce that.

use http::HeaderMap;
use http::header::COOKIE;

use super::csrf::CsrfPurpose;
use crate::address::{BaseUrl, Scheme};

/// Of 32 bytes in base64url.
const LENGTH: usize = 43;

/// The name of a cookie. Over plain http it holds the port, since a browser gives cookies to all ports of a host.
pub fn name(public: &BaseUrl, purpose: CsrfPurpose) -> String {
    let base = match purpose {
        CsrfPurpose::Visitor => "ollama-auth-visitor",
        CsrfPurpose::Session => "ollama-auth-session",
    };
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
    let secure = if public.scheme() == Scheme::Https { "; Secure" } else { "" };
    let path = if public.path().is_empty() { "/" } else { public.path() };
    format!("{}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}", name(public, purpose))
}

/// The `Set-Cookie` that removes it.
pub fn remove(public: &BaseUrl, purpose: CsrfPurpose) -> String {
    format!("{}; Max-Age=0", set(public, purpose, ""))
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
}
