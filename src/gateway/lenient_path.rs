//! Paths that programs send and the table of routes does not have: with slashes too many, and with an encoded name of a model.

use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};

use super::rejection::Rejection;
use super::routes;

/// Below it, and nowhere else, a path may be percent-encoded: OpenAI's libraries encode the slashes in the name of a model.
const MODELS: &str = "/v1/models/";

/// The redirect to a route whose path has slashes too many, as programs send it whose base URL ends in a slash: `//api/chat`,
/// `/api/tags/`. `None` when the path without them is not a route. Ollama redirects with the same status (measured: 301 for GET, 307
/// otherwise), and the query stays as it is, since a signature covers it.
pub fn redirect(request: &Parts, base: &str) -> Option<Rejection> {
    let below = tidied(request, base)?;
    // Only a route of the table, so a caller cannot choose where the redirect leads.
    if routes::find(request.method.as_str(), &below).is_err() {
        return None;
    }
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let status = if request.method == Method::GET { 301 } else { 307 };
    let message = format!("the path has slashes too many; use {base}{below}");
    Some(Rejection::new(status, message).header("location", &format!("{base}{below}{query}")))
}

/// The path below the base path without the slashes too many; `None` when there are none.
pub fn tidied(request: &Parts, base: &str) -> Option<String> {
    let path = request.uri.path();
    let has_double = path.as_bytes().windows(2).any(|pair| pair == b"//");
    if !(has_double || path.ends_with('/')) || request.uri.authority().is_some() {
        return None;
    }
    let tidy: String = path.split('/').filter(|segment| !segment.is_empty()).flat_map(|part| ["/", part]).collect();
    let below = tidy.strip_prefix(base)?;
    let below = if below.is_empty() { "/" } else { below };
    (format!("{base}{below}") != path).then(|| below.to_owned())
}

/// Decodes the slashes and colons in the name of a model at the end of the path.
pub fn decode_model(request: &mut Parts, base: &str) {
    let path = request.uri.path();
    let Some(name) = path.strip_prefix(base).and_then(|path| path.strip_prefix(MODELS)) else { return };
    if !name.contains('%') {
        return;
    }
    let name = ["%2F", "%2f"].iter().fold(name.to_owned(), |name, escape| name.replace(escape, "/"));
    let name = ["%3A", "%3a"].iter().fold(name, |name, escape| name.replace(escape, ":"));
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(decoded) = format!("{base}{MODELS}{name}{query}").parse::<PathAndQuery>() {
        let mut parts = std::mem::take(&mut request.uri).into_parts();
        parts.path_and_query = Some(decoded);
        request.uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap().into_parts().0
    }

    fn location(method: &str, uri: &str, base: &str) -> Option<(u16, String)> {
        let response = redirect(&parts(method, uri), base)?.into_response();
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        Some((response.status().as_u16(), location))
    }

    #[test]
    fn slashes_too_many_lead_to_the_route() {
        for (method, uri, base, wanted) in [
            ("POST", "//api/chat", "", (307, "/api/chat")),
            ("GET", "/api/tags/?ts=1&a=%2F%2F", "", (301, "/api/tags?ts=1&a=%2F%2F")),
            ("HEAD", "//", "", (307, "/")),
            ("GET", "/ollama//v1///models//", "/ollama", (301, "/ollama/v1/models")),
            ("GET", "//ollama/", "/ollama", (301, "/ollama/")),
            ("DELETE", "//api/delete", "", (307, "/api/delete")),
            ("GET", "//v1/models/hf.co/a/b:Q4", "", (301, "/v1/models/hf.co/a/b:Q4")),
        ] {
            assert_eq!(location(method, uri, base), Some((wanted.0, wanted.1.to_owned())), "{method} {uri}");
        }
    }

    #[test]
    fn nothing_else_is_redirected() {
        for (method, uri, base) in [
            ("GET", "/", ""),
            ("GET", "/ollama/", "/ollama"),
            ("GET", "/ollama", "/ollama"),
            ("GET", "//evil.example/api/tags", ""),
            ("GET", "//evil.example/", ""),
            ("GET", "/api/chat/", ""),
            ("GET", "//login", ""),
            ("GET", "//api/tags", "/ollama"),
            ("GET", "/ollama-too//api/tags", "/ollama"),
            ("GET", "//api/../api/tags", ""),
            ("GET", "//api/%74ags", ""),
            ("GET", "http://evil.example//api/tags", ""),
            ("GET", "/api/tags", ""),
        ] {
            assert_eq!(location(method, uri, base), None, "{method} {uri}");
        }
    }

    #[test]
    fn the_name_of_a_model_is_decoded_and_nothing_else() {
        for (uri, base, wanted) in [
            ("/v1/models/hf.co%2Fa%2fb%3AQ4?ts=%2F", "", "/v1/models/hf.co/a/b:Q4?ts=%2F"),
            ("/x/v1/models/a%2Fb", "/x", "/x/v1/models/a/b"),
            ("/v1/models/a%2Fb", "/x", "/v1/models/a%2Fb"),
            ("/v1/models/a%2e%2e", "", "/v1/models/a%2e%2e"),
            ("/v1/models%2Fa", "", "/v1/models%2Fa"),
            ("/api/blobs/a%3Ab", "", "/api/blobs/a%3Ab"),
        ] {
            let mut parts = parts("GET", uri);
            decode_model(&mut parts, base);
            assert_eq!(parts.uri.to_string(), wanted);
        }
    }
}
