//! Passwords, wrong, right and too many; and that a sign-out leaves nothing to go back to.

use super::{assert_quiet, sign_in, sign_in_as_ada, with_ada};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::PASSWORD;

#[test]
fn wrong_passwords_are_reported_and_throttled() {
    let (_upstream, gateway) = with_ada();
    gateway.add_user("bob", "member");
    let page = Chromium::start();
    page.open(&format!("{}/login", gateway.url()));
    let mut said = Vec::new();
    for _ in 0..6 {
        sign_in(&page, "ada", "wrong password");
        said.push(page.text("[role=alert]"));
        assert!(page.cookies().iter().all(|cookie| !cookie["name"].as_str().unwrap().contains("session")));
        // As soon as it was too many; the first five may have taken so long that there is one more.
        if said.last().unwrap().contains("Too many attempts") {
            break;
        }
    }
    assert_eq!(said[0], "Wrong name or password.");
    let stopped = said.last().unwrap();
    assert!(stopped.starts_with("Too many attempts. Wait ") && stopped.ends_with("then try again."), "{said:?}");
    // Nor does the right one help before the time is over, but others are not kept out.
    sign_in(&page, "ada", PASSWORD);
    assert!(page.text("[role=alert]").contains("Too many attempts"), "{}", page.text("main"));
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
