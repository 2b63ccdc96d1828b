//! People in browsers: pages are refused as the API is, and say so readably.

use serde_json::json;

use super::{Given, forwarded};
use crate::harness::gateway::{Answer, PASSWORD};
use crate::harness::pages::{FORM, between, cookie};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

fn sign_in(given: &Given, from: &str) -> Answer {
    let form = given.gateway.ask("GET", "/login", &[&forwarded(from)], "");
    let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
    let body = format!("csrf={token}&name=ada&password={}", PASSWORD.replace(' ', "+"));
    given.gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM, &forwarded(from)], &body)
}

#[test]
fn a_gateway_refuses_a_browser_with_a_page() {
    let given = Given::start("[addresses]\nallow = [\"127.0.0.1\"]\n");
    for path in ["/login", "/settings/keys", "/", "/nonsense", "/assets/style.css"] {
        let page = given.gateway.ask("GET", path, &[BROWSER, &forwarded("11.0.0.1")], "");
        assert_eq!((page.status, page.header("content-type")), (403, Some("text/html; charset=utf-8")), "{path}");
        assert!(page.text().contains("This gateway accepts no requests from 11.0.0.1."), "{path}: {}", page.text());
        assert!(page.header("content-security-policy").is_some() && page.header("x-frame-options").is_some());
    }
    assert_eq!(given.gateway.ask("GET", "/login", &[BROWSER], "").status, 200);
}

#[test]
fn a_person_signs_in_and_stays_signed_in_at_accepted_addresses_only() {
    let given = Given::start("");
    let signed_in = sign_in(&given, "10.0.0.1");
    assert_eq!(signed_in.status, 303);
    let session = cookie(&signed_in, "session");
    let show = |path: &str, from: &str| given.gateway.ask("GET", path, &[&session, BROWSER, &forwarded(from)], "");
    assert_eq!(show("/settings/keys", "11.0.0.1").status, 200);
    given.admin(&["user", "addresses", "ada", "--allow", "10.0.0.0/8"]);
    for path in ["/settings/keys", "/settings/keys/new", "/account", "/settings/password", "/"] {
        let page = show(path, "11.0.0.1");
        let says = "This account is not accepted from 11.0.0.1.";
        assert!(page.status == 403 && page.text().contains(says), "{path}: {}", page.text());
        assert!(!page.text().contains("Sign out") && !page.text().contains("10.0.0.0"), "{}", page.text());
    }
    // Another person can sign in there, and the session stays where it is accepted.
    let login = show("/login", "11.0.0.1");
    assert!(login.status == 200 && login.text().contains("Sign in"), "{}", login.text());
    assert_eq!(show("/settings/keys", "10.0.0.1").status, 200);
    let refused = sign_in(&given, "11.0.0.1");
    let says = "This account is not accepted from 11.0.0.1. The administrator of this gateway can change that.";
    assert!(refused.status == 403 && refused.text().contains(says), "{}", refused.text());
    let events = crate::harness::poll("both events", || {
        let events = given.refusals(2);
        let has = |action: &str| events.iter().any(|event| event["action"] == action);
        (has("credential.refused") && has("user.sign_in_failed")).then_some(events)
    });
    assert!(events.iter().all(|event| event["account"] == "ada" && event["address"] == "11.0.0.1"), "{events:#?}");
    // Signing out takes no right.
    let form = show("/settings/keys", "10.0.0.1");
    let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
    let out = given.gateway.ask("POST", "/logout", &[&session, FORM, &forwarded("11.0.0.1")], &format!("csrf={token}"));
    assert_eq!(out.status, 303, "{}", out.text());
    assert_eq!(show("/settings/keys", "10.0.0.1").status, 303);
}

#[test]
fn the_form_for_a_new_key_takes_addresses() {
    let given = Given::start("");
    let session = cookie(&sign_in(&given, "10.0.0.1"), "session");
    let form = given.gateway.ask("GET", "/settings/keys/new", &[&session], "");
    let (token, id) =
        (between(form.text(), "name=\"csrf\" value=\"", "\""), between(form.text(), "name=\"id\" value=\"", "\""));
    let make = |from: &str| {
        let body = format!("csrf={token}&id={id}&name=k&scope-models-read=on&expires=30&from={from}");
        given.gateway.ask("POST", "/settings/keys", &[&session, FORM], &body)
    };
    for (from, says) in [
        ("10.0.0.1%2F8", "10.0.0.1/8 has host bits set: use 10.0.0.0/8."),
        ("%3Cb%3E", "&quot;&lt;b&gt;&quot; is not a network such as 10.0.0.0/8 or an address."),
    ] {
        let wrong = make(from);
        assert!(wrong.status == 422 && wrong.text().contains(says), "{}", wrong.text());
    }
    let made = make("10.0.0.0%2F8,+%3A%3Affff%3A127.0.0.1");
    assert!(made.status == 201 && made.text().contains("only from 10.0.0.0/8, 127.0.0.1/32"), "{}", made.text());
    let key = json!({ "key": format!("olauth_{}", between(made.text(), ">olauth_", "<")) });
    assert_eq!(["10.0.0.1", "127.0.0.1", "11.0.0.1"].map(|from| given.status(&key, from)), [200, 200, 403]);
    let list = given.gateway.ask("GET", "/settings/keys", &[&session], "");
    assert!(list.text().contains("only from 10.0.0.0/8, 127.0.0.1/32"), "{}", list.text());
}
