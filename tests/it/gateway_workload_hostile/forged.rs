//! Tokens that the issuer did not sign as they say.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::{AUDIENCE, Given, honest, usual_rule};
use crate::harness::hostile_issuer::HostileIssuer;

#[test]
fn a_token_without_a_signature_is_refused() {
    let given = Given::start();
    given.accepts_the_honest();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        given.refuses_minted(&json!({ "sign": "none", "header": { "alg": alg } }));
        given.refuses_minted(&json!({ "sign": "random", "header": { "alg": alg } }));
    }
    given.refuses_minted(&json!({ "sign": "none" }));
    given.refuses_minted(&json!({ "sign": "none", "header": { "alg": null } }));
    given.accepts_the_honest();
}

#[test]
fn a_public_key_is_no_secret_of_hmac() {
    let given = Given::start();
    given.accepts_the_honest();
    for alg in ["HS256", "HS384", "HS512"] {
        for form in ["pem", "pem-without-newline", "der", "jwk", "modulus", "empty"] {
            given.refuses_minted(&json!({ "sign": "hmac", "form": form, "header": { "alg": alg } }));
            given.refuses_minted(&json!({ "sign": "hmac", "form": form, "header": { "alg": alg, "kid": null } }));
        }
    }
    // Nor one that the issuer publishes.
    let secret = json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode("secret"), "kid": "shared", "alg": "HS256" });
    let other = Given::misbehaving("jwks", &json!({ "patch": { "keys": [secret] } }));
    let token = other.issuer.mint(&json!({
        "sign": "hmac", "form": "empty", "header": { "alg": "HS256", "kid": "shared" }, "claims": honest(),
    }));
    let status = other.ask(&token).status;
    assert!(status == 401 || status == 503, "{status}");
    given.accepts_the_honest();
}

#[test]
fn the_type_of_the_key_decides_not_the_header() {
    let issuer = HostileIssuer::start();
    issuer.add_key("curve", "ES256");
    issuer.add_key("edwards", "EdDSA");
    issuer.make_key(&json!({ "name": "any", "members": { "alg": null } }));
    let given = Given::start_with(issuer, usual_rule);
    for key in ["curve", "edwards", "any"] {
        let token = given.issuer.mint(&json!({ "key": key, "claims": honest() }));
        assert_eq!(given.ask(&token).status, 200, "{key}");
    }
    for (key, alg) in
        [("curve", "RS256"), ("curve", "ES384"), ("curve", "EdDSA"), ("first", "ES256"), ("first", "EdDSA")]
    {
        given.refuses_minted(&json!({ "key": key, "sign": "key", "header": { "alg": alg } }));
        given.refuses_minted(&json!({ "key": key, "sign": "raw", "header": { "alg": alg } }));
    }
    // The key says for which algorithm it is.
    given.refuses_minted(&json!({ "sign": "raw", "header": { "alg": "PS256" } }));
    given.refuses_minted(&json!({ "sign": "raw", "header": { "alg": "RS512" } }));
    for kid in ["curve", "edwards", "any"] {
        given.refuses_minted(&json!({ "sign": "raw", "header": { "kid": kid } }));
    }
    given.accepts_the_honest();
}

#[test]
fn a_key_id_is_no_path_and_no_query() {
    let given = Given::start();
    given.accepts_the_honest();
    let ids = [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "jwks/../first",
        "./first",
        "first/",
        "first\u{0}",
        "%66irst",
        "FIRST",
        " first",
        "first ",
        "",
        "' OR '1'='1",
        "first' UNION SELECT 'x",
        "http://127.0.0.1:1/keys",
        "$(id)",
        "\u{202e}tsrif",
    ];
    for kid in ids {
        given.refuses_unknown_key(&json!({ "header": { "kid": kid } }));
        given.refuses_minted(&json!({ "sign": "hmac", "form": "empty", "header": { "alg": "HS256", "kid": kid } }));
    }
    given.refuses_unknown_key(&json!({ "header": { "kid": "a".repeat(4000) } }));
    for kid in [json!(1), json!(["first"]), json!({ "first": 1 }), json!(true)] {
        given.refuses_minted(&json!({ "sign": "raw", "header": { "kid": kid } }));
    }
    assert_eq!((given.issuer.count("other"), given.issuer.count("key")), (0, 0));
    given.accepts_the_honest();
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let given = Given::start();
    given.accepts_the_honest();
    let jwk = given.issuer.make_key(&json!({ "name": "mine", "published": false }));
    let set = given.issuer.key_set_of("mine");
    let chain = BASE64_URL_SAFE_NO_PAD.encode("no certificate");
    let headers = [
        json!({ "jku": set }),
        json!({ "x5u": set }),
        json!({ "jwk": jwk }),
        json!({ "x5c": [chain] }),
        json!({ "jku": set, "kid": "first" }),
        json!({ "jwk": jwk, "kid": "first" }),
        json!({ "jwk": jwk, "kid": null }),
        json!({ "jku": set, "x5u": set, "jwk": jwk, "kid": null }),
    ];
    for header in headers {
        given.refuses_unknown_key(&json!({ "key": "mine", "header": header }));
    }
    assert_eq!((given.issuer.count("key"), given.issuer.count("other")), (0, 0), "an address in a token was asked");
    // On an honest token they change nothing.
    let token = given.issuer.mint(&json!({ "header": { "jku": set, "jwk": jwk }, "claims": honest() }));
    assert_eq!((given.ask(&token).status, given.issuer.count("key")), (200, 0));
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let given = Given::start();
    for header in [json!({ "crit": ["b64"], "b64": true }), json!({ "crit": ["exp"], "exp": 1 }), json!({ "crit": [] })]
    {
        given.refuses_minted(&json!({ "sign": "raw", "header": header }));
    }
    // The signature of these is good, otherwise the ones above prove nothing.
    let token = given.issuer.mint(&json!({ "sign": "raw", "header": { "unknown": 1 }, "claims": honest() }));
    assert_eq!(given.ask(&token).status, 200);
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused() {
    let given = Given::start();
    let token = given.issuer.token(honest());
    assert_eq!(given.ask(&token).status, 200, "and cached from now on");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let other = encode(&format!(r#"{{"iss":"{}","aud":"{AUDIENCE}","repository_id":"1"}}"#, given.issuer.issuer()));
    let last = if signature.ends_with('A') { "B" } else { "A" };
    let shorter = &signature[..signature.len() - 1];
    let tokens = [
        format!("{header}.{other}.{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{shorter}"),
        // The bits that a lenient decoder drops.
        format!("{header}.{claims}.{shorter}{last}"),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}A"),
        format!("{header}..{signature}"),
        format!("{}.{claims}.{signature}", encode(r#"{"alg":"RS256","kid":"first" }"#)),
        format!("{}.{claims}.{signature}", encode("{}")),
        format!("{}.{claims}.{signature}", encode("no JSON")),
        format!("{header}.{}.{signature}", encode("[]")),
        // An encrypted one has five parts.
        format!("{}.a.b.c.d", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)),
        format!("eyJ{}", "a".repeat(12_000)),
    ];
    for token in &tokens {
        given.refuses(token, token);
    }
    given.refuses_minted(&json!({ "sign": "random" }));
    given.refuses_minted(&json!({ "sign": "key", "header": { "b": 1 } }));
    given.refuses_minted(&json!({ "renamed": { "typ": "at+jwt" } }));
    assert_eq!(given.ask(&token).status, 200);
}

#[test]
fn a_token_that_is_too_long_is_refused() {
    let given = Given::start();
    given.accepts_the_honest();
    for length in [20_000, 60_000, 200_000] {
        let token =
            given.issuer.mint(&json!({ "claims": super::with(honest(), &json!({ "pad": "a".repeat(length) })) }));
        let asked = given.upstream.count("GET", "/api/tags");
        let status = given.ask(&token).status;
        assert!((400..500).contains(&status), "{length}: {status}");
        assert_eq!(given.upstream.count("GET", "/api/tags"), asked);
    }
    given.accepts_the_honest();
}
