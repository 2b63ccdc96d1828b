//! Who may ask: a program of this account, or one that knows the token; never a page that was not allowed.
//!
//! A browser lets any page send requests to a loopback port. It says so in `Origin` and `Sec-Fetch-Site`, and where a page has pointed a
//! name of its own here (DNS rebinding), in `Host`.

use axum::http::header::{self, HeaderMap, HeaderValue};

use super::origin::AllowedOrigin;
use super::owner::Owner;
use super::token::Token;
use crate::address::Scheme;
use crate::gateway::{Rejection, host};

/// What is needed to get in.
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

    /// Makes sure of the account that the caller's program runs as.
    ///
    /// # Errors
    /// 403.
    pub fn owner(&self, owner: Owner) -> Result<(), Rejection> {
        let whose = match owner {
            _ if self.token.is_some() => return Ok(()),
            Owner::Ours => return Ok(()),
            Owner::Other(uid) => format!("this proxy is for the account that started it, and you are account {uid}"),
            Owner::Unknown => {
                "this proxy is for the account that started it, and whose program asks cannot be told".to_owned()
            }
        };
        Err(Rejection::new(403, format!("{whose}; others need a token: ollama-auth proxy --token-file FILE")))
    }

    /// Makes sure that the request names us and that no page made it but one that is allowed. Returns the page's origin, if there is one.
    ///
    /// # Errors
    /// 400 for a request without a `Host` or with two, 403.
    pub fn page(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Rejection> {
        if !self.is_us(host::the_one(headers)?) {
            let message = format!("this proxy answers to 127.0.0.1:{0}, localhost:{0} and the like only", self.port);
            return Err(Rejection::new(403, message));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => None,
            (Some(origin), None) => Some(origin),
            (Some(_), Some(_)) => return Err(Rejection::new(403, "a request comes from one origin")),
        };
        if let Some(origin) = origin {
            let text = origin.to_str().unwrap_or_default();
            if self.origins.iter().any(|allowed| allowed.is(text)) {
                return Ok(Some(origin.clone()));
            }
            let message = "pages do not use this proxy, unless their origin is given with --allow-origin";
            return Err(Rejection::new(403, message));
        }
        // Not every request of a page has an origin. None is a page of ours: one that says so came from who else listens at this port, at
        // another address of this machine or before us.
        if headers.get_all("sec-fetch-site").iter().any(|site| site != "none") {
            return Err(Rejection::new(403, "pages do not use this proxy"));
        }
        Ok(None)
    }

    /// Makes sure that the request carries the token, if there is one.
    ///
    /// # Errors
    /// 401.
    pub fn token(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        match &self.token {
            Some(token) if !token.is_in(headers) => {
                Err(Rejection::unauthorized("this proxy wants its token, as Authorization: Bearer or x-api-key"))
            }
            _ => Ok(()),
        }
    }

    /// Whether `host` is a loopback name with our port, written as it is: no other form of an address, and not `0.0.0.0`.
    fn is_us(&self, host: &str) -> bool {
        let Some(named) = host::named(Scheme::Http, host) else { return false };
        let port = if self.port == Scheme::Http.default_port() { String::new() } else { format!(":{}", self.port) };
        let written = [format!("{}{port}", named.host()), format!("{}:{}", named.host(), self.port)];
        named.is_loopback() && named.port() == self.port && written.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn page(access_check: &AccessCheck, headers: &[(&'static str, &'static str)]) -> Result<Option<HeaderValue>, u16> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        access_check.page(&headers).map_err(|rejection| rejection.status())
    }

    #[test]
    fn only_a_loopback_name_with_our_port_is_us() {
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
    fn a_page_gets_in_by_its_origin_alone() {
        let host = ("host", "localhost:11436");
        let closed = AccessCheck::new(11436, Vec::new(), None);
        let open = AccessCheck::new(11436, vec!["https://app.example".parse().unwrap()], None);
        for site in ["cross-site", "same-site", "odd", ""] {
            assert_eq!(page(&closed, &[host, ("sec-fetch-site", site)]), Err(403), "{site}");
            let allowed = page(&open, &[host, ("origin", "https://app.example"), ("sec-fetch-site", site)]);
            assert_eq!(allowed, Ok(Some(HeaderValue::from_static("https://app.example"))));
        }
        // Who else listens at our port, at another address, has pages that seem to be ours.
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
}
