//! Decides which headers of a request and of a response are forwarded: no hop-by-hop headers, nothing of a credential, nothing that only
//! the gateway may say.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The prefix of the headers that tell the upstream server who asks.
const IDENTITY: &str = "x-ollama-auth-";

/// Hop-by-hop headers (RFC 9110, section 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Headers for this hop alone: credentials, the host, where the request came from, and which page sent it: whether that may is decided here.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "x-api-key"
            | "cookie"
            | "host"
            | "forwarded"
            | "expect"
            | "x-real-ip"
            | "origin"
            | "sec-fetch-site"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("access-control-request-")
}

/// Headers that make some servers execute another request than the one that was checked and signed.
fn overrides_request(name: &str) -> bool {
    matches!(
        name,
        "x-http-method-override"
            | "x-method-override"
            | "x-http-method"
            | "x-original-url"
            | "x-original-uri"
            | "x-rewrite-url"
            | "x-override-url"
    )
}

/// Whether a name matches, also for servers that read an underscore as a hyphen.
fn matches_either_spelling(name: &str, matches: impl Fn(&str) -> bool) -> bool {
    if name.contains('_') { matches(&name.replace('_', "-")) } else { matches(name) }
}

/// Whether a header is rewritten, ends here or frames the body. Spelled with an underscore it would escape that, and some servers would still
/// honour it.
fn is_controlled(name: &str) -> bool {
    name.starts_with("content-") || is_hop_by_hop(name) || ends_here(name)
}

/// The headers of a request that are forwarded.
pub fn forwardable_request_headers(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let listed = connection_options(headers);
    headers.iter().filter(move |(name, _)| {
        let text = name.as_str();
        let stays = is_hop_by_hop(text)
            || ends_here(text)
            || matches_either_spelling(text, |text| text.starts_with(IDENTITY) || overrides_request(text))
            || (text.contains('_') && is_controlled(&text.replace('_', "-")))
            || listed.contains(name);
        !stays
    })
}

/// Removes the headers of a request that are not forwarded.
pub fn strip_request_headers(headers: &mut HeaderMap) {
    let kept: HeaderMap =
        forwardable_request_headers(headers).map(|(name, value)| (name.clone(), value.clone())).collect();
    *headers = kept;
}

/// Removes the headers of a response that are not forwarded.
pub fn strip_response_headers(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks take precedence over the length (RFC 9112, section 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in connection_options(headers) {
        headers.remove(name);
    }
    remove_matching(headers, |name| {
        // Which pages may read a response is decided here too.
        is_hop_by_hop(name)
            || name.starts_with("access-control-")
            || matches_either_spelling(name, |name| name.starts_with(IDENTITY))
    });
}

/// Removes every header whose name (in lower case) matches.
pub fn remove_matching(headers: &mut HeaderMap, matches: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| matches(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// The headers that `Connection` names as hop-by-hop.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Without them the body would be read differently.
        .filter(|name| ![header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_are_removed() {
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
        strip_request_headers(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length"]);
    }

    #[test]
    fn headers_that_override_the_request_are_removed() {
        for name in [
            "x-http-method-override",
            "x-method-override",
            "X_HTTP_METHOD_OVERRIDE",
            "x-http-method",
            "x-original-url",
            "x-rewrite-url",
            "transfer_encoding",
            "Content_Length",
            "x_api_key",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("DELETE"));
            strip_request_headers(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_a_browser_says_of_a_page_and_what_a_server_allows_one_is_removed() {
        let named = |names: &[&'static str]| -> HeaderMap {
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
        };
        let mut sent = named(&[
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
            "access-control-request-private-network",
            "access_control_request_method",
            "sec-fetch-site",
        ]);
        strip_request_headers(&mut sent);
        assert!(sent.is_empty(), "{sent:?}");
        let mut answered = named(&[
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
            "access-control-allow-private-network",
        ]);
        strip_response_headers(&mut answered);
        assert!(answered.is_empty(), "{answered:?}");
    }

    #[test]
    fn identity_headers_of_callers_are_removed() {
        let mut headers: HeaderMap = ["x-ollama-auth-user", "X-OLLAMA-AUTH-anything", "x_ollama_auth_user", "x-other"]
            .iter()
            .map(|name| (name.parse().unwrap(), HeaderValue::from_static("root")))
            .collect();
        strip_request_headers(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
