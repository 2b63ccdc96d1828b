//! Reading the one credential from the headers, and the signature beside an API key.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::gateway::oidc::LONGEST_TOKEN;
use crate::gateway::rejection::Rejection;
use crate::identity::SecondProof;
use crate::keyspec::ApiKey;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_SIGNATURE: HeaderName = HeaderName::from_static(SecondProof::HEADER);
/// No credential of ours is nearly as long, except a token of an issuer.
const LONGEST: usize = 1024;

/// The credential in a request's headers, not checked yet.
#[derive(Debug)]
pub enum Presented {
    /// No credential.
    Nothing,
    /// `<wire blob>:<signature>`, perhaps after `Bearer `.
    Signature(SecretString),
    /// An API key, without the scheme.
    Key(SecretString),
    /// A token of an issuer (a JWT), without the scheme.
    Token(SecretString),
}

/// What programs send as a key where none is set, in lower case: they, or the library that they use, insist on some text.
pub const PLACEHOLDERS: [&str; 12] = [
    "ollama",
    "null",
    "none",
    "undefined",
    "empty",
    "dummy",
    "unused",
    "no-key",
    "not-needed",
    "placeholder",
    "sk-dummy",
    "sk-no-key-required",
];

/// Reads `Authorization` and `X-API-Key`. A placeholder beside a credential is ignored, as is a key of another service beside a signature.
///
/// # Errors
/// 400 for a header that appears twice, is not text, is too long, or contradicts the other; for an unknown scheme. 401 and 403 for `Basic`
/// without a key and from a web page.
pub fn presented(headers: &HeaderMap) -> Result<Presented, Rejection> {
    let authorization = single(headers, &header::AUTHORIZATION, LONGEST_TOKEN)?;
    if authorization.is_some_and(is_basic) && is_from_page(headers) {
        // A browser adds it by itself, whichever page makes it send a request.
        return Err(Rejection::new(403, "a web page may not use Authorization: Basic; send Bearer and the API key"));
    }
    let length = authorization.map_or(0, str::len);
    let authorization = authorization.map(of_authorization).transpose()?;
    let authorization =
        authorization.map(|presented| bounded(presented, length, &header::AUTHORIZATION)).transpose()?;
    let api_key = single(headers, &X_API_KEY, LONGEST_TOKEN)?;
    let api_key = api_key.map(|value| bounded(key_or_token(value), value.len(), &X_API_KEY)).transpose()?;
    match (authorization, api_key) {
        (None, None) => Ok(Presented::Nothing),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(Presented::Key(one)), Some(Presented::Key(other))) if one.expose_secret() == other.expose_secret() => {
            Ok(Presented::Key(one))
        }
        (Some(Presented::Token(one)), Some(Presented::Token(other)))
            if one.expose_secret() == other.expose_secret() =>
        {
            Ok(Presented::Token(one))
        }
        (Some(one), Some(other)) if is_placeholder(&other) => Ok(one),
        (Some(one), Some(other)) if matches!(one, Presented::Nothing) || is_placeholder(&one) => Ok(other),
        // An Ollama server whose cloud this gateway is sets `Authorization` and passes on what else its callers send.
        (Some(one @ Presented::Signature(_)), Some(other)) if !is_own_key(&other) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Rejection::new(400, "Authorization and X-API-Key hold different credentials: send one"))
        }
    }
}

/// Reads `X-Ollama-Auth-Signature`, the signature of a device beside an API key.
///
/// # Errors
/// 400 for a header that appears twice, is not text, is too long, or empty: it is never passed over.
pub fn second_proof(headers: &HeaderMap) -> Result<Option<SecretString>, Rejection> {
    match single(headers, &X_SIGNATURE, LONGEST)? {
        Some(value) => Ok(Some(SecretString::from(value))),
        None if headers.contains_key(X_SIGNATURE) => {
            Err(Rejection::new(400, format!("the header {X_SIGNATURE} is empty")))
        }
        None => Ok(None),
    }
}

fn of_authorization(value: &str) -> Result<Presented, Rejection> {
    if is_basic(value) {
        return of_basic(value);
    }
    let (bearer, rest) = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => (true, rest.trim_matches(' ')),
        // The prefix of a key leaves no doubt about what it is.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("token") && bare(rest).starts_with(ApiKey::PREFIX) => {
            (true, rest.trim_matches(' '))
        }
        // Some clients send the scheme alone where no key is set.
        _ if value.eq_ignore_ascii_case("bearer") => (true, ""),
        _ => (bare(value).starts_with(ApiKey::PREFIX), value),
    };
    if bare(rest).contains([' ', ',']) {
        return Err(Rejection::new(
            400,
            "the Authorization header must hold a device signature, or Bearer and an API key",
        ));
    }
    // No API key holds a colon, and every signature does.
    match (rest.contains(':'), bearer) {
        (true, _) => Ok(Presented::Signature(SecretString::from(rest))),
        (false, true) if rest.is_empty() => Ok(Presented::Nothing),
        (false, true) => Ok(key_or_token(rest)),
        (false, false) => {
            Err(Rejection::new(400, "the Authorization header must hold a device signature, or Bearer and an API key"))
        }
    }
}

/// Whether the scheme is `Basic`.
fn is_basic(value: &str) -> bool {
    let split = value.as_bytes().split_at_checked("basic".len());
    split.is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(b"basic") && matches!(rest, [] | [b' ', ..]))
}

/// What a URL such as `http://x:KEY@host` becomes. Any user name will do.
fn of_basic(value: &str) -> Result<Presented, Rejection> {
    let encoded = value.split_once(' ').map_or("", |(_, encoded)| encoded.trim_matches(' '));
    let decoded = STANDARD.decode(encoded).ok().map(zeroize::Zeroizing::new);
    let pair = decoded.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let password = pair.and_then(|pair| pair.split_once(':')).map_or("", |(_, password)| password);
    // A colon would make it look like a signature.
    if password.is_empty() || password.contains(':') {
        return Err(Rejection::unauthorized(
            "unauthorized: Authorization: Basic needs an API key as its password, as in http://x:KEY@HOST",
        ));
    }
    Ok(key_or_token(password))
}

/// A text that is no signature. Every JWT begins with `{"` in base64url, and no API key of ours does.
fn key_or_token(text: &str) -> Presented {
    let (is_token, text) = (text.starts_with("eyJ"), SecretString::from(text));
    if is_token { Presented::Token(text) } else { Presented::Key(text) }
}

/// What a header of that length holds: only tokens are long.
fn bounded(presented: Presented, length: usize, name: &HeaderName) -> Result<Presented, Rejection> {
    match presented {
        Presented::Token(_) => Ok(presented),
        _ if length > LONGEST => Err(too_long(name, LONGEST)),
        _ => Ok(presented),
    }
}

fn too_long(name: &HeaderName, most: usize) -> Rejection {
    Rejection::new(400, format!("the header {name} is longer than {most} bytes"))
}

/// Refuses `Authorization: Basic` where an account is read or changed: browsers send it unasked.
///
/// # Errors
/// 401.
pub fn refuse_basic(headers: &HeaderMap) -> Result<(), Rejection> {
    if single(headers, &header::AUTHORIZATION, LONGEST_TOKEN)?.is_some_and(is_basic) {
        return Err(Rejection::unauthorized(
            "unauthorized: account endpoints do not accept Authorization: Basic; send Bearer and the API key",
        ));
    }
    Ok(())
}

/// Whether a page of some site sent the request. Browsers say so, and pages cannot change it.
fn is_from_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || !matches!(site, None | Some(b"same-origin" | b"none"))
}

fn is_placeholder(presented: &Presented) -> bool {
    let is = |key: &SecretString| PLACEHOLDERS.contains(&bare(key.expose_secret()).to_ascii_lowercase().as_str());
    matches!(presented, Presented::Key(key) if is(key))
}

/// Whether it looks like a key that a gateway made.
fn is_own_key(presented: &Presented) -> bool {
    matches!(presented, Presented::Key(key) if bare(key.expose_secret()).starts_with(ApiKey::PREFIX))
}

/// A key without quotes and blanks around it.
fn bare(key: &str) -> &str {
    key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
}

/// What is wrong with a key that is not accepted, as far as its text tells.
pub(super) fn problem_of_key(key: &str) -> String {
    let bare = bare(key);
    if PLACEHOLDERS.contains(&bare.to_ascii_lowercase().as_str()) {
        return format!(
            "{bare:?} is a placeholder and no API key; set a key, or start the program with: ollama-auth exec -- PROGRAM"
        );
    }
    if bare != key && bare.starts_with(ApiKey::PREFIX) {
        return "the API key has quotes or blanks around it; remove them".to_owned();
    }
    "unknown API key".to_owned()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName, most: usize) -> Result<Option<&'a str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejection::new(400, format!("the header {name} is given twice")));
    }
    let value = value.to_str().map_err(|_| Rejection::new(400, format!("the header {name} is not plain text")))?;
    if value.len() > most {
        return Err(too_long(name, most));
    }
    let value = value.trim_matches([' ', '\t']);
    // Some clients send an empty header where no key is set.
    Ok(Some(value).filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match presented(&headers) {
            Ok(Presented::Nothing) => Ok("nothing".to_owned()),
            Ok(Presented::Signature(text)) => Ok(format!("signature {}", text.expose_secret())),
            Ok(Presented::Key(text)) => Ok(format!("key {}", text.expose_secret())),
            Ok(Presented::Token(text)) => Ok(format!("token {}", text.expose_secret())),
            Err(rejection) => Err(rejection.status()),
        }
    }

    #[test]
    fn all_supported_credential_headers_are_read() {
        assert_eq!(of(&[]).unwrap(), "nothing");
        assert_eq!(of(&[("authorization", "AAAA:BBBB")]).unwrap(), "signature AAAA:BBBB");
        assert_eq!(of(&[("authorization", "Bearer AAAA:BBBB")]).unwrap(), "signature AAAA:BBBB");
        assert_eq!(of(&[("authorization", "bearer k")]).unwrap(), "key k");
        assert_eq!(of(&[("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "")]).unwrap(), "nothing");
        for value in ["olauth_k", "Token olauth_k", "token  olauth_k", "Basic eDpvbGF1dGhfaw==", "basic Om9sYXV0aF9r"] {
            assert_eq!(of(&[("authorization", value)]).unwrap(), "key olauth_k", "{value}");
        }
        assert_eq!(of(&[("authorization", "Bearer \" olauth_k \"")]).unwrap(), "key \" olauth_k \"");
    }

    #[test]
    fn a_placeholder_beside_a_credential_is_ignored() {
        assert_eq!(of(&[("authorization", "Bearer ollama"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "null")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "Ollama")]).unwrap(), "signature A:B");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "sk-ant-1")]).unwrap(), "signature A:B");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "olauth_1")]).unwrap_err(), 400);
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "' olauth_1'")]).unwrap_err(), 400);
        assert_eq!(of(&[("authorization", "Bearer null"), ("x-api-key", "ollama")]).unwrap(), "key null");
        assert_eq!(of(&[("authorization", "Bearer ollama")]).unwrap(), "key ollama");
    }

    #[test]
    fn basic_holds_a_key_and_comes_from_no_page() {
        let basic = ("authorization", "Basic eDpvbGF1dGhfaw==");
        for value in ["Basic", "Basic !", "Basic eDo=", "Basic eA==", "Basic eDphOmI="] {
            assert_eq!(of(&[("authorization", value)]), Err(401), "{value}");
        }
        for page in [("origin", "https://gate.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(of(&[basic, page]), Err(403), "{page:?}");
        }
        assert!(of(&[basic, ("sec-fetch-site", "none")]).is_ok());
    }

    #[test]
    fn a_token_begins_as_json_and_may_be_long() {
        let long = format!("eyJ{}.e30.AA_-", "a".repeat(8000));
        let bearer = format!("Bearer {long}");
        assert_eq!(of(&[("authorization", &bearer)]).unwrap(), format!("token {long}"));
        assert_eq!(of(&[("x-api-key", &long)]).unwrap(), format!("token {long}"));
        assert_eq!(of(&[("authorization", &bearer), ("x-api-key", &long)]).unwrap(), format!("token {long}"));
        let basic = format!("Basic {}", STANDARD.encode(format!("x:{long}")));
        assert_eq!(of(&[("authorization", &basic)]).unwrap(), format!("token {long}"));
        assert_eq!(of(&[("authorization", &bearer), ("x-api-key", "ollama")]).unwrap(), format!("token {long}"));
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "eyJh.e30.AA")]).unwrap(), "signature A:B");
        // Whether it is well-formed is looked at later.
        assert_eq!(of(&[("x-api-key", "eyJh.e30.AA.BB")]).unwrap(), "token eyJh.e30.AA.BB");
        assert_eq!(of(&[("x-api-key", "ayJh.e30.AA")]).unwrap(), "key ayJh.e30.AA");
        for pairs in [
            &[("authorization", &*bearer), ("x-api-key", "olauth_k")][..],
            &[("authorization", "Bearer olauth_k"), ("x-api-key", &long)],
            &[("authorization", &bearer), ("x-api-key", "eyJh.e30.AA")],
            &[("authorization", &bearer), ("authorization", &bearer)],
            &[("x-api-key", &format!("x{long}"))],
            &[("x-api-key", &format!("{long}{}", "a".repeat(LONGEST_TOKEN)))],
            &[("authorization", &long)],
        ] {
            assert_eq!(of(pairs), Err(400), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        for (key, words) in [
            ("ollama", "placeholder"),
            ("\"NULL\"", "placeholder"),
            ("'olauth_k'", "quotes or blanks"),
            ("olauth_k\u{a0}", "quotes or blanks"),
            ("olauth_k", "unknown"),
            ("\"k\"", "unknown"),
        ] {
            assert!(problem_of_key(key).contains(words), "{key}: {}", problem_of_key(key));
        }
    }

    #[test]
    fn a_second_proof_is_never_passed_over() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-ollama-auth-signature", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            second_proof(&headers).map(|value| value.map(|value| value.expose_secret().to_owned()))
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[" 1:A:B "]).unwrap().as_deref(), Some("1:A:B"));
        for values in
            [&[""][..], &[" "], &["1:A:B", "1:A:B"], &["", "1:A:B"], &["1:A:\u{e9}"], &[&"1".repeat(LONGEST + 1)]]
        {
            assert_eq!(of(values).unwrap_err().status(), 400, "{values:?}");
        }
    }

    #[test]
    fn duplicate_malformed_and_conflicting_headers_are_refused() {
        for pairs in [
            &[("authorization", "Bearer k"), ("authorization", "Bearer k")][..],
            &[("authorization", "Bearer k"), ("x-api-key", "other")],
            &[("authorization", "A:B"), ("x-api-key", "olauth_k")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("authorization", "Bearer a b")],
            &[("authorization", "Bearer a,Bearer b")],
            &[("authorization", "k")],
            &[("authorization", "Bearer k\u{e9}")],
        ] {
            assert_eq!(of(pairs), Err(400), "{pairs:?}");
        }
        assert_eq!(of(&[("x-api-key", &"k".repeat(LONGEST + 1))]), Err(400));
    }
}
