//! Credentials: what the headers present, and whether a signature is taken.
//!
//! The input is a request's head as text. A header `signed: TEXT` becomes an `Authorization` whose signature over that text is
//! genuine, so that what is tried out is not only how a signature is written but what it is taken to mean.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{go, head, lines};
use crate::gateway::authn::credential::{PLACEHOLDERS, Presented, presented};
use crate::gateway::authn::signature::{Freshness, Proof, of_now, prove};
use crate::gateway::target::Target;
use crate::identity::{Challenge, DeviceKey};
use crate::keyspec::ApiKey;

/// The time of the recorded requests of the stock client.
const NOW: i64 = 1_795_210_715;
const TOLERANCE: i64 = 60;
const PREFIX: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

/// The key of the recorded requests.
#[allow(clippy::unwrap_used, reason = "fuzzing: without the key there is nothing to do")]
static KEY: LazyLock<DeviceKey> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(include_str!("../../../tests/it/fixtures/vectors/signing.json")).unwrap();
    DeviceKey::from_openssh(file["key"]["private_key_openssh"].as_str().unwrap(), None).unwrap()
});

/// Reads the headers `authorization`, `x-api-key` and `signed` of a request such as
/// `POST /api/me?ts=1795210715`, and checks them at that time.
///
/// # Panics
/// When what is accepted is not what a strict reader would accept, or can be read in two ways.
pub fn authorization(data: &[u8]) {
    let mut lines = lines(data);
    let Some(parts) = lines.next().and_then(head) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]));
        let name = name.to_ascii_lowercase();
        let (name, value) = match &*name {
            b"authorization" => (header::AUTHORIZATION, HeaderValue::from_bytes(value)),
            b"x-api-key" => (header::HeaderName::from_static("x-api-key"), HeaderValue::from_bytes(value)),
            b"signed" => {
                let text = String::from_utf8_lossy(value);
                let (method, target) = text.split_once(',').unwrap_or((&text, ""));
                let header = KEY.authorize(&Challenge::of_request(method, target));
                (header::AUTHORIZATION, HeaderValue::from_str(header.expose()))
            }
            _ => continue,
        };
        if let Ok(value) = value {
            headers.append(name, value);
        }
    }

    let Ok(found) = presented(&headers) else { return };
    let strict = strictly(&headers);
    match found {
        Presented::Nothing => assert_eq!(strict, Vec::<String>::new(), "a credential was not seen"),
        Presented::Key(key) => {
            assert!(!strict.is_empty() && strict.iter().all(|one| one == key.expose_secret()), "{strict:?}");
            let bearer = headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().contains(&b':'));
            assert!(!bearer, "a signature was taken for an API key");
        }
        Presented::Token(token) => {
            let token = token.expose_secret();
            assert!(!strict.is_empty() && strict.iter().all(|one| one == token), "{strict:?}");
            assert!(token.starts_with("eyJ"), "an API key was taken for a token");
        }
        Presented::Signature(header) => {
            assert_eq!(strict, [header.expose_secret()], "not one credential");
            let Ok(target) = Target::read(&parts, "") else { return };
            let freshness = Freshness { now: NOW, tolerance: TOLERANCE, not_before: 0 };
            let proof = prove(header.expose_secret(), &target);
            if let Ok(proof) = proof.and_then(|proof| of_now(proof.ts, freshness).map(|()| proof)) {
                accepted(header.expose_secret(), &target, &proof);
            }
        }
    }
}

/// Each credential that the headers hold, without a scheme and without what stands for none. A header that is there twice counts twice.
fn strictly(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| {
        assert!(value.as_bytes().iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')), "not plain text");
        String::from_utf8_lossy(value.as_bytes()).trim_matches([' ', '\t']).to_owned()
    };
    let authorization: Vec<String> = headers.get_all(header::AUTHORIZATION).iter().map(text).collect();
    let api_key: Vec<String> = headers.get_all("x-api-key").iter().map(text).collect();
    assert!(authorization.len() < 2 && api_key.len() < 2, "a header is there twice");
    let authorization = authorization.iter().map(|value| without_scheme(value));
    let mut all: Vec<String> = authorization.chain(api_key).filter(|value| !value.is_empty()).collect();
    let is_placeholder = |value: &str| PLACEHOLDERS.iter().any(|one| one.eq_ignore_ascii_case(unquoted(value)));
    if let [one, other] = all.as_slice()
        && one != other
    {
        // A stock server signs and passes on what its callers send to another service.
        let foreign = one.contains(':') && !unquoted(other).starts_with(ApiKey::PREFIX);
        if is_placeholder(other) || foreign {
            all.remove(1);
        } else if is_placeholder(one) {
            all.remove(0);
        }
    }
    all
}

/// A key without quotes and blanks around it.
fn unquoted(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || "\"'`".contains(c))
}

/// The credential in a value of `Authorization`.
#[allow(clippy::expect_used, reason = "fuzzing: a panic is how it tells")]
fn without_scheme(value: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim_matches(' ');
    let credential = match &*scheme.to_ascii_lowercase() {
        "basic" => {
            let pair = STANDARD.decode(rest).expect("base64");
            let pair = String::from_utf8(pair).expect("text");
            let (_, password) = pair.split_once(':').expect("a name and a password");
            assert!(!password.is_empty() && !password.contains(':'), "a password that is a key");
            return password.to_owned();
        }
        "bearer" => rest,
        "token" if unquoted(rest).starts_with(ApiKey::PREFIX) => rest,
        _ => value,
    };
    assert!(!unquoted(credential).contains([' ', ',']), "two words or more");
    credential.to_owned()
}

/// What holds for every signature that is accepted.
#[allow(clippy::unwrap_used, reason = "fuzzing: a panic is how it tells")]
fn accepted(header: &str, target: &Target<'_>, checked: &Proof) {
    // One spelling of the key and of the signature.
    let (blob, signature) = header.split_once(':').unwrap();
    let (raw_blob, raw) = (STANDARD.decode(blob).unwrap(), STANDARD.decode(signature).unwrap());
    assert_eq!((STANDARD.encode(&raw_blob), STANDARD.encode(&raw)), (blob.to_owned(), signature.to_owned()));
    let key: &[u8; 32] = raw_blob.strip_prefix(PREFIX).unwrap().try_into().unwrap();
    assert_eq!(checked.key.wire_blob(), raw_blob);

    // What was signed is this request and no other.
    let challenge = checked.challenge.as_str();
    let (method, signed) = challenge.split_once(',').unwrap();
    assert_eq!(method, target.method);
    let (path, query) = signed.split_once('?').unwrap();
    assert_eq!(path, target.path);
    let sent = go::parse_query(target.query.unwrap());
    let mut stamps =
        sent.iter().filter(|(name, _)| name == b"ts").map(|(_, value)| std::str::from_utf8(value).unwrap());
    let (Some(ts), None) = (stamps.next(), stamps.next()) else { panic!("not one time: {:?}", target.query) };
    assert_eq!(ts.parse(), Ok(checked.ts));
    assert!((checked.ts - NOW).abs() <= TOLERANCE);
    let whole = go::parse_query(query) == sent;
    assert!(whole || query == format!("ts={ts}"), "neither everything nor the time alone is signed");

    let key = VerifyingKey::from_bytes(key).unwrap();
    let signature = Signature::from_slice(&raw).unwrap();
    key.verify(challenge.as_bytes(), &signature).unwrap();
}
