//! Every request that stock Ollama was seen to sign comes out the same, byte for byte, and verifies.

use super::{recorded_key, vectors};
use crate::identity::{Challenge, PublicKey, verify};

#[test]
fn the_key_has_the_recorded_public_forms() {
    let vector = vectors().key;
    let key = recorded_key();
    let public = key.public();
    assert_eq!(public.line(), vector.public_key);
    assert_eq!(public.to_string(), vector.public_key);
    assert_eq!(public.encoded(), vector.encoded_key);
    assert_eq!(public.fingerprint(), vector.fingerprint);
    assert_eq!(public.wire_blob().len(), 51);

    assert_eq!(&PublicKey::from_line(&vector.public_key).unwrap(), public);
    assert_eq!(&PublicKey::from_encoded(&vector.encoded_key).unwrap(), public);
    assert_eq!(&vector.public_key.parse::<PublicKey>().unwrap(), public);
    let json = serde_json::to_string(public).unwrap();
    assert_eq!(json, format!("{:?}", vector.public_key));
    assert_eq!(&serde_json::from_str::<PublicKey>(&json).unwrap(), public);
}

#[test]
fn every_recorded_request_is_signed_alike_and_verifies() {
    let vectors = vectors();
    let key = recorded_key();
    assert_eq!(vectors.cases.len(), 11);
    for case in vectors.cases {
        let target = case.target.strip_prefix("/prefix").unwrap_or(&case.target);
        let (path, query) = target.split_once('?').unwrap();
        let mut query: Vec<(&str, &str)> =
            query.split('&').map(|parameter| parameter.split_once('=').unwrap()).collect();
        let ts: i64 = query.pop().unwrap().1.parse().unwrap();
        // Order must not matter to what is signed.
        query.reverse();
        let challenge = Challenge::with_query(&case.method, path, &query, ts);

        assert_eq!(challenge.as_str(), case.challenge);
        assert_eq!(challenge.target(), target);
        assert_eq!(challenge, Challenge::of_request(&case.method, target));
        if query.is_empty() {
            assert_eq!(challenge, Challenge::new(&case.method, path, ts));
        }
        assert_eq!(key.authorize(&challenge).expose(), case.authorization);
        for header in [
            case.authorization.clone(),
            format!("Bearer {}", case.authorization),
            format!("bearer {}", case.authorization),
        ] {
            assert_eq!(&verify(&header, &challenge).unwrap(), key.public());
        }
    }
}

#[test]
fn query_parameters_are_sorted_by_name_and_escaped_as_go_does() {
    let query = [("z", "1"), ("ts", "0"), ("b", "é +*~&="), ("a b", ""), ("b", "0")];
    assert_eq!(
        Challenge::with_query("GET", "/p", &query, 5).as_str(),
        "GET,/p?a+b=&b=%C3%A9+%2B%2A~%26%3D&b=0&ts=5&z=1"
    );
}
