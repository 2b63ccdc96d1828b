//! A sign-in that goes well, and what of it can be seen where.

use serde_json::json;

use super::browser::leads_to;
use super::{CLIENT, Given, SECRET};
use crate::harness::contains;

#[test]
fn a_person_signs_in_and_has_an_account() {
    let given = Given::start("");
    given.person(&json!({ "groups": ["staff", "lab"], "preferred_username": "Ada.Lovelace" }));
    let browser = given.browser();
    let login = browser.get("/login");
    assert!(login.text().contains("Sign in with Company") && login.text().contains("or with a password"));
    let url = browser.begin();
    let asked = url::Url::parse(&url).unwrap();
    let parameter = |name: &str| asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(parameter("client_id").as_deref(), Some(CLIENT));
    assert_eq!(parameter("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(parameter("scope").as_deref(), Some("openid profile email"));
    assert_eq!(parameter("redirect_uri"), Some(format!("{}/oidc/company/callback", given.gateway.url())));
    let (state, nonce) = (parameter("state").unwrap(), parameter("nonce").unwrap());
    assert!(state.len() == 43 && nonce.len() == 43 && state != nonce);

    let back = browser.at_provider(&url);
    let page = browser.arrive(&back);
    assert_eq!(leads_to(&page), "/account");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "the address has the code");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(!page.text().contains("<script"));
    let session =
        page.headers.iter().find(|(name, value)| name == "set-cookie" && value.contains("-session-")).unwrap();
    assert!(session.1.contains("SameSite=Strict") && session.1.contains("HttpOnly"), "{}", session.1);
    assert!(browser.cookies("-signin-").is_empty(), "what the sign-in needed is gone");
    let account = browser.get("/account");
    assert!(account.text().contains("with Company") && !account.text().contains("Change password"));
    assert_eq!(browser.get("/settings/password").status, 404);

    let user = given.user("ada.lovelace");
    assert_eq!(
        (&user["role"], &user["groups"], &user["email"]),
        (&json!("member"), &json!(["lab"]), &json!("ada@example.com"))
    );
    assert_eq!(
        (&user["identity"]["issuer"], &user["identity"]["subject"]),
        (&json!(given.issuer.issuer()), &json!("1"))
    );
    let created = &given.events("user.created")[1];
    assert_eq!((&created["account"], &created["details"]["provider"]), (&json!("ada.lovelace"), &json!("company")));
    assert_eq!((&created["details"]["subject"], &created["address"]), (&json!("1"), &json!("127.0.0.1")));
    assert_eq!(given.events("user.signed_in")[0]["details"]["provider"], "company");

    // The second time there is no second account.
    given.person(&json!({ "groups": ["staff", "lab"], "preferred_username": "somebody else" }));
    given.browser().signed_in();
    assert_eq!(given.users().len(), 2);
}

#[test]
fn secrets_of_a_sign_in_are_where_they_belong_only() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser();
    let url = browser.begin();
    let cookie = browser.cookies("-signin-").remove(0);
    let back = browser.at_provider(&url);
    browser.arrive(&back);
    let token = &given.issuer.requests("token")[0];
    let body = token["body"].as_str().unwrap();
    let form = |name: &str| {
        url::form_urlencoded::parse(body.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let verifier = form("code_verifier").unwrap();
    assert_eq!((form("grant_type").as_deref(), form("client_secret")), (Some("authorization_code"), None));
    assert!(token["headers"]["authorization"].as_str().unwrap().starts_with("Basic "));
    assert!(!url.contains(&verifier) && !url.contains("secret"));
    // Neither the log nor the event log nor the database has any of it.
    let code = url::Url::parse(&back).unwrap().query_pairs().find(|(key, _)| key == "code").unwrap().1.into_owned();
    let log = given.gateway.child().wait_stderr(|text| text.contains("user.signed_in"));
    let events = given.gateway.admin(&["audit", "--limit", "1000", "--json"]).expect_code(0).stdout().to_owned();
    let database = std::fs::read(given.gateway.database()).unwrap();
    for secret in [&verifier, &code, &cookie, SECRET] {
        assert!(
            !log.contains(secret) && !events.contains(secret) && !contains(&database, secret.as_bytes()),
            "{secret}"
        );
    }
}

#[test]
fn a_sign_in_leads_to_pages_of_the_gateway_only() {
    let given = Given::start("");
    given.person(&json!({}));
    for (word, path) in [
        ("keys", "/settings/keys"),
        ("new-key", "/settings/keys/new"),
        ("code", "/connect"),
        ("//evil.example", "/account"),
        ("https://evil.example/", "/account"),
        ("/\\evil.example", "/account"),
        ("", "/account"),
    ] {
        let browser = given.browser();
        let back = browser.at_provider(&browser.begin_at("/login", &[("to", word)]));
        // Neither does the address of the callback lead elsewhere.
        let page = browser.arrive(&format!("{back}&to=https://evil.example/"));
        assert_eq!(leads_to(&page), path, "{word}");
        assert_eq!(browser.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_session_of_another_person_ends_with_the_sign_in() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    let before = browser.copy();
    given.person(&json!({ "sub": "2", "preferred_username": "bob" }));
    // The page for the sign-in leads on; the form is one of before.
    let other = given.browser();
    let csrf = crate::harness::pages::between(other.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    drop(other);
    assert_eq!(browser.post("/oidc/company/start", &[("csrf", &csrf)]).status, 403, "a form of another browser");
    let signed_out = browser.post("/logout", &[("csrf", &browser.csrf())]);
    assert!(signed_out.text().contains("Signing out of Company"));
    assert!(!before.is_signed_in());
    let browser = browser.signed_in();
    assert!(browser.get("/account").text().contains("bob"));
}

#[test]
fn tabs_do_not_disturb_each_other_and_cookies_are_few() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser();
    let begin = |_| {
        given.clock.pass(1);
        browser.begin()
    };
    let urls: Vec<_> = (0..9).map(begin).collect();
    let cookies = browser.cookies("-signin-");
    assert_eq!(cookies.len(), 5);
    assert!(cookies.iter().all(|cookie| cookie.len() < 1500), "{cookies:?}");
    let last = browser.arrive(&browser.at_provider(&urls[8]));
    assert_eq!(leads_to(&last), "/account");
    let first = browser.arrive(&browser.at_provider(&urls[0]));
    assert_eq!(first.status, 403, "its cookie made room");
}

#[test]
fn a_public_client_needs_no_secret_and_userinfo_is_asked_for_what_is_missing() {
    let given = Given::start("");
    let text = std::fs::read_to_string(&given.file).unwrap().replace("client-secret-file = \"client-secret\"\n", "");
    std::fs::write(&given.file, text).unwrap();
    given.gateway.child().signal(rustix::process::Signal::HUP);
    given.gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    given.returns(json!({
        "id_token": { "claims": { "groups": null } }, "userinfo": { "sub": "1", "groups": ["staff", "lab"], "email": "evil@evil.example" },
    }));
    given.browser().signed_in();
    let user = given.user("ada");
    assert_eq!((&user["groups"], &user["email"]), (&json!(["lab"]), &json!("ada@example.com")));
    let token = &given.issuer.requests("token")[0];
    assert_eq!(token["headers"]["authorization"], serde_json::Value::Null, "{token}");
    assert!(token["body"].as_str().unwrap().contains("client_id=gateway"));
    assert_eq!(given.issuer.count("userinfo"), 1);
    given.person(&json!({}));
    given.browser().signed_in();
    assert_eq!(given.issuer.count("userinfo"), 1, "the ID token says it all");
}
