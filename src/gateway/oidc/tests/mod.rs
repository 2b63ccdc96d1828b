//! Tokens and keys, good and bad, without a network; and issuers on this machine.

mod issuers;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::key_set::KeySet;
use super::token::{announced, verify};
use super::*;

const NOW: i64 = 1_000_000;
const ISSUER: &str = "https://id.example";

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn jwk(seed: u8, id: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(key(seed).verifying_key().to_bytes()) })
}

fn keys(all: &[Value]) -> Result<KeySet, String> {
    KeySet::read(json!({ "keys": all }).to_string().as_bytes())
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "gate", "sub": "s", "iat": NOW - 10, "exp": NOW + 300 })
}

fn sign(seed: u8, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    format!("{signed}.{}", base64(key(seed).sign(signed.as_bytes()).to_bytes()))
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "a" })
}

fn check(token: &str, kind: TokenKind) -> Result<Verified, TokenError> {
    let (issuer, keys) = (ISSUER.parse().unwrap(), keys(&[jwk(1, "a"), jwk(2, "b")]).unwrap());
    let expected = Expected { issuer: &issuer, audience: &["gate"], leeway: 30, kind };
    verify(token, &announced(token)?, &keys, &expected, NOW)
}

fn with(changes: Value) -> Result<Verified, TokenError> {
    of_kind(TokenKind::Access, changes)
}

fn of_kind(kind: TokenKind, changes: Value) -> Result<Verified, TokenError> {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    check(&sign(1, &header(), &claims), kind)
}

#[test]
fn a_good_token_is_accepted() {
    let verified = with(json!({ "aud": ["other", "gate"] })).unwrap();
    assert_eq!((verified.text("sub"), verified.expires_at, verified.issued_at), (Some("s"), NOW + 300, Some(NOW - 10)));
    assert_eq!(with(json!({ "exp": 1_000_300.9 })).unwrap().expires_at, NOW + 300);
    let token = sign(1, &header(), &claims());
    assert_eq!(unverified_issuer(&token).as_deref(), Some(ISSUER));
}

#[test]
fn claims_must_be_for_us_and_for_now() {
    for (changes, error) in [
        (json!({ "iss": "https://id.example/" }), TokenError::WrongIssuer),
        (json!({ "iss": [ISSUER] }), TokenError::WrongIssuer),
        (json!({ "aud": "Gate" }), TokenError::Audience("\"Gate\"".to_owned())),
        (json!({ "aud": [["gate"]] }), TokenError::Audience("[[\"gate\"]]".to_owned())),
        (json!({ "aud": null }), TokenError::Claim("aud")),
        (json!({ "exp": NOW - 30 }), TokenError::Expired),
        (json!({ "exp": null }), TokenError::Claim("exp")),
        (json!({ "exp": "1000300" }), TokenError::Claim("exp")),
        (json!({ "exp": -1 }), TokenError::Claim("exp")),
        (json!({ "exp": 1e300 }), TokenError::Claim("exp")),
        (json!({ "nbf": NOW + 31 }), TokenError::NotYet),
        (json!({ "iat": NOW + 31 }), TokenError::NotYet),
        (json!({ "events": {} }), TokenError::Kind),
    ] {
        assert_eq!(with(changes.clone()).err(), Some(error), "{changes}");
    }
    assert!(with(json!({ "exp": NOW - 29, "nbf": NOW + 30, "iat": NOW + 30 })).is_ok());
    assert_eq!(of_kind(TokenKind::Id, json!({ "iat": null })).err(), Some(TokenError::Claim("iat")));
}

#[test]
fn a_token_of_a_sign_out_says_so() {
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let events = json!({ event: {} });
    let out = |changes: Value| of_kind(TokenKind::Logout, changes).map(|verified| verified.expires_at);
    assert_eq!(out(json!({ "events": events, "exp": null })), Ok(i64::MAX));
    assert_eq!(out(json!({})), Err(TokenError::Claim("events")));
    assert_eq!(out(json!({ "events": { event: 1 } })), Err(TokenError::Claim("events")));
    assert_eq!(out(json!({ "events": events, "nonce": "n" })), Err(TokenError::Kind));
}

#[test]
fn only_the_issuers_own_keys_count() {
    let claims = claims();
    let signed = |seed, header: Value| check(&sign(seed, &header, &claims), TokenKind::Access).err();
    assert_eq!(signed(3, header()), Some(TokenError::Signature));
    assert_eq!(signed(2, header()), Some(TokenError::Signature));
    for id in ["c", "", "../a", "a\u{0}", "A"] {
        assert_eq!(signed(1, json!({ "alg": "EdDSA", "kid": id })), Some(TokenError::UnknownKey), "{id}");
    }
    assert_eq!(signed(1, json!({ "alg": "EdDSA" })), Some(TokenError::UnknownKey), "two keys fit");
    assert_eq!(signed(1, json!({ "alg": "RS256", "kid": "a" })), Some(TokenError::UnknownKey));
    for algorithm in ["none", "None", "HS256", "eddsa", ""] {
        assert_eq!(signed(1, json!({ "alg": algorithm, "kid": "a" })), Some(TokenError::Algorithm), "{algorithm}");
    }
    // A key that the token brings along.
    let brought = json!({ "alg": "EdDSA", "kid": "x", "jwk": jwk(3, "x"), "jku": "https://evil.example", "x5u": "https://evil.example" });
    assert_eq!(signed(3, brought), Some(TokenError::UnknownKey));
    assert!(matches!(
        signed(1, json!({ "alg": "EdDSA", "kid": "a", "crit": ["exp"] })),
        Some(TokenError::Malformed(_))
    ));
    assert!(matches!(signed(1, json!({ "alg": "EdDSA", "kid": 1 })), Some(TokenError::Malformed(_))));
}

#[test]
fn what_is_no_token_is_refused() {
    let good = sign(1, &header(), &claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let long = format!("{good}{}", "A".repeat(LONGEST_TOKEN));
    for bad in ["", "a", "a.b", "a.b.c", "..", &format!("{signed}."), &format!("{good}.x"), &format!("{good}="), &long]
    {
        assert!(check(bad, TokenKind::Access).is_err(), "{bad}");
        assert_ne!(unverified_issuer(bad).as_deref(), Some("x"));
    }
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = base64(json!({ "iss": ISSUER, "aud": "gate", "exp": NOW + 9999 }).to_string());
    assert_eq!(check(&format!("{head}.{other}.{signature}"), TokenKind::Access).err(), Some(TokenError::Signature));
}

#[test]
fn keys_that_are_not_for_signatures_are_left_out() {
    let used = |extra: Value| {
        let mut jwk = jwk(1, "a");
        jwk.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        keys(&[jwk]).is_ok()
    };
    assert!(used(json!({ "use": "sig", "alg": "EdDSA", "key_ops": ["verify"] })));
    assert!(
        !used(json!({ "use": "enc" })) && !used(json!({ "key_ops": ["sign"] })) && !used(json!({ "alg": "RS256" }))
    );
    assert!(keys(&[json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0" })]).is_err(), "a secret is no public key");
    assert!(keys(&[json!({ "kty": "new" }), jwk(1, "a")]).is_ok(), "kinds of the future are skipped");
    assert!(keys(&vec![jwk(1, "a"); 101]).is_err());
    assert!(KeySet::read(b"{}").is_err() && KeySet::read(b"").is_err());
}
