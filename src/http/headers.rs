//! What of a request's and an answer's headers goes on to the other side: nothing that is meant for one connection, nothing of the
//! credential, nothing that only we may say.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The prefix of the headers that tell the upstream server who asks.
const IDENTITY: &str = "x-ollama-auth-";

/// Headers of one connection (RFC 9110, section 7.6.1).
fn is_of_one_connection(name: &str) -> bool {
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

/// What callers tell us alone: who they are, where they come from, whom they ask.
fn is_for_us(name: &str) -> bool {
    matches!(name, "authorization" | "x-api-key" | "cookie" | "host" | "forwarded" | "expect" | "x-real-ip")
        || name.starts_with("x-forwarded-")
}

/// By which some servers take a request for another one than it says, and than was checked and signed.
fn is_of_another_request(name: &str) -> bool {
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

/// Whether a name fits, or does so for servers that take an underscore for a hyphen.
fn however_written(name: &str, fits: impl Fn(&str) -> bool) -> bool {
    if name.contains('_') { fits(&name.replace('_', "-")) } else { fits(name) }
}

/// Whether a header is one that goes on changed or not at all, or by which the end of a body is found. Written with an underscore it is
/// none of ours, and some servers take it for one.
fn says_how_to_read_it(name: &str) -> bool {
    name.starts_with("content-") || is_of_one_connection(name) || is_for_us(name)
}

/// What of a request's headers goes on.
pub fn forwardable_request_headers(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let listed = listed(headers);
    headers.iter().filter(move |(name, _)| {
        let text = name.as_str();
        let stays = is_of_one_connection(text)
            || is_for_us(text)
            || however_written(text, |text| text.starts_with(IDENTITY) || is_of_another_request(text))
            || (text.contains('_') && says_how_to_read_it(&text.replace('_', "-")))
            || listed.contains(name);
        !stays
    })
}

/// Takes out of a request what does not go on.
pub fn of_the_request(headers: &mut HeaderMap) {
    let kept: HeaderMap =
        forwardable_request_headers(headers).map(|(name, value)| (name.clone(), value.clone())).collect();
    *headers = kept;
}

/// Takes out of an answer what does not go on.
pub fn strip_response_headers(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks count (RFC 9112, section 6.3), and the length says something else.
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in listed(headers) {
        headers.remove(name);
    }
    remove_all(headers, |name| is_of_one_connection(name) || however_written(name, |name| name.starts_with(IDENTITY)));
}

/// Takes out every header whose name (in lower case) fits.
pub fn remove_all(headers: &mut HeaderMap, fits: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| fits(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// What `Connection` says is meant for one connection too.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Without its length or type the body would be another one.
        .filter(|name| ![header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(name))
        .collect()
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
        of_the_request(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length"]);
    }

    #[test]
    fn a_request_is_what_it_says() {
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
            of_the_request(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn who_asks_is_said_by_us_alone() {
        let mut headers: HeaderMap = ["x-ollama-auth-user", "X-OLLAMA-AUTH-anything", "x_ollama_auth_user", "x-other"]
            .iter()
            .map(|name| (name.parse().unwrap(), HeaderValue::from_static("root")))
            .collect();
        of_the_request(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
