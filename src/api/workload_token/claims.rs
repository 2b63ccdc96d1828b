//! What a token says of itself. Nothing here is verified, which is for the host to do: it decides when the token is renewed and what a
//! message says, and it keeps a token from a host that it is not for.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::address::BaseUrl;

/// The longest token, in bytes: a gateway reads no longer one.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Why a text is not a JSON Web Token. Messages do not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// More than a gateway reads.
    #[error("is longer than {} KiB", LONGEST_TOKEN / 1024)]
    TooLong,
    /// Not a JSON Web Token.
    #[error("is not a JSON Web Token (three words of base64, separated by dots)")]
    Malformed,
}

/// The claims of a token that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenClaims {
    issuer: Option<String>,
    subject: Option<String>,
    audience: Vec<String>,
    expires_at: Option<i64>,
}

impl TokenClaims {
    /// Reads them.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn read(token: &str) -> Result<Self, InvalidToken> {
        if token.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if token.len() > LONGEST_TOKEN {
            return Err(InvalidToken::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidToken::Malformed);
        };
        if signature.is_empty() || BASE64_URL_SAFE_NO_PAD.decode(signature).is_err() || object(header).is_none() {
            return Err(InvalidToken::Malformed);
        }
        let claims = object(payload).ok_or(InvalidToken::Malformed)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let audience = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let expires_at = claims.get("exp").and_then(|value| {
            #[allow(clippy::cast_possible_truncation, reason = "a time far beyond is as good as its bound")]
            value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
        });
        Ok(Self { issuer: text("iss"), subject: text("sub"), audience, expires_at })
    }

    /// The issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// For whom it was issued.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whom it is for.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// Unix time at which it ends, in seconds.
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Whether it has ended `seconds` after `now`.
    pub fn ends_within(&self, seconds: i64, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now.saturating_add(seconds))
    }

    /// Whether it may be for a host: an audience that is an address has to be that host's. What other names mean, only the host knows.
    pub fn is_for(&self, host: &BaseUrl) -> bool {
        let addresses = self.audience.iter().filter(|name| name.contains("://"));
        let mut addresses = addresses.map(|name| BaseUrl::parse(name).map(|parsed| parsed.url)).peekable();
        let is_host = |url: BaseUrl| url.as_origin().is_same_server(host.as_origin());
        addresses.peek().is_none() || addresses.any(|url| url.is_ok_and(is_host))
    }
}

/// A part of a token, as JSON.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A token without a signature that counts, for tests.
#[cfg(test)]
pub(super) fn token_that_ends(at: i64) -> String {
    token_with(&serde_json::json!({ "exp": at }))
}

#[cfg(test)]
fn token_with(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&serde_json::json!({ "alg": "RS256" })), part(claims))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> TokenClaims {
        TokenClaims::read(&token_with(value)).unwrap()
    }

    #[test]
    fn reads_what_issuers_write() {
        let one = claims(&json!({ "iss": "https://i", "sub": "repo:a/b", "aud": "x", "exp": 7 }));
        assert_eq!((one.issuer(), one.subject(), one.expires_at()), (Some("https://i"), Some("repo:a/b"), Some(7)));
        assert_eq!(claims(&json!({ "aud": ["x", 1, "y"], "exp": 7.5 })).audience(), ["x", "y"]);
        assert_eq!(claims(&json!({ "exp": 7.5 })).expires_at(), Some(7));
        assert_eq!(claims(&json!({ "exp": "7", "aud": 1, "sub": [] })), TokenClaims::default());
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        for text in [
            "hunter2",
            "hunter2.hunter2.hunter2",
            "eyJhbGciOiJSUzI1NiJ9.hunter2.c2ln",
            "eyJhbGciOiJSUzI1NiJ9.W10.c2ln",
            "eyJhbGciOiJSUzI1NiJ9.e30.",
            "eyJhbGciOiJSUzI1NiJ9.e30",
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln.c2ln",
            "eyJhbGciOiJSUzI1NiJ9.e30.c2 n",
            "eyJhbGciOiJSUzI1NiJ9.e30=.c2ln",
        ] {
            let error = TokenClaims::read(text).unwrap_err();
            assert_eq!(error, InvalidToken::Malformed, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(TokenClaims::read(""), Err(InvalidToken::Empty));
        assert_eq!(TokenClaims::read(&"x".repeat(LONGEST_TOKEN + 1)), Err(InvalidToken::TooLong));
    }

    #[test]
    fn is_kept_from_a_host_that_it_is_not_for() {
        let host = |text: &str| BaseUrl::parse(text).unwrap().url;
        let gateway = host("https://gpu.example.com");
        for audience in
            [json!("https://gpu.example.com"), json!("https://GPU.example.com:443/"), json!("ollama"), json!(null)]
        {
            assert!(claims(&json!({ "aud": audience })).is_for(&gateway), "{audience}");
        }
        assert!(claims(&json!({ "aud": ["https://other.example", "https://gpu.example.com"] })).is_for(&gateway));
        for audience in
            [json!("https://other.example"), json!("http://gpu.example.com"), json!(["x", "https://a.example"])]
        {
            assert!(!claims(&json!({ "aud": audience })).is_for(&gateway), "{audience}");
        }
        assert!(claims(&json!({ "aud": "http://localhost:1" })).is_for(&host("http://127.0.0.1:1")));
    }
}
