//! What strangers can do with the addresses of a sign-in: nothing.

use serde_json::json;

use super::Given;
use crate::harness::pages::{FORM, between};
use crate::harness::poll;

#[test]
fn a_sign_in_is_finished_by_the_browser_that_began_it_and_once() {
    let given = Given::start("");
    given.person(&json!({}));
    // Somebody sends the address with their own code: the other browser would be signed in as them.
    let (mine, other) = (given.browser(), given.browser());
    let back = mine.at_provider(&mine.begin());
    other.begin();
    for browser in [&other, &given.browser()] {
        let refused = browser.arrive(&back);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("This sign-in cannot be finished"));
        assert!(browser.cookies("-session-").is_empty());
    }
    assert_eq!(given.issuer.count("token"), 0, "the code is not used up");

    // With the cookie as it was before: neither the code nor another one is accepted.
    given.returns(json!({ "reusable_codes": true }));
    let (again, third) = (mine.copy(), mine.copy());
    assert_eq!(mine.arrive(&back).status, 200);
    assert!(mine.is_signed_in());
    let refused = again.arrive(&back);
    assert_eq!(refused.status, 403, "{}", refused.text());
    let (address, _) = back.split_once("code=").unwrap();
    let state = url::Url::parse(&back).unwrap().query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let iss = given.issuer.issuer();
    assert_eq!(third.arrive(&format!("{address}code=another&state={state}&iss={iss}")).status, 403);
    assert!(again.cookies("-session-").is_empty() && third.cookies("-session-").is_empty());
    assert_eq!(given.issuer.count("token"), 1);
}

#[test]
fn a_sign_in_ends_after_ten_minutes_and_with_the_settings_that_it_began_with() {
    let given = Given::start("");
    given.person(&json!({}));
    let (late, changed) = (given.browser(), given.browser());
    let back = late.at_provider(&late.begin());
    given.clock.pass(601);
    assert_eq!(late.arrive(&back).status, 403);
    let back = changed.at_provider(&changed.begin());
    let text =
        std::fs::read_to_string(&given.file).unwrap().replace("client-id = \"gateway\"", "client-id = \"other\"");
    std::fs::write(&given.file, text).unwrap();
    given.gateway.child().signal(rustix::process::Signal::HUP);
    given.gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    assert_eq!(changed.arrive(&back).status, 403);
    assert_eq!(given.users().len(), 1);
}

#[test]
fn an_answer_is_not_accepted_for_another_provider() {
    let given = Given::start("");
    let other = format!("{}/other", given.issuer.issuer());
    let more = format!("[oidc.evil]\nissuer = \"{other}\"\nclient-id = \"gateway\"\ndefault-role = \"member\"\n");
    given.reload("", &more);
    given.person(&json!({}));
    let browser = given.browser();
    let back = browser.at_provider(&browser.begin());
    // The code of one would be sent to the other.
    let refused = browser.copy().arrive(&back.replace("/oidc/company/", "/oidc/evil/"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(given.issuer.count("token"), 0);
    assert_eq!(browser.arrive(&back).status, 200);
    for unknown in ["/oidc/nobody/callback?code=1&state=1", "/oidc/company/other", "/oidc/"] {
        assert_eq!(browser.arrive(unknown).status, 404, "{unknown}");
    }
    assert_eq!(browser.get("/oidc/company/start").status, 405);
}

#[test]
fn a_flood_of_answers_does_not_reach_the_provider() {
    let given = Given::start("");
    given.person(&json!({}));
    let stranger = given.browser();
    for number in 0..100 {
        let path = format!("/oidc/company/callback?code={number}&state={number}&iss=x");
        assert_eq!(stranger.arrive(&path).status, 403);
    }
    assert_eq!(given.issuer.count("token"), 0);
    // Sign-ins that were begun reach it, and not without end.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        let browser = given.browser();
        let back = browser.at_provider(&browser.begin());
        let (before, after) = back.split_once("code=").unwrap();
        let rest = after.split_once('&').unwrap().1;
        statuses.push(browser.arrive(&format!("{before}code=made-up&{rest}")).status);
        assert!(statuses.len() < 100, "{statuses:?}");
    }
    assert!(given.issuer.count("token") <= 70);
    poll("the event", || {
        let events = given.events("user.sign_in_failed");
        events.iter().any(|event| event["code"] == "too_many_attempts").then_some(())
    });
    given.clock.pass(60);
    given.person(&json!({}));
    given.browser().signed_in();
}

#[test]
fn a_sign_in_begins_on_a_page_of_the_gateway() {
    let given = Given::start("");
    let browser = given.browser();
    let csrf = between(browser.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    assert_eq!(browser.post("/oidc/company/start", &[]).status, 403);
    assert_eq!(browser.post("/oidc/company/start", &[("csrf", "0")]).status, 403);
    assert_eq!(browser.post("/oidc/nobody/start", &[("csrf", &csrf)]).status, 404);
    let body = format!("csrf={csrf}");
    let elsewhere = given.gateway.ask("POST", "/oidc/company/start", &[FORM, "Origin: https://evil.example"], &body);
    assert_eq!(elsewhere.status, 403);
    let elsewhere = given.gateway.ask("POST", "/oidc/company/start", &[FORM, "Sec-Fetch-Site: cross-site"], &body);
    assert_eq!(elsewhere.status, 403);
    assert!(browser.cookies("-signin-").is_empty());
}

#[test]
fn nobody_takes_over_an_account_by_its_name_or_address() {
    let given = Given::start("");
    given.gateway.add_user("ada", "admin");
    given.person(&json!({}));
    given.browser().signed_in();
    let (local, first) = (given.user("ada"), given.user("ada-2"));
    assert_eq!((&local["role"], &local["identity"]), (&json!("admin"), &serde_json::Value::Null));
    // Another person of the provider takes the same name and address, or the address changes hands.
    given.person(&json!({ "sub": "2" }));
    given.browser().signed_in();
    let second = given.user("ada-3");
    assert_ne!(first["id"], second["id"]);
    // The same person with everything else changed is the same.
    given.person(&json!({ "preferred_username": "root", "email": "root@example.com" }));
    let browser = given.browser().signed_in();
    assert!(browser.get("/account").text().contains("ada-2"));
    assert_eq!(given.users().len(), 4);
    // The password of the local account is not that of the other, which has none.
    given.gateway.browse(&format!("{}/login", given.gateway.url()), "ada-2", "Sign in");
    assert_eq!(given.events("user.signed_in").iter().filter(|event| event["account"] == "ada-2").count(), 2);
}
