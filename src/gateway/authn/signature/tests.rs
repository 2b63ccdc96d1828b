//! The recorded requests of the unmodified program, replayed at their own time; then the same, tampered with.

use axum::http::Request;
use axum::http::request::Parts;
use serde_json::Value;

use super::*;
use crate::identity::DeviceKey;

struct Case {
    method: String,
    uri: String,
    authorization: String,
}

fn recorded() -> (String, Vec<Case>) {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/it/fixtures/vectors/signing.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases = file["cases"].as_array().unwrap().iter().map(|case| Case {
        method: text(&case["method"]),
        uri: text(&case["target"]),
        authorization: text(&case["authorization"]),
    });
    (text(&file["key"]["public_key"]), cases.collect())
}

fn parts(method: &str, uri: &str) -> Parts {
    Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
}

fn checked(method: &str, uri: &str, header: &str, freshness: Freshness) -> Result<Proof, u16> {
    let base = if uri.starts_with("/prefix") { "/prefix" } else { "" };
    let parts = parts(method, uri);
    let target = Target::read(&parts, base).map_err(|rejection| rejection.status())?;
    let proof = prove(header, &target).and_then(|proof| of_now(proof.ts, freshness).map(|()| proof));
    proof.map_err(|rejection| rejection.status())
}

fn at(now: i64) -> Freshness {
    Freshness { now, tolerance: 60, not_before: 0 }
}

fn ts(uri: &str) -> i64 {
    uri.rsplit_once("ts=").unwrap().1.parse().unwrap()
}

#[test]
fn every_recorded_request_is_accepted_at_its_own_time() {
    let (key, cases) = recorded();
    assert_eq!(cases.len(), 11);
    for Case { method, uri, authorization } in cases {
        let now = ts(&uri);
        for header in [authorization.clone(), format!("Bearer {authorization}")] {
            for offset in [-60, 0, 60] {
                let checked = checked(&method, &uri, &header, at(now + offset)).unwrap();
                assert_eq!((checked.key.line(), checked.ts), (key.clone(), now), "{method} {uri}");
            }
            for offset in [-61, 61, 1_000_000] {
                assert_eq!(checked(&method, &uri, &header, at(now + offset)), Err(401), "{method} {uri} {offset}");
            }
        }
        let after_start = Freshness { now, tolerance: 60, not_before: now + 1 };
        assert_eq!(checked(&method, &uri, &authorization, after_start), Err(401));
    }
}

#[test]
fn tampered_requests_are_refused() {
    let (_, cases) = recorded();
    for Case { method, uri, authorization } in cases {
        let now = ts(&uri);
        let refused = |method: &str, uri: &str, header: &str| {
            assert!(checked(method, uri, header, at(now)).is_err(), "{method} {uri} {header}");
        };
        let (before, _) = uri.rsplit_once("ts=").unwrap();
        refused(&method, &format!("{before}ts={}", now + 1), &authorization);
        refused(&method, &format!("{before}ts=0{now}"), &authorization);
        refused(&method, &format!("{before}ts=+{now}"), &authorization);
        refused(&method, &format!("{before}ts=-{now}"), &authorization);
        refused(&method, &format!("{before}ts={now}&ts={now}"), &authorization);
        refused(&method, &format!("{before}ts="), &authorization);
        refused(&method, &format!("{before}ts=99999999999999999999"), &authorization);
        refused(&method, before, &authorization);
        refused("PUT", &uri, &authorization);
        refused(&method, &uri.replace("/api", "/apj").replacen("/?", "/x?", 1).replace("/v1", "/v2"), &authorization);
        let (blob, signature) = authorization.split_once(':').unwrap();
        refused(&method, &uri, &format!("{blob}:{}", signature.replace('=', "")));
        refused(&method, &uri, &format!("{signature}:{blob}"));
        refused(&method, &uri, &format!("{blob}:{signature}:{signature}"));
        let other = DeviceKey::generate().unwrap();
        let foreign = other.authorize(&Challenge::of_request(&method, "/elsewhere?ts=1"));
        refused(&method, &uri, foreign.expose());
    }
}

#[test]
fn other_parameters_may_be_signed_or_not() {
    let key = DeviceKey::generate().unwrap();
    let plain = key.authorize(&Challenge::new("POST", "/api/chat", 1000));
    let whole = key.authorize(&Challenge::with_query("POST", "/api/chat", &[("a", "1")], 1000));
    for header in [&plain, &whole] {
        assert!(checked("POST", "/api/chat?a=1&ts=1000", header.expose(), at(1000)).is_ok());
    }
    // What was signed cannot be swapped for something else.
    assert_eq!(checked("POST", "/api/chat?a=2&ts=1000", whole.expose(), at(1000)), Err(401));
    assert_eq!(checked("POST", "/api/chat?ts=1000", whole.expose(), at(1000)), Err(401));
}

#[test]
fn a_claim_identifies_exactly_one_request() {
    let claim = |header, method, path, query| Claim::new(header, &Target { method, path, query });
    let one = claim("a:b", "GET", "/api/tags", Some("ts=1"));
    assert_eq!(one, claim("a:b", "GET", "/api/tags", Some("ts=1")));
    for other in [
        claim("a:c", "GET", "/api/tags", Some("ts=1")),
        claim("a:b", "POST", "/api/tags", Some("ts=1")),
        claim("a:b", "GET", "/api/tag", Some("sts=1")),
        claim("a:b", "GET", "/api/tags", Some("ts=2")),
        claim("a:bG", "ET", "/api/tags", Some("ts=1")),
    ] {
        assert_ne!(one, other);
    }
}
