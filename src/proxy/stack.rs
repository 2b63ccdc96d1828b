//! What a request goes through, top to bottom:
//!
//! 1. `access_check`: the caller's account, the `Host`, and whether a page sent it
//! 2. preflight requests of browsers (CORS)
//! 3. `access_check` again: the token
//! 4. `target`, `request_policy`: a path and parameters that mean one thing, and nothing of the account
//! 5. the host, with the credential that is stored now

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::access_check::AccessCheck;
use super::credential::CurrentCredential;
use super::owner::Owner;
use super::request_policy::{check_route, decode_query};
use crate::api::Forwarded;
use crate::gateway::{Dialect, Rejection, Target, decode_model, redirect};
use crate::http::{CoalescedBody, Relay, ResetOnClose, headers};

/// The host refused the credential.
#[derive(Clone, Copy, Debug)]
pub struct CredentialRefused {
    /// Seconds by which this machine's clock is ahead of the host's (negative: behind), when that is more than a minute.
    pub skew: Option<i64>,
}

/// Answers every request.
pub struct Stack {
    access_check: AccessCheck,
    credential: CurrentCredential,
    on_refused: Box<dyn Fn(CredentialRefused) + Send + Sync>,
    /// The number of the first credential for which `on_refused` was not called yet.
    unreported: AtomicU64,
}

impl Stack {
    /// `on_refused` is called once for each credential, when the host first answers 401.
    pub fn new(
        access_check: AccessCheck,
        credential: CurrentCredential,
        on_refused: Box<dyn Fn(CredentialRefused) + Send + Sync>,
    ) -> Self {
        Self { access_check, credential, on_refused, unreported: AtomicU64::new(0) }
    }

    /// Answers a request. Sets `reset` when the response is truncated and the caller's protocol cannot show it.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        owner: Owner,
        reset: ResetOnClose,
    ) -> Result<Response<Body>, Infallible> {
        let (mut parts, body) = request.into_parts();
        let base = self.access_check.base(parts.uri.path());
        decode_model(&mut parts, &base);
        // From HTTP/1.1 on the end of a body is marked, so that a truncated one is noticed.
        let reset = if parts.version == Version::HTTP_10 { reset } else { ResetOnClose::default() };
        let page = self.access_check.owner(owner).and_then(|()| self.access_check.page(&parts.headers));
        let (page, answered) = match page {
            Ok(page) => {
                let answered = self.admit(&parts, &base, page.as_ref(), body, reset).await;
                (page, answered)
            }
            Err(rejection) => (None, Err(rejection)),
        };
        // The log does not show the token.
        let without_base = |text: &str| text.replacen(&base, "", 1);
        let path = without_base(parts.uri.path());
        let mut response = answered.unwrap_or_else(|rejection| {
            let reason = without_base(rejection.message());
            tracing::debug!(status = rejection.status(), reason, "request rejected");
            rejection.with_dialect(Dialect::of(&path)).into_response()
        });
        tracing::debug!(method = %parts.method, path, status = response.status().as_u16(), "request answered");
        protect(response.headers_mut(), page);
        Ok(response)
    }

    async fn admit(
        &self,
        parts: &Parts,
        base: &str,
        page: Option<&HeaderValue>,
        body: Incoming,
        reset: ResetOnClose,
    ) -> Result<Response<Body>, Rejection> {
        if parts.method == Method::OPTIONS
            && page.is_some()
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Ok(preflight(&parts.headers));
        }
        self.access_check.token(base, &parts.headers)?;
        if let Some(redirect) = redirect(parts, base) {
            return Err(redirect);
        }
        let target = Target::read(parts, base)?;
        check_route(&target)?;
        let pairs = decode_query(target.query.unwrap_or_default())?;
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.forward(parts, target.path, &pairs, body, reset).await
    }

    async fn forward(
        &self,
        parts: &Parts,
        path: &str,
        query: &[(&str, &str)],
        body: Incoming,
        reset: ResetOnClose,
    ) -> Result<Response<Body>, Rejection> {
        let request =
            Forwarded { method: parts.method.clone(), path, query, headers: forwardable(&parts.headers), body };
        let (forwarder, generation) = self.credential.get().await?;
        let answer = forwarder.send(request).await.map_err(|error| {
            tracing::warn!(%error, "upstream request failed");
            Rejection::new(502, format!("bad gateway: {error}"))
        })?;
        let (mut parts, body) = answer.into_parts();
        if parts.status.is_informational() {
            // 101: no other protocol was asked for.
            return Err(Rejection::new(502, "bad gateway: the host switched to another protocol"));
        }
        if parts.status == StatusCode::UNAUTHORIZED
            && self.unreported.fetch_max(generation + 1, Ordering::Relaxed) <= generation
        {
            (self.on_refused)(CredentialRefused { skew: forwarder.skew(&parts.headers) });
        }
        headers::strip_response_headers(&mut parts.headers);
        // Not the host's version: in HTTP/1.1 a truncated response can be distinguished from a complete one.
        parts.version = Version::HTTP_11;
        // What a host tells a browser about itself does not hold for this proxy.
        headers::remove_matching(&mut parts.headers, |name| {
            ["set-cookie", "set-cookie2", "alt-svc", "strict-transport-security", "clear-site-data"].contains(&name)
        });
        Ok(Response::from_parts(parts, Body::new(Relay::unfiltered(CoalescedBody::new(body), reset))))
    }
}

/// The headers that are forwarded to the host: nothing of a credential, and nothing that a browser says about the page, which is checked
/// here.
fn forwardable(sent: &HeaderMap) -> HeaderMap {
    let mut out = sent.clone();
    headers::strip_request_headers(&mut out);
    headers::remove_matching(&mut out, |name| {
        ["sec-", "proxy-"].iter().any(|prefix| name.starts_with(prefix))
            || ["referer", "cookie2", "api-key", "x-goog-api-key"].contains(&name)
    });
    out
}

/// Answers a preflight request: the page may ask.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, DELETE"));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    // A page from the internet may reach this machine (Private Network Access).
    if asked.get("access-control-request-private-network").is_some_and(|value| value == "true") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Adds the headers of every response: only the allowed page may read it, and no browser shows it as a page, whose scripts would have the
/// origin of this proxy.
fn protect(headers: &mut HeaderMap, page: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    if let Some(page) = page {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
    }
}
