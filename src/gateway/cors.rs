//! Pages of other origins (CORS): which of them may use the API from a browser, and read the responses.
//!
//! The gateway alone decides this. `Origin` is not forwarded, and what the upstream server says about origins is not passed on. A page
//! sends its credential itself: no cookie opens a route of the API, so `Access-Control-Allow-Credentials` is never sent.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::active_config::ActiveConfig;
use super::lenient_path;
use super::pages;
use super::rejection::Rejection;
use super::routes::{self, Access, Route};
use super::target::Target;
use crate::address::{OriginPattern, PageOrigin};

/// What a page may read of a response besides the few headers that it always may: when and whether to try again, what is left of a limit,
/// and under which name the request is in a log.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Retry-After, Retry-After-Ms, X-Should-Retry, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, \
     Request-Id, X-Request-Id, X-Ollama-Auth-Gateway, X-Ollama-Auth-Notice, X-Ollama-Auth-Key-Expires, X-Ollama-Auth-Lowered",
);
/// How long a browser may keep the answer to a preflight request, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Whether the page that sent a request, if one did, may read the response.
pub struct PageAccess {
    /// The page's origin as it was sent, if it may.
    allowed: Option<HeaderValue>,
}

impl PageAccess {
    /// Of a request that may be for anything. The web pages and the account endpoints are for no page of another origin.
    pub fn of(request: &Parts, current: &ActiveConfig) -> Self {
        let origin = allowed_origin(&request.headers, &current.allowed_origins);
        Self { allowed: origin.filter(|_| is_open(request, current.url.path())).cloned() }
    }

    /// Writes it into the headers of the response. Every response says that it depends on the origin, so that no cache gives one page the
    /// response to another.
    pub fn write(self, headers: &mut HeaderMap) {
        let varies = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"origin");
        if !headers.get_all(header::VARY).iter().any(varies) {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// Answers a preflight request, by which a browser asks whether a page may send a request. It never carries a credential. `None` for every
/// other request, and for a path without a route that pages may use.
pub fn preflight(request: &Parts, current: &ActiveConfig) -> Option<Result<Response<Body>, Rejection>> {
    let sent = &request.headers;
    let is_preflight = request.method == Method::OPTIONS
        && sent.contains_key(header::ORIGIN)
        && sent.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return None;
    }
    let path = path(request, current.url.path())?;
    let rows = routes::of_path(&path).filter(|route| !is_account(route));
    let methods: Vec<&str> = rows.flat_map(|route| route.methods).copied().collect();
    if methods.is_empty() {
        return None;
    }
    if allowed_origin(sent, &current.allowed_origins).is_none() {
        let message = "pages of this origin may not use the gateway; to allow them, add the origin to allowed-origins";
        return Some(Err(Rejection::new(403, message)));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let names = requested_headers(sent).filter(|name| is_understood(name)).collect::<Vec<_>>().join(", ");
    let lists =
        [(header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")), (header::ACCESS_CONTROL_ALLOW_HEADERS, names)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        headers.extend(HeaderValue::try_from(list).ok().map(|list| (name, list)));
    }
    // An allowed page from the internet may reach a gateway in a private network.
    if sent.get(REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == "true") {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Some(Ok(response))
}

/// The origin of the page that sent a request, if there is exactly one and it is allowed.
fn allowed_origin<'a>(sent: &'a HeaderMap, patterns: &[OriginPattern]) -> Option<&'a HeaderValue> {
    let mut origins = sent.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none())?;
    let page = PageOrigin::parse(origin.to_str().ok()?)?;
    patterns.iter().any(|pattern| pattern.matches(page)).then_some(origin)
}

/// Whether a request is for neither a web page nor an account endpoint. What is for nothing at all is refused, and may be read.
fn is_open(request: &Parts, base: &str) -> bool {
    let Some(path) = path(request, base) else { return true };
    let is_route = routes::find(request.method.as_str(), &path).is_ok();
    let is_page = pages::owns(&path) || pages::answers_browser(&path, is_route, &request.headers);
    !is_page && !routes::of_path(&path).any(is_account)
}

/// The path that is meant, below the base path: a browser asks before it follows a redirect. `None` when it cannot be read.
fn path<'a>(request: &'a Parts, base: &str) -> Option<Cow<'a, str>> {
    match lenient_path::tidied(request, base) {
        Some(tidied) => Some(tidied.into()),
        None => Target::read(request, base).ok().map(|target| target.path.into()),
    }
}

fn is_account(route: &Route) -> bool {
    matches!(route.access, Access::Account(..))
}

fn requested_headers(sent: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = sent.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether a header is one that the routes, or the libraries that call them, use. The list of Ollama, and what the libraries of OpenAI and
/// Anthropic send in a browser.
fn is_understood(name: &str) -> bool {
    const NAMES: [&str; 6] = ["authorization", "x-api-key", "content-type", "accept", "user-agent", "x-requested-with"];
    const PREFIXES: [&str; 3] = ["anthropic-", "openai-", "x-stainless-"];
    let name = name.to_ascii_lowercase();
    // What follows a prefix is a name too: nothing that would end the header or the list.
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_name && (NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_page_is_allowed_by_one_origin_alone() {
        let patterns = ["http://localhost:*", "https://app.example"].map(|text| text.parse().unwrap());
        let allowed =
            |sent: &HeaderMap| allowed_origin(sent, &patterns).map(|origin| origin.to_str().unwrap().to_owned());
        for origin in ["https://app.example", "http://localhost:1"] {
            assert_eq!(allowed(&headers(&[("origin", origin)])).as_deref(), Some(origin));
        }
        let mut twice = headers(&[("origin", "https://app.example")]);
        twice.append(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        assert_eq!((allowed(&twice), allowed(&HeaderMap::new())), (None, None));
        for origin in ["null", "https://evil.example", "http://localhost.evil.com", ""] {
            assert_eq!(allowed(&headers(&[("origin", origin)])), None, "{origin}");
        }
    }

    #[test]
    fn a_response_varies_by_origin_once() {
        let vary = |sent: &[(&'static str, &'static str)]| {
            let mut all = headers(sent);
            PageAccess { allowed: None }.write(&mut all);
            all.get_all(header::VARY).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(vary(&[]), ["Origin"]);
        assert_eq!(vary(&[("vary", "origin")]), ["origin"]);
        assert_eq!(vary(&[("vary", "accept")]), ["accept", "Origin"]);
    }

    #[test]
    fn only_headers_that_the_routes_understand_are_allowed() {
        for name in ["authorization", "X-Api-Key", "content-type", "anthropic-version", "OpenAI-Beta", "x-stainless-os"]
        {
            assert!(is_understood(name), "{name}");
        }
        for name in [
            "",
            "*",
            "cookie",
            "x-ollama-auth-user",
            "x-forwarded-for",
            "x-http-method-override",
            "authorizations",
            "authorization x",
            "openai-a\tb",
            "openai-a:b",
        ] {
            assert!(!is_understood(name), "{name}");
        }
    }
}
