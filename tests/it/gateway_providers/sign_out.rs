//! Signing out here leads to the provider, and signing out there ends sessions here.

use serde_json::{Value, json};

use super::Given;
use super::browser::leads_to;
use crate::harness::gateway::Answer;
use crate::harness::pages::FORM;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn started() -> Given {
    let given = Given::start("");
    given.person(&json!({ "sid": "a" }));
    given
}

/// A logout token with other claims than the usual ones.
fn tell(given: &Given, how: &Value) -> Answer {
    let now = given.clock.now();
    let mut claims = json!({
        "aud": "gateway", "iat": now, "exp": now + 120, "events": { EVENT: {} }, "sub": null,
    });
    claims.as_object_mut().unwrap().extend(how["claims"].as_object().cloned().unwrap_or_default());
    let mut whole = how.clone();
    whole["claims"] = claims;
    let token = given.issuer.mint(&whole);
    post(given, &format!("logout_token={token}"))
}

fn post(given: &Given, body: &str) -> Answer {
    given.gateway.ask("POST", "/oidc/company/logout", &[FORM], body)
}

#[test]
fn a_sign_out_leads_to_the_provider_and_back() {
    let given = started();
    let browser = given.browser().signed_in();
    let page = browser.post("/logout", &[("csrf", &browser.csrf())]);
    let url = url::Url::parse(&leads_to(&page)).unwrap();
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(url.path(), "/end_session");
    assert_eq!(parameter("client_id").as_deref(), Some("gateway"));
    assert_eq!(parameter("post_logout_redirect_uri"), Some(format!("{}/", given.gateway.url())));
    assert!(!browser.is_signed_in() && browser.cookies("-session-").is_empty());
    // A person with a password is led nowhere.
    given.gateway.browse(&format!("{}/login", given.gateway.url()), "root", "Sign in").expect_code(0);
    // Nobody else can sign a person out.
    let browser = given.browser().signed_in();
    assert_eq!(browser.post("/logout", &[("csrf", "0")]).status, 403);
    assert!(browser.is_signed_in());
}

#[test]
fn the_provider_ends_one_session_or_all_of_a_person() {
    let given = started();
    let one = given.browser().signed_in();
    given.person(&json!({ "sid": "b" }));
    let (two, three) = (given.browser().signed_in(), given.browser().signed_in());
    given.person(&json!({ "sub": "2", "preferred_username": "bob", "sid": "c" }));
    let bob = given.browser().signed_in();
    let device = given.gateway.device_of("ada");

    let told = tell(&given, &json!({ "claims": { "sid": "a" } }));
    assert_eq!((told.status, told.header("cache-control")), (200, Some("no-store")), "{}", told.text());
    assert!(!one.is_signed_in() && two.is_signed_in() && three.is_signed_in());
    assert_eq!(tell(&given, &json!({ "claims": { "sid": "b", "sub": "1" } })).status, 200);
    assert!(!two.is_signed_in() && !three.is_signed_in() && bob.is_signed_in());
    // The sign-in of before begins no session any more.
    given.person(&json!({ "sid": "b" }));
    let late = given.browser();
    assert_eq!(late.sign_in().status, 503);
    assert!(late.cookies("-session-").is_empty());

    given.person(&json!({ "sid": "d" }));
    let four = given.browser().signed_in();
    assert_eq!(tell(&given, &json!({ "claims": { "sub": "1" } })).status, 200);
    assert!(!four.is_signed_in() && bob.is_signed_in());
    let events = given.events("user.signed_out");
    assert_eq!(
        (&events.last().unwrap()["account"], &events.last().unwrap()["details"]["sessions"]),
        (&json!("ada"), &json!(1))
    );
    // Devices and keys do not depend on a browser's session.
    device.command(["keys", "list", "--host", &given.gateway.url()]).run().expect_code(0);
    // Of somebody unknown there is nothing to end.
    assert_eq!(tell(&given, &json!({ "claims": { "sub": "99" } })).status, 200);
}

/// The name of a session can be in the logout token alone.
#[test]
fn a_session_that_began_without_a_name_ends_with_any_of_the_person() {
    let given = Given::start("");
    given.person(&json!({}));
    let unnamed = given.browser().signed_in();
    given.person(&json!({ "sid": "b" }));
    let named = given.browser().signed_in();
    given.person(&json!({ "sub": "2", "preferred_username": "bob" }));
    let bob = given.browser().signed_in();
    // It does not say whose it is.
    assert_eq!(tell(&given, &json!({ "claims": { "sid": "a" } })).status, 200);
    assert!(unnamed.is_signed_in());
    assert_eq!(tell(&given, &json!({ "claims": { "sid": "a", "sub": "1" } })).status, 200);
    assert!(!unnamed.is_signed_in() && named.is_signed_in() && bob.is_signed_in());
    assert_eq!(given.events("user.signed_out").last().unwrap()["account"], "ada");
}

#[test]
fn what_is_no_logout_token_ends_nothing() {
    let given = started();
    let browser = given.browser().signed_in();
    let now = given.clock.now();
    given.issuer.make_key(&json!({ "name": "secret", "published": false }));
    let sid = |more: Value| {
        let mut claims = json!({ "sid": "a" });
        claims.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        json!({ "claims": claims })
    };
    let mut forged = sid(json!({}));
    forged["key"] = json!("secret");
    let mut unsigned = sid(json!({}));
    (unsigned["sign"], unsigned["header"]) = (json!("none"), json!({ "alg": "none" }));
    let mut hmac = sid(json!({}));
    (hmac["sign"], hmac["header"]) = (json!("hmac"), json!({ "alg": "HS256" }));
    for (name, how) in [
        ("another client's", sid(json!({ "aud": "other" }))),
        ("another issuer's", sid(json!({ "iss": "https://evil.example" }))),
        ("an ID token", sid(json!({ "events": null }))),
        ("an ID token with the event", sid(json!({ "nonce": "x" }))),
        ("another event", sid(json!({ "events": { "http://example.com/other": {} } }))),
        ("without a time", sid(json!({ "iat": null }))),
        ("old, with no end", sid(json!({ "iat": now - 700, "exp": null }))),
        ("over", sid(json!({ "iat": now - 4000, "exp": now - 3600 }))),
        ("of the future", sid(json!({ "iat": now + 3600 }))),
        ("without an id", sid(json!({ "jti": null }))),
        ("of nobody", sid(json!({ "sid": null }))),
        ("forged", forged),
        ("unsigned", unsigned),
        ("signed with the public key", hmac),
    ] {
        let refused = tell(&given, &how);
        // A key that is not known yet may be known later.
        let (status, error) = match name {
            "forged" => (503, "temporarily_unavailable"),
            _ => (400, "invalid_request"),
        };
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
        assert_eq!(refused.json()["error"], error, "{name}");
        assert!(browser.is_signed_in(), "{name}");
    }
    for body in ["", "logout_token=", "logout_token=a.b.c", "logout_token=1&logout_token=2"] {
        assert_eq!(post(&given, body).status, 400, "{body}");
    }
    assert_eq!(given.gateway.ask("POST", "/oidc/nobody/logout", &[FORM], "logout_token=1").status, 404);

    // The same token counts once.
    given.person(&json!({ "sid": "z" }));
    let other = given.browser().signed_in();
    let once = json!({ "claims": { "sid": "z", "jti": "once" } });
    assert_eq!(tell(&given, &once).status, 200);
    assert!(!other.is_signed_in());
    assert_eq!(tell(&given, &once).status, 400);
    assert!(browser.is_signed_in());
}

#[test]
fn tokens_of_keys_that_are_not_known_do_not_fill_the_log() {
    let given = started();
    given.browser().signed_in();
    given.issuer.make_key(&json!({ "name": "secret", "published": false }));
    for _ in 0..5 {
        assert_eq!(tell(&given, &json!({ "claims": { "sid": "a" }, "key": "secret" })).status, 503);
    }
    let what = "a sign-out at a provider could not be carried out";
    let log = given.gateway.child().wait_stderr(|text| text.contains(what));
    assert_eq!(log.matches(what).count(), 1, "{log}");
}
