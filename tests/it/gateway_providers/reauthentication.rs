//! What outlives a session asks a person of a provider to sign in there again.

use serde_json::{Value, json};

use super::Given;
use super::browser::{Browser, leads_to};

const PATH: &str = "/settings/keys/new";

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[track_caller]
fn again(browser: &Browser<'_>, path: &str) -> String {
    browser.begin_at(PATH, &[("again", path)])
}

fn started() -> Given {
    let given = Given::start("");
    given.person(&json!({}));
    given
}

#[test]
fn a_key_asks_for_another_sign_in_after_a_quarter_of_an_hour() {
    let given = started();
    let browser = given.browser().signed_in();
    assert!(!browser.get(PATH).text().contains("again"), "signed in a moment ago");
    given.clock.pass(16 * 60);
    let page = browser.get(PATH);
    assert!(page.text().contains("Sign in with Company again") && !page.text().contains("type=\"password\""));
    let make = |browser: &Browser<'_>| {
        let page = browser.get(PATH);
        let text = |name: &str| crate::harness::pages::between(page.text(), &format!("name=\"{name}\" value=\""), "\"");
        let (csrf, id) = (text("csrf"), text("id"));
        browser.post(
            "/settings/keys",
            &[
                ("csrf", &csrf),
                ("id", &id),
                ("name", "ci"),
                ("scope-inference", "on"),
                ("expires", "30"),
                ("password", "x"),
            ],
        )
    };
    let refused = make(&browser);
    assert!(refused.status == 403 && refused.text().contains("Sign in with Company again"), "{}", refused.text());

    given.person(&json!({}));
    let url = again(&browser, PATH);
    assert_eq!(parameter(&url, "prompt").as_deref(), Some("login"));
    assert_eq!(
        (parameter(&url, "max_age").as_deref(), parameter(&url, "scope").as_deref()),
        (Some("0"), Some("openid"))
    );
    let cookie = browser.cookies("-session-");
    let done = browser.arrive(&browser.at_provider(&url));
    assert_eq!(leads_to(&done), PATH);
    assert_eq!(browser.cookies("-session-"), cookie, "the same session");
    assert!(!browser.get(PATH).text().contains("Sign in with Company again"));
    let made = make(&browser);
    assert!(made.text().contains("Your new API key"), "{} {}", made.status, made.text());
}

#[test]
fn only_the_person_of_the_session_counts_and_only_now() {
    let given = started();
    let browser = given.browser().signed_in();
    given.person(&json!({ "sub": "2", "preferred_username": "bob" }));
    given.browser().signed_in();
    given.clock.pass(16 * 60);
    let old = given.clock.now() - 3600;
    for (claims, says) in [
        (json!({ "sub": "2" }), "another person"),
        (json!({ "sub": "3" }), "another person"),
        (json!({ "auth_time": old }), "did not ask you to sign in again"),
        (json!({ "auth_time": null }), "did not ask you to sign in again"),
        (json!({ "auth_time": "now" }), "did not ask you to sign in again"),
    ] {
        given.person(&claims);
        let refused = browser.arrive(&browser.at_provider(&again(&browser, PATH)));
        assert!(refused.status == 403 && refused.text().contains(says), "{claims}: {}", refused.text());
        assert!(browser.get(PATH).text().contains("Sign in with Company again"), "{claims}");
    }
    assert_eq!(given.users().len(), 3, "nobody new");
    // Whose session ended meanwhile is not confirmed.
    given.person(&json!({}));
    let back = browser.at_provider(&again(&browser, PATH));
    browser.post("/logout", &[("csrf", &browser.csrf())]);
    let refused = browser.arrive(&back);
    assert!(refused.status == 403 && refused.text().contains("Your session ended"), "{}", refused.text());
    assert!(!browser.is_signed_in());
}

#[test]
fn it_leads_back_to_pages_of_the_gateway_only() {
    let given = started();
    let browser = given.browser().signed_in();
    given.clock.pass(16 * 60);
    for (path, leads) in [
        ("/settings/devices/new", "/settings/devices/new"),
        ("//evil.example/settings/keys", "/account"),
        ("https://evil.example/", "/account"),
        ("/\\evil.example", "/account"),
        ("/api/tags", "/account"),
        ("/oidc/company/start", "/account"),
    ] {
        given.person(&json!({}));
        let done = browser.arrive(&browser.at_provider(&again(&browser, path)));
        assert_eq!(leads_to(&done), leads, "{path}");
    }
}

#[test]
fn a_session_at_the_provider_that_is_old_is_not_taken_for_a_new_sign_in() {
    let given = started();
    given.person(&json!({ "auth_time": given.clock.now() - 3600 }));
    let browser = given.browser().signed_in();
    assert!(browser.get(PATH).text().contains("Sign in with Company again"));
    // The request passes through the browser, which can leave out that the time is wanted.
    for time in [Value::Null, json!("now"), json!(given.clock.now() as f64 + 0.5), json!(i64::MIN)] {
        given.person(&json!({ "auth_time": time }));
        let browser = given.browser().signed_in();
        assert!(browser.get(PATH).text().contains("Sign in with Company again"), "{time}");
    }
    given.reload("", "trust-sign-in-time = true\n");
    given.person(&json!({ "auth_time": Value::Null }));
    let browser = given.browser().signed_in();
    assert!(!browser.get(PATH).text().contains("Sign in with Company again"));
}
