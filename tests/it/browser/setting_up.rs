//! The first account is made by the link that the gateway printed, once.

use super::{assert_quiet, sign_in};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::{Gateway, PASSWORD};

fn fill(page: &Chromium, name: &str, password: &str, again: &str) {
    page.fill("#name", name);
    page.fill("#password", password);
    page.fill("#again", again);
}

#[test]
fn setup_creates_the_first_administrator_and_signs_in() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let page = Chromium::start();
    let link = gateway.listening()["setup_url"].as_str().unwrap().to_owned();
    page.open(&link[..link.len() - 1]);
    assert_eq!(page.text("h1"), "This link is not valid");
    page.open(&format!("{}/login", gateway.url()));
    assert!(page.text("[role=alert]").contains("has no account yet"));

    page.open(&link);
    assert_eq!(page.text("h1"), "Set up this gateway");
    for (name, password, again, trouble) in [
        ("ada", PASSWORD, "another one", "The passwords do not match"),
        ("Ada Lovelace", PASSWORD, PASSWORD, "lower-case letters"),
        ("ada", "short", "short", "at least 8 characters"),
    ] {
        fill(&page, name, password, again);
        page.press("Create the administrator");
        assert!(page.text("[role=alert]").contains(trouble), "{}", page.text("main"));
        assert_eq!(page.property("#name", "value"), name, "the name stays in the form");
        assert_eq!(page.property("#password", "value"), "", "but for the passwords");
    }
    // What a browser checks by itself, before anything is sent.
    fill(&page, "ada", PASSWORD, "");
    page.click(&page.labelled("Create the administrator"));
    assert!(page.has("#again:invalid") && page.text("h1") == "Set up this gateway");

    fill(&page, "ada", PASSWORD, PASSWORD);
    page.press("Create the administrator");
    assert_eq!((page.path().as_str(), page.text("h1").as_str()), ("/account", "Your account"));
    assert!(page.text("main").contains("Role\nadmin"), "{}", page.text("main"));
    // The password is in no address that the browser keeps.
    assert!(!page.url().contains('?'));
    assert_quiet(&page);

    page.open(&link);
    assert_eq!(page.text("h1"), "This gateway is already set up");
    let visitor = page.new_tab();
    page.switch_to_tab(&visitor);
    page.open(&format!("{}/account", gateway.url()));
    page.press("Sign out");
    sign_in(&page, "ada", PASSWORD);
    assert_eq!(page.path(), "/account");
    assert_quiet(&page);
}
