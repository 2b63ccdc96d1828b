//! What passes: running models, and what belongs to it, with parameters that mean one thing. A program that was given this port was not
//! given the account, so what changes the account does not pass, nor does anything else that could change something and is not known here.

use std::borrow::Cow;

use url::form_urlencoded;

use crate::gateway::{Access, Account, Rejection, Target, find_route};

/// Endpoints of ollama.com that a local server does not have, and that change nothing.
const HARMLESS: [&str; 2] = ["/api/web_search", "/api/web_fetch"];

/// Whether a request passes.
///
/// # Errors
/// 403 for what belongs to the account or is unknown; 404 for what is not part of the API; 405 for a method that the API does not have.
pub fn check_route(target: &Target<'_>) -> Result<(), Rejection> {
    let Target { method, path, .. } = *target;
    let account = || {
        let message = format!(
            "this proxy does not forward {path}, which belongs to the account: use `ollama-auth keys`, `device` or `api`"
        );
        Rejection::new(403, message)
    };
    // A server in between might ignore case, or a slash at the end.
    let folded = path.to_ascii_lowercase();
    let mut segments = folded.trim_end_matches('/').split('/').skip(1);
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    if first == "api" && ["user", "signout", "signin"].contains(&second) {
        return Err(account());
    }
    match find_route(method, path).map(|matched| matched.route.access) {
        Ok(
            Access::Upstream(_)
            | Access::Public(_)
            | Access::Account(Account::Me | Account::Usage | Account::Balance, _),
        ) => return Ok(()),
        Ok(Access::Account(..)) => return Err(account()),
        Err(_) => {}
    }
    let reads = ["GET", "HEAD"].contains(&method);
    let passes = match first {
        "" => reads,
        "api" => reads || (method == "POST" && HARMLESS.contains(&path)),
        "v1" => reads || method == "POST",
        _ => {
            return Err(Rejection::new(
                404,
                format!("{path} is not part of Ollama's API: this proxy forwards /api/ and /v1/"),
            ));
        }
    };
    if passes {
        return Ok(());
    }
    if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
        return Err(Rejection::new(405, format!("Ollama's API has no method {method}"))
            .header("allow", "GET, HEAD, POST, DELETE"));
    }
    let message =
        format!("this proxy does not forward {method} {path}, which could change the account: use `ollama-auth api`");
    Err(Rejection::new(403, message))
}

/// A name and its value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The decoded parameters in their order. `ts` is left out: it belongs to a signature, and no credential of a caller is forwarded.
///
/// # Errors
/// 400 for an incomplete percent escape, invalid UTF-8, a semicolon (which some servers take for `&`), or a character that a URL
/// cannot hold.
pub fn decode_query(query: &str) -> Result<Vec<Pair<'_>>, Rejection> {
    if !is_plain(query) {
        return Err(Rejection::new(400, "the query is ambiguous: percent-encode its parameters as a form does"));
    }
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "ts").collect();
    // The parser puts U+FFFD in place of invalid UTF-8.
    if pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
        return Err(Rejection::new(400, "the query is not valid UTF-8"));
    }
    Ok(pairs)
}

fn is_plain(query: &str) -> bool {
    let bytes = query.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => is_hex(at + 1) && is_hex(at + 2),
        b';' | b'#' => false,
        byte => byte.is_ascii_graphic(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(method: &str, path: &str) -> u16 {
        check_route(&Target { method, path, query: None }).map_or_else(|rejection| rejection.status(), |()| 200)
    }

    #[test]
    fn model_routes_pass_and_account_routes_do_not() {
        for (method, path) in [
            ("HEAD", "/"),
            ("POST", "/api/chat"),
            ("POST", "/api/pull"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/me"),
            ("GET", "/api/usage"),
            ("POST", "/api/web_search"),
            ("POST", "/v1/messages"),
            ("POST", "/v1/images/generations"),
            ("GET", "/v1/models/tiny"),
        ] {
            assert_eq!(status(method, path), 200, "{method} {path}");
        }
        for (method, path) in [
            ("DELETE", "/api/user/keys/abc"),
            ("GET", "/api/user/keys"),
            ("POST", "/api/user/keys"),
            ("PATCH", "/api/user/keys/abc"),
            ("GET", "/API/User/Keys/"),
            ("POST", "/api/user"),
            ("POST", "/api/signout"),
            ("POST", "/api/signout/"),
            ("POST", "/api/billing"),
            ("POST", "/"),
            ("DELETE", "/api/tags"),
            ("PUT", "/v1/models/tiny"),
            ("DELETE", "/v1/files/1"),
        ] {
            assert_eq!(status(method, path), 403, "{method} {path}");
        }
        assert_eq!(status("GET", "/settings/keys"), 404);
        assert_eq!(status("TRACE", "/api/tags"), 405);
    }

    fn read(query: &str) -> Option<Vec<(String, String)>> {
        let pairs = decode_query(query).ok()?;
        Some(pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[test]
    fn an_ambiguous_query_is_rejected() {
        for query in ["a=%", "a=%4", "a=%zz", "a=1;b=2", "a=%ff", "a=%c3%28", "%fe=1", "a=\u{e9}", "a= b", "a=b#c"] {
            assert_eq!(read(query), None, "{query}");
        }
    }

    #[test]
    fn a_query_is_decoded_without_ts() {
        let wanted = [("range", "7d"), ("a b", "1+2&3=é"), ("x", ""), ("x", "2")];
        let wanted: Vec<_> = wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read("range=7d&ts=5&a+b=1%2B2%263%3D%C3%A9&&x&x=2&%74s=6").unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding(pairs in proptest::collection::vec((".{0,8}", ".{0,8}"), 0..5)) {
            prop_assume!(pairs.iter().all(|(name, value)| name != "ts" && !(name.clone() + value).contains('\u{fffd}')));
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(read(&query).unwrap(), pairs);
        }
    }
}
