//! Forwarding: an [`Authorized`] request goes to the server behind, without anything of the credential, and its answer comes back as it
//! arrives.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;

use super::authn::{By, Caller};
use super::config::Config;
use super::headers;
use super::policy::{Authorized, fault_of_the_sender, filter};
use super::refusal::Refusal;
use super::relay::{Broken, Relay};
use super::routes::Models as Named;
use super::upstream::Upstream;
use crate::address::BaseUrl;

/// A list of models that is filtered is read in full, up to this many bytes.
const LARGEST_LIST: usize = 64 * 1024 * 1024;
/// Sends an authorised request upstream and gives back its answer.
///
/// # Errors
/// 502 when the server behind does not answer, or refuses *us*; 413 and 408 when the body turned out too large or too slow.
pub async fn forward(
    authorized: Authorized,
    method: &Method,
    sent: &HeaderMap,
    upstream: &Upstream,
    config: &Config,
    broken: Broken,
) -> Result<Response<Body>, Refusal> {
    let route = authorized.route();
    let filtered = match route.models {
        Named::Listed(list, members) if !authorized.models().is_all() && *method != Method::HEAD => {
            Some((list, members, authorized.models().clone()))
        }
        _ => None,
    };
    let hides_length = !authorized.models().is_all() && *method == Method::HEAD;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    *request.uri_mut() = address(&config.upstream, &authorized.path_and_query())?;
    *request.headers_mut() = forwarded(sent, &authorized);
    if filtered.is_some() {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    *request.body_mut() = authorized.into_body();

    let answer = upstream.send(request).await.map_err(|problem| {
        if let Some(refusal) = problem.body.as_ref().and_then(|error| fault_of_the_sender(error)) {
            return refusal;
        }
        tracing::warn!(upstream = %config.upstream, "{problem}");
        let hint = if problem.unreachable { "; is Ollama running there?" } else { "" };
        Refusal::new(502, format!("bad gateway: {problem}{hint}"))
    })?;
    let (mut parts, body) = answer.into_parts();
    if parts.status.is_informational() {
        // 101: we asked for no other protocol, and could not follow into it.
        return Err(Refusal::new(502, "bad gateway: the server behind wants to speak another protocol"));
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        // Whatever it says, such as the link that connects the server's own key, is not for callers.
        let message =
            "bad gateway: the server behind is not signed in to where it would run that model; tell whoever runs it";
        return Err(Refusal::new(502, message));
    }
    headers::of_the_answer(&mut parts.headers);
    // Not that of the server behind: in ours an answer that breaks off can be told from one that ends.
    parts.version = Version::HTTP_11;
    if hides_length {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let Some((list, members, models)) = filtered.filter(|_| parts.status.is_success()) else {
        return Ok(Response::from_parts(parts, Body::new(Relay::new(body, broken))));
    };
    let unreadable =
        || Refusal::new(502, "bad gateway: the server behind answered with something that is no list of models");
    let body = http_body_util::Limited::new(body, LARGEST_LIST).collect().await.map_err(|_| unreadable())?;
    let bytes = filter(&body.to_bytes(), list, members, &models).ok_or_else(unreadable)?;
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// The full address behind. The path is plain and begins with a slash.
fn address(upstream: &BaseUrl, path_and_query: &str) -> Result<axum::http::Uri, Refusal> {
    upstream.join(path_and_query).parse().map_err(|_| Refusal::new(400, "the path cannot be forwarded"))
}

/// The caller's headers without what is not forwarded, with who asks.
fn forwarded(sent: &HeaderMap, authorized: &Authorized) -> HeaderMap {
    let mut out = sent.clone();
    headers::of_the_request(&mut out);
    if let Some(rewritten) = authorized.rewritten() {
        out.remove(header::CONTENT_ENCODING);
        out.remove(header::CONTENT_LENGTH);
        out.remove(header::CONTENT_TYPE);
        if let Ok(kind) = HeaderValue::from_str(&rewritten.content_type)
            && !kind.is_empty()
        {
            out.insert(header::CONTENT_TYPE, kind);
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(rewritten.length));
        }
    }
    identify(&mut out, authorized.caller());
    out
}

/// Tells the server behind who asks.
fn identify(headers: &mut HeaderMap, caller: &Caller) {
    let user = caller.user();
    let mut insert = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    insert("x-ollama-auth-user", &user.name);
    insert("x-ollama-auth-user-id", &user.id.to_string());
    insert("x-ollama-auth-credential", &caller.actor());
    if let By::Key(key) = caller.by()
        && let Some(environment) = &key.environment
    {
        insert("x-ollama-auth-environment", environment);
    }
}
