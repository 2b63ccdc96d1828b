//! What of a request's and an answer's headers goes on to the other side: nothing that is meant for one connection, nothing of the
//! credential, nothing that only we may say.

use axum::http::header::{self, HeaderMap, HeaderName};

/// The prefix of the headers that tell the server behind who asks.
const IDENTITY: &str = "x-ollama-auth-";
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
/// What callers tell us alone: who they are, where they come from, whom they ask.
const FOR_US: [HeaderName; 6] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::COOKIE,
    header::HOST,
    header::FORWARDED,
    header::EXPECT,
];

/// By which some servers take a request for another one than it says, and than was checked and signed.
const OF_ANOTHER_REQUEST: [&str; 7] = [
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-override-url",
];

/// Takes out of a request what does not go on.
pub fn of_the_request(headers: &mut HeaderMap) {
    // Some servers take an underscore for a hyphen, and `transfer_encoding` for what it looks like.
    remove_all(headers, |name| name.contains('_') && says_how_to_read_it(&name.replace('_', "-")));
    remove_all(headers, |name| OF_ANOTHER_REQUEST.contains(&&*name.replace('_', "-")));
    strip_hop_by_hop(headers);
    remove_identity(headers);
    remove_all(headers, |name| name.starts_with("x-forwarded-") || name == "x-real-ip");
    for name in &FOR_US {
        headers.remove(name);
    }
}

/// Whether a header is one that goes on changed or not at all, or by which the end of a body is found.
fn says_how_to_read_it(name: &str) -> bool {
    name.starts_with("content-")
        || OF_ONE_CONNECTION.iter().any(|known| known == name)
        || FOR_US.iter().any(|known| known == name)
}

/// Takes out of an answer what does not go on.
pub fn of_the_answer(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks count (RFC 9112, section 6.3), and the length says something else.
        headers.remove(header::CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    remove_identity(headers);
}

/// Takes out every header whose name (in lower case) fits.
pub fn remove_all(headers: &mut HeaderMap, fits: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| fits(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn remove_identity(headers: &mut HeaderMap) {
    // Some servers take an underscore for a hyphen.
    remove_all(headers, |name| name.replace('_', "-").starts_with(IDENTITY));
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
    use axum::http::HeaderValue;

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
        remove_identity(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
