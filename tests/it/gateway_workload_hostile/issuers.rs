//! Issuers that are taken for others, lead elsewhere, or do not answer as they should.

use serde_json::{Value, json};

use super::{Given, honest, rule, usual_rule, with};
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};

#[test]
fn the_key_of_one_issuer_does_not_sign_for_another() {
    let other = HostileIssuer::start();
    let rules = |issuer: &str| usual_rule(issuer) + &rule("other", other.issuer(), "{ repository_id = \"2\" }");
    let given = Given::start_with(HostileIssuer::start(), rules);
    given.accepts_the_honest();
    let theirs = with(honest(), &json!({ "repository_id": "2" }));
    assert_eq!(given.ask(&other.token(theirs.clone())).status, 200);
    // Each key has the id `first` at its own issuer.
    let says = |issuer: &str| with(honest(), &json!({ "iss": issuer }));
    given.refuses("another key", &other.token(says(given.issuer.issuer())));
    given.refuses("another rule", &other.token(honest()));
    given.refuses("another rule", &given.issuer.token(theirs));
    let own = given.issuer.issuer().to_owned();
    for name in [
        format!("{own}/"),
        own.to_uppercase(),
        format!("{own}/x"),
        format!("{own}#"),
        format!("{own}?"),
        format!(" {own}"),
        own.replace("127.0.0.1", "localhost"),
        own.replace("127.0.0.1", "127.1"),
        own.replace("http://", "http://x@"),
        String::new(),
    ] {
        given.refuses(&name, &given.issuer.token(says(&name)));
    }
    for name in [json!(null), json!(1), json!([own]), json!({ "iss": own })] {
        given.refuses(&name.to_string(), &given.issuer.token(with(honest(), &json!({ "iss": name }))));
    }
    // Paths are other issuers, although they have the same keys.
    given.refuses("a path", &given.issuer.token(says(&format!("{own}/tenant"))));
    given.accepts_the_honest();
}

#[test]
fn an_issuer_that_is_not_configured_is_never_asked() {
    let given = Given::start();
    let stranger = HostileIssuer::start();
    for _ in 0..3 {
        given.refuses("a stranger", &stranger.token(honest()));
    }
    assert_eq!(stranger.call("counts", &Value::Null), json!({}));
    given.accepts_the_honest();
}

#[test]
fn a_description_of_another_issuer_is_not_used() {
    let other = HostileIssuer::start();
    for patch in [
        json!({ "issuer": other.issuer() }),
        json!({ "issuer": format!("{}/a", other.issuer()) }),
        json!({ "issuer": null }),
        json!({ "jwks_uri": null }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "jwks_uri": "http://keys.example/" }),
        json!({ "jwks_uri": "" }),
    ] {
        let given = Given::misbehaving("discovery", &json!({ "patch": patch }));
        given.refuses_with(503, &patch.to_string(), &given.issuer.token(honest()));
    }
    assert_eq!(other.count("jwks"), 0);
    Given::start().accepts_the_honest();
}

#[test]
fn redirects_of_an_issuer_are_not_followed() {
    let elsewhere = Server::start(|_| Reply::json(200, "{}"));
    let trap = HostileIssuer::start();
    for (endpoint, to) in [
        ("discovery", format!("{}/.well-known/openid-configuration", trap.issuer())),
        ("discovery", elsewhere.url()),
        ("jwks", format!("{}/jwks", trap.issuer())),
        ("jwks", elsewhere.url()),
        ("jwks", "file:///etc/passwd".to_owned()),
    ] {
        let given = Given::misbehaving(endpoint, &json!({ "redirect": to }));
        // Signed by a key that is where the redirect leads.
        let claims = with(honest(), &json!({ "iss": given.issuer.issuer() }));
        given.refuses_with(503, &to, &trap.token(claims));
        given.refuses_with(503, &to, &given.issuer.token(honest()));
    }
    assert_eq!((elsewhere.requests().len(), trap.call("counts", &Value::Null)), (0, json!({})));
}

#[test]
fn answers_that_are_none_make_the_issuer_unavailable() {
    for (endpoint, how) in [
        ("discovery", json!({ "status": 404 })),
        ("discovery", json!({ "body": "<html>Sign in to this network</html>" })),
        ("discovery", json!({ "body": "[]" })),
        ("discovery", json!({ "padding": 300 << 10 })),
        ("discovery", json!({ "close": true })),
        ("jwks", json!({ "status": 500 })),
        ("jwks", json!({ "status": 204, "body": "" })),
        ("jwks", json!({ "body": "{\"keys\":\"none\"}" })),
        ("jwks", json!({ "patch": { "keys": [] } })),
        ("jwks", json!({ "patch": { "keys": [null, 1, {}, { "kty": "RSA" }] } })),
        ("jwks", json!({ "close": true })),
    ] {
        let given = Given::misbehaving(endpoint, &how);
        let answer = given.ask(&given.issuer.token(honest()));
        assert_eq!(answer.status, 503, "{endpoint} {how}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{endpoint} {how}: {:?}", answer.headers);
        assert_eq!(given.upstream.requests().len(), 0, "{endpoint} {how}");
    }
}

#[test]
fn a_slow_issuer_holds_up_its_own_tokens_only() {
    let quick = HostileIssuer::start();
    let rules = |issuer: &str| usual_rule(issuer) + &rule("quick", quick.issuer(), "{ repository_id = \"1\" }");
    for (endpoint, how) in
        [("discovery", json!({ "stall": true })), ("jwks", json!({ "stall": true })), ("jwks", json!({ "drip": 100 }))]
    {
        let issuer = HostileIssuer::start();
        issuer.behave(endpoint, how.clone());
        let given = Given::start_with(issuer, rules);
        let slow = given.issuer.token(honest());
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| given.ask(&slow).status)).collect();
            while given.issuer.count(endpoint) == 0 {
                std::thread::yield_now();
            }
            // More of them than the gateway has threads wait by now, or soon.
            for _ in 0..20 {
                assert_eq!(given.ask(&quick.token(honest())).status, 200);
            }
            for waiter in waiting {
                assert_eq!(waiter.join().unwrap(), 503, "{endpoint} {how}");
            }
        });
        assert_eq!(given.issuer.count(endpoint), 1, "one request for all");
    }
}
