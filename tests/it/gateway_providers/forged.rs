//! What a hostile provider, or one in between, answers: none of it signs anybody in.

use serde_json::{Value, json};

use super::{CLIENT, Given, RULES};
use crate::harness::poll;

/// Each answer is refused, with an event, and makes neither an account nor a session.
#[track_caller]
fn all_are_refused(given: &Given, answers: &[(&str, Value)]) {
    for (name, answer) in answers {
        given.returns(answer.clone());
        let browser = given.browser();
        let page = browser.sign_in();
        assert!(matches!(page.status, 403 | 503), "{name}: {} {}", page.status, page.text());
        assert!(browser.cookies("-session-").is_empty(), "{name}");
        // What began under another state is not that of this answer.
        assert!(name.contains("state") || browser.cookies("-signin-").is_empty(), "{name}");
        assert!(page.text().contains("/login"), "{name}: a way back");
        assert_eq!(given.users().len(), 1, "{name}");
    }
}

fn claims(claims: &Value) -> Value {
    json!({ "id_token": { "claims": claims } })
}

#[test]
fn id_tokens_for_others_or_of_others_sign_nobody_in() {
    let given = Given::start("");
    all_are_refused(
        &given,
        &[
            ("another client", claims(&json!({ "aud": "other" }))),
            ("no audience", claims(&json!({ "aud": null }))),
            ("many audiences and no party", claims(&json!({ "aud": ["gateway", "other"] }))),
            ("made for another client", claims(&json!({ "aud": ["gateway", "other"], "azp": "other" }))),
            ("one audience, another party", claims(&json!({ "azp": "other" }))),
            ("another issuer", claims(&json!({ "iss": "https://evil.example" }))),
            ("the issuer with a slash", claims(&json!({ "iss": format!("{}/", given.issuer.issuer()) }))),
            ("no issuer", claims(&json!({ "iss": null }))),
            ("the nonce of another browser", claims(&json!({ "nonce": "x".repeat(43) }))),
            ("no nonce", claims(&json!({ "nonce": null }))),
            ("a nonce that is a list", claims(&json!({ "nonce": ["x"] }))),
            ("another access token", claims(&json!({ "at_hash": "x".repeat(22) }))),
            ("a hash that is no text", claims(&json!({ "at_hash": 1 }))),
        ],
    );
}

#[test]
fn id_tokens_that_do_not_say_what_they_must_sign_nobody_in() {
    let given = Given::start("");
    let now = given.clock.now();
    all_are_refused(
        &given,
        &[
            ("over", claims(&json!({ "iat": now - 4000, "exp": now - 3600 }))),
            ("without an end", claims(&json!({ "exp": null }))),
            ("of the future", claims(&json!({ "iat": now + 3600 }))),
            ("not yet", claims(&json!({ "nbf": now + 3600 }))),
            ("without a time", claims(&json!({ "iat": null }))),
            ("of nobody", claims(&json!({ "sub": null }))),
            ("of an empty name", claims(&json!({ "sub": "" }))),
            ("of a long name", claims(&json!({ "sub": "x".repeat(300) }))),
            ("of a number", claims(&json!({ "sub": 1 }))),
            (
                "a logout token",
                claims(&json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })),
            ),
            ("none at all", json!({ "token": { "id_token": null } })),
            ("not a token", json!({ "token": { "id_token": "a.b.c" } })),
        ],
    );
    poll("the events", || {
        let failed = given.events("user.sign_in_failed");
        failed
            .iter()
            .any(|event| event["code"] == "provider" && event["details"]["provider"] == "company")
            .then_some(())
    });
    given.person(&json!({}));
    given.browser().signed_in();
}

#[test]
fn id_tokens_that_are_not_signed_by_the_provider_sign_nobody_in() {
    let given = Given::start("");
    given.issuer.make_key(&json!({ "name": "secret", "published": false }));
    given.issuer.make_key(&json!({ "name": "evil", "kid": "first", "published": false }));
    let elsewhere = given.issuer.key_set_of("secret");
    let signed = |how: Value| json!({ "id_token": how });
    let mut answers = vec![
        ("none", signed(json!({ "sign": "none", "header": { "alg": "none" } }))),
        ("None", signed(json!({ "sign": "none", "header": { "alg": "None" } }))),
        ("no signature", signed(json!({ "sign": "none" }))),
        ("noise", signed(json!({ "sign": "random" }))),
        ("an unknown key", signed(json!({ "key": "secret" }))),
        ("another key of the same id", signed(json!({ "key": "evil" }))),
        ("a key elsewhere", signed(json!({ "key": "secret", "header": { "jku": elsewhere, "x5u": elsewhere } }))),
        ("a path as the key's id", signed(json!({ "header": { "kid": "../../../../dev/null" } }))),
        ("an extension", signed(json!({ "header": { "crit": ["exp"], "exp": 1 } }))),
        ("a changed header", signed(json!({ "renamed": { "typ": "other" } }))),
    ];
    let forms = ["pem", "pem-without-newline", "der", "jwk", "modulus", "empty"];
    answers.extend(
        forms.map(|form| ("hmac", signed(json!({ "sign": "hmac", "form": form, "header": { "alg": "HS256" } })))),
    );
    all_are_refused(&given, &answers);
}

#[test]
fn answers_of_others_sign_nobody_in() {
    let given = Given::start("");
    all_are_refused(
        &given,
        &[
            ("another issuer", json!({ "response": { "iss": "https://evil.example" } })),
            // The description says that every answer names it.
            ("no issuer", json!({ "response": { "iss": null } })),
            ("the state of another browser", json!({ "response": { "state": "x".repeat(43) } })),
            ("no state", json!({ "response": { "state": null } })),
            ("no code", json!({ "response": { "code": null } })),
            ("a code of nobody", json!({ "response": { "code": "made up" } })),
            ("a refusal", json!({ "response": { "code": null, "error": "access_denied" } })),
            ("a refusal with a code", json!({ "response": { "error": "server_error" } })),
            ("a strange refusal", json!({ "response": { "code": null, "error": "<script>alert(1)</script>" } })),
            (
                "claims of another person",
                json!({ "id_token": { "claims": { "groups": null } }, "userinfo": { "sub": "2", "groups": ["admins"] } }),
            ),
            ("claims of nobody", json!({ "id_token": { "claims": { "groups": null } }, "userinfo": { "sub": null } })),
        ],
    );
}

#[test]
fn endpoints_that_misbehave_sign_nobody_in_and_are_not_followed() {
    let given = Given::start("");
    let redirect = format!("{}/other", given.issuer.issuer());
    for (endpoint, how) in [
        ("token", json!({ "redirect": redirect })),
        ("token", json!({ "status": 500 })),
        ("token", json!({ "body": "<html>" })),
        ("token", json!({ "padding": 600_000 })),
        ("token", json!({ "close": true })),
        ("token", json!({ "patch": { "access_token": null } })),
        ("token", json!({ "patch": { "token_type": "mac" } })),
        ("jwks", json!({ "redirect": redirect })),
        ("userinfo", json!({ "redirect": redirect })),
        ("userinfo", json!({ "status": 500 })),
        ("userinfo", json!({ "body": "[]" })),
        ("userinfo", json!({ "headers": { "Content-Type": "application/jwt" } })),
    ] {
        given.issuer.behave(endpoint, how.clone());
        all_are_refused(
            &given,
            &[(&format!("{endpoint} {how}"), claims(&json!({ "groups": null })))].map(|(name, answer)| {
                let answer = if endpoint == "jwks" {
                    // Only a key that is not known yet is looked for.
                    given.issuer.add_key("new", "RS256");
                    json!({ "id_token": { "key": "new" } })
                } else {
                    answer
                };
                (&*name.clone().leak(), answer)
            }),
        );
        given.issuer.behave(endpoint, Value::Null);
    }
    assert_eq!(given.issuer.count("other"), 0, "no redirect is followed");
}

/// It says who the person is, to the gateway's client and nobody else.
#[test]
fn the_id_token_of_a_sign_in_is_no_credential() {
    let given = Given::start("");
    let rule = format!(
        "[[workload]]\nname = \"deploy\"\nissuer = \"{}\"\naudience = \"https://gpu.example.com\"\nclaims = {{ sub = \"1\" }}\n\
         scopes = [\"models:read\"]\n",
        given.issuer.issuer()
    );
    given.reload("", &(RULES.to_owned() + &rule));
    given.person(&json!({}));
    given.browser().signed_in();
    let get = |token: &str| given.gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {token}")], "");
    let now = given.clock.now();
    let good = json!({ "sub": "1", "aud": "https://gpu.example.com", "iat": now, "exp": now + 300 });
    assert_eq!(get(&given.issuer.token(good)).status, 200);
    let id_token = given.issuer.last_id_token();
    assert_eq!(given.issuer.verify(&id_token, CLIENT).unwrap()["sub"], "1", "it is a good one");
    let refused = get(&id_token);
    assert_eq!(refused.status, 401, "{}", refused.text());
}
