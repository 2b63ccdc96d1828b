//! Whether a token is one of an issuer: a JWT (RFC 7519) with a signature by one of the issuer's keys, and what it says about itself.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use thiserror::Error;

use super::issuer_url::IssuerUrl;
use super::key_set::KeySet;
use super::settings::IssuerError;

/// The longest token that is looked at, in bytes.
pub const LONGEST_TOKEN: usize = 16 * 1024;
/// The most audiences of one token.
const MOST_AUDIENCES: usize = 32;
/// The member that makes a token one of a sign-out (OpenID Connect Back-Channel Logout 1.0, section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The signatures that are accepted. Neither `none` nor HMAC, whose key would be one that everybody knows.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token has to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who issued it.
    pub issuer: &'a IssuerUrl,
    /// One of these is among its audiences.
    pub audience: &'a [&'a str],
    /// Seconds by which the issuer's clock may differ from ours.
    pub leeway: i64,
    /// What it is for.
    pub kind: TokenKind,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// It proves which program sends a request.
    Access,
    /// It tells who has signed in.
    Id,
    /// It tells that somebody has signed out. It need not have an end.
    Logout,
}

/// A token whose signature and times are good.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who issued it.
    pub issuer: IssuerUrl,
    /// Everything that it says.
    pub claims: Arc<Map<String, Value>>,
    /// When it was issued, in Unix seconds.
    pub issued_at: Option<i64>,
    /// When it ends, in Unix seconds; `i64::MAX` of a sign-out without an end.
    pub expires_at: i64,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// With which keys of the issuer it was verified: see [`Issuers::generation`](super::Issuers::generation).
    pub generation: u64,
}

impl Verified {
    /// A claim that is text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }
}

/// Why a token is not accepted. No message repeats the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is not a JWT.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It is signed in a way that is not accepted.
    #[error("the token's signature algorithm is not accepted")]
    Algorithm,
    /// It is signed with a key that the issuer does not publish.
    #[error("the token is signed with a key that its issuer does not publish, or names none of several")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet: compare the clocks of its issuer and of this gateway")]
    NotYet,
    /// It is for somebody else; holds its audiences, or what is written there.
    #[error("the token is for another audience: {0}")]
    Audience(String),
    /// Another issuer than expected.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// A claim is missing or not what it must be.
    #[error("the token's claim {0} is missing or not valid")]
    Claim(&'static str),
    /// It is a token for something else.
    #[error("the token is not for this use")]
    Kind,
    /// The issuer's keys are not known.
    #[error(transparent)]
    Unavailable(#[from] IssuerError),
}

/// What the header of a token says, and nothing of it is believed yet.
pub struct Announced {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

/// Reads the header. Keys and addresses in it (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
///
/// # Errors
/// [`TokenError::Malformed`], [`TokenError::Algorithm`].
pub fn announced(token: &str) -> Result<Announced, TokenError> {
    let header = parts(token)?[0];
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed("its header is not base64url"))?;
    let members: Map<String, Value> =
        serde_json::from_slice(&header).map_err(|_| TokenError::Malformed("its header is not JSON"))?;
    // Extensions that must be understood: none is (RFC 7515, section 4.1.11).
    if members.contains_key("crit") || members.contains_key("b64") {
        return Err(TokenError::Malformed("its header asks for an extension"));
    }
    let named = members.get("alg").and_then(Value::as_str).ok_or(TokenError::Algorithm)?;
    let algorithm = ALGORITHMS.into_iter().find(|own| format!("{own:?}") == named).ok_or(TokenError::Algorithm)?;
    let key_id = match members.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(TokenError::Malformed("its key id is not text")),
    };
    // As the library reads it, which sees the same token again.
    decode_header(token).map_err(|_| TokenError::Malformed("its header is not one of a JWT"))?;
    Ok(Announced { algorithm, key_id })
}

/// The issuer that a token names, to find out who could verify it.
pub fn unverified_issuer(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(parts(token).ok()?[1]).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

fn parts(token: &str) -> Result<[&str; 3], TokenError> {
    if token.len() > LONGEST_TOKEN {
        return Err(TokenError::Malformed("it is longer than 16 KiB"));
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) if !signature.is_empty() => Ok([header, claims, signature]),
        (_, _, Some(""), None) => Err(TokenError::Malformed("it has no signature")),
        _ => Err(TokenError::Malformed("it does not have three parts")),
    }
}

/// The longest text of a token that an error repeats, in characters.
const LONGEST_SHOWN: usize = 200;

/// Checks a token with the keys of its issuer, at that Unix second.
///
/// # Errors
/// [`TokenError`].
pub fn verify(
    token: &str,
    announced: &Announced,
    keys: &KeySet,
    expected: &Expected<'_>,
    now: i64,
) -> Result<Verified, TokenError> {
    let candidates = keys.candidates(announced.key_id.as_deref(), announced.algorithm);
    if candidates.is_empty() {
        return Err(TokenError::UnknownKey);
    }
    // The signature alone: the library compares times with the system's clock.
    let mut signature_alone = Validation::new(announced.algorithm);
    signature_alone.required_spec_claims.clear();
    (signature_alone.validate_exp, signature_alone.validate_aud) = (false, false);
    let mut problem = TokenError::Signature;
    let decoded =
        candidates.into_iter().find_map(|key| match decode::<Map<String, Value>>(token, key, &signature_alone) {
            Ok(decoded) => Some(decoded),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::InvalidSignature) {
                    problem = TokenError::Malformed("its claims are not a JSON object");
                }
                None
            }
        });
    let Some(decoded) = decoded else { return Err(problem) };
    let claims = decoded.claims;
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer.as_str()) {
        return Err(TokenError::WrongIssuer);
    }
    let is_ours = |value: &Value| value.as_str().is_some_and(|audience| expected.audience.contains(&audience));
    let has_audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.len() <= MOST_AUDIENCES && all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => return Err(TokenError::Claim("aud")),
    };
    if !has_audience {
        let named = claims.get("aud").map(ToString::to_string).unwrap_or_default();
        return Err(TokenError::Audience(named.chars().take(LONGEST_SHOWN).collect()));
    }
    let (end, begin, issued_at) = (time(&claims, "exp")?, time(&claims, "nbf")?, time(&claims, "iat")?);
    let expires_at = match (end, expected.kind) {
        (Some(end), _) => end,
        (None, TokenKind::Logout) => i64::MAX,
        (None, _) => return Err(TokenError::Claim("exp")),
    };
    if now >= expires_at.saturating_add(expected.leeway) {
        return Err(TokenError::Expired);
    }
    let latest = now.saturating_add(expected.leeway);
    if begin.into_iter().chain(issued_at).any(|at| at > latest) {
        return Err(TokenError::NotYet);
    }
    if expected.kind != TokenKind::Access && issued_at.is_none() {
        return Err(TokenError::Claim("iat"));
    }
    let tells_of_logout =
        claims.get("events").and_then(|events| events.get(LOGOUT_EVENT)).is_some_and(Value::is_object);
    match expected.kind {
        TokenKind::Logout if !tells_of_logout => return Err(TokenError::Claim("events")),
        // One of a sign-in (section 2.4 again).
        TokenKind::Logout if claims.contains_key("nonce") => return Err(TokenError::Kind),
        TokenKind::Access | TokenKind::Id if claims.contains_key("events") => return Err(TokenError::Kind),
        _ => {}
    }
    let (issuer, algorithm) = (expected.issuer.clone(), announced.algorithm);
    Ok(Verified { issuer, claims: Arc::new(claims), issued_at, expires_at, algorithm, generation: 0 })
}

/// A time in Unix seconds, if it is there.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        // Within what a number of 64 bits holds exactly.
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 9e15)?;
        #[allow(clippy::cast_possible_truncation)]
        Some(seconds.floor() as i64)
    });
    whole.filter(|at| *at >= 0).map(Some).ok_or(TokenError::Claim(name))
}
