//! Passwords, wrong, right and too many; and that a sign-out leaves nothing to go back to.

use super::{assert_quiet, sign_in, sign_in_as_ada, sign_in_throttled, with_ada};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::PASSWORD;

#[test]
fn wrong_passwords_are_reported_and_throttled() {
    let (_upstream, gateway) = with_ada();
    gateway.add_user("bob", "member");
    let page = Chromium::start();
    page.open(&format!("{}/login", gateway.url()));
    sign_in(&page, "ada", "wrong password");
    assert_eq!(page.text("[role=alert]"), "Wrong name or password.");
    assert!(page.cookies().iter().all(|cookie| !cookie["name"].as_str().unwrap().contains("session")));
    // Nor does the right one help before the time is over, but others are not kept out.
    for password in ["wrong password", PASSWORD] {
        sign_in_throttled(&page, &gateway, None, password);
        let stopped = page.text("[role=alert]");
        assert!(stopped.starts_with("Too many attempts. Wait ") && stopped.ends_with("then try again."), "{stopped}");
    }
    sign_in(&page, "bob", PASSWORD);
    assert_eq!(page.path(), "/account");
    assert_quiet(&page);
}

#[test]
fn an_unknown_name_looks_like_a_wrong_password() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    page.open(&format!("{}/login", gateway.url()));
    sign_in(&page, "ada", "wrong password");
    let known = page.text("main");
    sign_in(&page, "eve", "wrong password");
    assert_eq!(page.text("main"), known);
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    sign_in(&page, "ada", "wrong password");
    assert_eq!(page.text("main"), known);
    sign_in(&page, "ada", PASSWORD);
    assert!(page.text("[role=alert]").contains("disabled"));
    assert_quiet(&page);
}

#[test]
fn after_a_sign_out_the_back_button_shows_nothing() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    page.open(&format!("{}/account", gateway.url()));
    assert_eq!(page.path(), "/login", "who is not signed in is asked to");
    sign_in_as_ada(&page, &gateway);
    page.press("Sign out");
    assert!(!page.text("body").contains("Your account"));
    assert!(page.cookies().iter().all(|cookie| !cookie["name"].as_str().unwrap().contains("session")));
    page.back();
    assert!(!page.text("body").contains("Your account"), "{}", page.text("body"));
    page.open(&format!("{}/account", gateway.url()));
    assert_eq!(page.path(), "/login");
    assert_quiet(&page);
}
