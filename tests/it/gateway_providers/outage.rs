//! The provider does not answer.

use serde_json::{Value, json};

use super::Given;
use crate::harness::gateway::PASSWORD;
use crate::harness::pages::between;

#[test]
fn while_the_provider_is_down_who_is_signed_in_goes_on() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    let mut device = given.gateway.device_of("ada");
    given.clock.give_to(&mut device);
    let list = ["keys", "list", "--host", &given.gateway.url()];
    // Begun before, finished during the outage.
    let begun = given.browser();
    let back = begun.at_provider(&begun.begin());
    for endpoint in ["discovery", "jwks", "token", "userinfo"] {
        given.issuer.behave(endpoint, json!({ "close": true }));
    }
    // What is known of it is used for a day, but leads no browser there.
    given.clock.pass(31);
    let asked = given.issuer.count("discovery");
    let refused = given.browser();
    let csrf = between(refused.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    let page = refused.post("/oidc/company/start", &[("csrf", &csrf)]);
    assert_eq!((page.status, page.header("retry-after")), (503, Some("30")), "{}", page.text());
    assert!(page.text().contains("Company does not answer"), "{}", page.text());
    assert!(page.text().contains("Try again in 30 seconds"), "{}", page.text());
    given.clock.pass(10);
    for _ in 0..5 {
        let page = refused.post("/oidc/company/start", &[("csrf", &csrf)]);
        assert_eq!((page.status, page.header("retry-after")), (503, Some("20")), "{}", page.text());
    }
    assert_eq!(given.issuer.count("discovery"), asked + 1, "it is asked once in 30 seconds");
    let log = given.gateway.child().wait_stderr(|text| text.contains("sign-in at the provider failed"));
    assert_eq!(log.matches("sign-in at the provider failed").count(), 1, "anybody could fill the log: {log}");
    assert!(page.text().contains("Devices and API keys that are signed in already go on working"));
    assert!(refused.cookies("-signin-").is_empty());
    drop((begun, back));
    device.command(list).run().expect_code(0);
    // Passwords of the gateway do not need it.
    let local = given.browser();
    let csrf = between(local.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    assert_eq!(local.post("/login", &[("csrf", &csrf), ("name", "root"), ("password", PASSWORD)]).status, 303);
    drop(browser);

    for endpoint in ["discovery", "jwks", "token", "userinfo"] {
        given.issuer.behave(endpoint, Value::Null);
    }
    given.clock.pass(31);
    given.person(&json!({}));
    given.browser().signed_in();
}

#[test]
fn an_outage_in_the_midst_of_a_sign_in_is_explained_and_sessions_go_on() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    let begun = given.browser();
    let back = begun.at_provider(&begun.begin());
    given.issuer.behave("token", json!({ "status": 503 }));
    let page = begun.arrive(&back);
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.text().contains("Company does not answer") && !page.text().contains(given.issuer.issuer()));
    assert!(browser.is_signed_in());
    for path in ["/settings/keys", "/settings/keys/new", "/account"] {
        assert_eq!(browser.get(path).status, 200, "{path}");
    }
    // Signing out works without it.
    given.issuer.behave("discovery", json!({ "close": true }));
    assert!(matches!(browser.post("/logout", &[("csrf", &browser.csrf())]).status, 200 | 303));
    assert!(!browser.is_signed_in());
}

#[test]
fn a_provider_that_takes_too_long_is_explained_too() {
    let given = Given::start("");
    given.person(&json!({}));
    drop(given.browser().signed_in());
    given.issuer.behave("discovery", json!({ "stall": true }));
    given.clock.pass(31);
    let refused = given.browser();
    let csrf = between(refused.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    let page = refused.post("/oidc/company/start", &[("csrf", &csrf)]);
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.text().contains("Company does not answer"), "{}", page.text());
}

#[test]
fn a_provider_that_answers_is_asked_once_in_an_interval_however_many_sign_in() {
    let given = Given::start("");
    given.browser().begin();
    let before = given.issuer.count("discovery");
    for round in 1..=2 {
        given.clock.pass(31);
        for _ in 0..5 {
            given.browser().begin();
        }
        assert_eq!(given.issuer.count("discovery"), before + round);
    }
}
