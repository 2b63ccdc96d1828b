//! Forwarding: an [`Authorized`] request goes to the server behind, without anything of the credential, and its answer comes back as it
//! arrives.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::authn::{By, Caller};
use super::config::Config;
use super::policy::{Authorized, filter, is_too_large};
use super::refusal::Refusal;
use super::relay::{Broken, Relay};
use super::routes::Models as Named;
use super::upstream::Upstream;
use crate::address::BaseUrl;

/// The prefix of the headers that tell the server behind who asks.
const IDENTITY: &str = "x-ollama-auth-";
/// A list of models that is filtered is read in full, up to this many bytes.
const LARGEST_LIST: usize = 64 * 1024 * 1024;
/// Headers of one connection (RFC 9110, section 7.6.1).
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// What callers tell the gateway alone: who they are, where they come from, whom they ask.
const FOR_THE_GATEWAY: [HeaderName; 6] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::COOKIE,
    header::HOST,
    header::FORWARDED,
    header::EXPECT,
];

/// Sends an authorised request upstream and gives back its answer.
///
/// # Errors
/// 502 when the server behind does not answer, or refuses *us*; 413 when the body turned out too large.
pub async fn forward(
    authorized: Authorized,
    method: &Method,
    headers: &HeaderMap,
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
    *request.headers_mut() = forwarded(headers, &authorized);
    if filtered.is_some() {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    *request.body_mut() = authorized.into_body();

    let answer = upstream.send(request).await.map_err(|problem| {
        if problem.body.as_ref().is_some_and(|error| is_too_large(error)) {
            return Refusal::new(413, "the request is larger than this gateway takes");
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
    if parts.headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks count (RFC 9112, section 6.3), and the length says something else.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    strip_hop_by_hop(&mut parts.headers);
    remove_identity(&mut parts.headers);
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
fn forwarded(headers: &HeaderMap, authorized: &Authorized) -> HeaderMap {
    let mut out = headers.clone();
    strip_hop_by_hop(&mut out);
    remove_identity(&mut out);
    let from_proxies: Vec<HeaderName> =
        out.keys().filter(|name| name.as_str().starts_with("x-forwarded-") || *name == "x-real-ip").cloned().collect();
    for name in FOR_THE_GATEWAY.iter().chain(&from_proxies) {
        out.remove(name);
    }
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

fn remove_identity(headers: &mut HeaderMap) {
    // Some servers take an underscore for a hyphen.
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().replace('_', "-").starts_with(IDENTITY)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Takes out what is meant for one connection, among it what `Connection` lists.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Without its length or type the body would be another one.
        .filter(|name| ![header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(name))
        .collect();
    for name in OF_ONE_CONNECTION.iter().chain(&listed) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_connection_stays_there() {
        let mut headers: HeaderMap = [
            ("connection", "close, X-Secret, content-length"),
            ("x-secret", "1"),
            ("content-length", "5"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length"]);
    }

    #[test]
    fn who_asks_is_said_by_us_alone() {
        let mut headers: HeaderMap = ["x-ollama-auth-user", "X-OLLAMA-AUTH-anything", "x_ollama_auth_user", "x-other"]
            .iter()
            .map(|name| (name.parse().unwrap(), HeaderValue::from_static("root")))
            .collect();
        remove_identity(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
