//! A device is approved, denied, asked about twice, in two tabs, and gone back to.

use super::{Device, assert_quiet, devices, sign_in, sign_in_as_ada, with_ada, without_blanks};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::PASSWORD;
use crate::harness::signature::TestDevice;

/// The fingerprint on the page, without the blanks between its groups.
fn fingerprint(page: &Chromium) -> String {
    without_blanks(page.property(".fingerprint", "textContent").as_str().unwrap())
}

#[test]
fn approving_on_the_page_signs_the_terminal_in() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    let device = Device::request_approval(&gateway, "ada's <laptop> & \"more\"");
    page.open(&device.link);
    assert!(page.text("main").contains("to approve the device ada's <laptop> & \"more\"."), "{}", page.text("main"));
    sign_in(&page, "ada", "not the password");
    assert!(page.text("[role=alert]").contains("Wrong name or password."));
    // The name stays in the form, the password does not, and the form still names the device.
    assert_eq!((page.property("#name", "value"), page.property("#password", "value")), ("ada".into(), "".into()));
    page.fill("#password", PASSWORD);
    page.press("Sign in");

    assert_eq!((page.path().as_str(), page.text("h1").as_str()), ("/connect", "Approve this device?"));
    assert_eq!(fingerprint(&page), device.fingerprint);
    let text = page.text("main");
    assert!(text.contains("ada's <laptop> & \"more\" asks to use this gateway as ada."), "{text}");
    for wanted in [
        "Compare it with the fingerprint that your terminal shows.",
        "Requested from\n127.0.0.1 (the same address as yours)",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
    assert_eq!(devices(&gateway), 0);
    page.press("Approve");
    assert_eq!(page.text("h1"), "Device approved");
    assert!(page.text("main").contains("close this page"));
    device.expect_signed_in();
    assert_quiet(&page);

    // Back, to the question or to what became of it; whatever is answered there changes nothing.
    for answer in ["Deny", "Approve"] {
        page.back();
        if page.text("h1") == "Approve this device?" {
            page.press(answer);
        }
        assert_eq!(page.text("h1"), "This device is signed in");
        assert_eq!(devices(&gateway), 1);
    }
    page.reload();
    assert_eq!((page.text("h1").as_str(), devices(&gateway)), ("This device is signed in", 1));
}

#[test]
fn denying_on_the_page_ends_the_sign_in_at_the_terminal() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    let device = Device::request_approval(&gateway, "a stranger's");
    let link = device.link.clone();
    page.open(&link);
    page.press("Deny");
    assert_eq!(page.text("h1"), "Device denied");
    let (finished, sandbox) = device.finish();
    assert_eq!(finished.code, 5, "{}", finished.screen);
    assert!(finished.screen.contains("refused") || finished.screen.contains("denied"), "{}", finished.screen);
    // Neither the link nor the back button turns a no into a yes.
    page.back();
    if page.text("h1") == "Approve this device?" {
        page.press("Approve");
    }
    assert_eq!(page.text("h1"), "This link is not valid");
    page.open(&link);
    assert_eq!(page.text("h1"), "This link is not valid");
    // The key is removed with the sign-in: the next one asks with another.
    let args = ["signin", "--host", &gateway.url(), "--no-wait"];
    let other = sandbox.command(args).run().expect_code(4).stdout().trim().to_owned();
    assert_ne!(other, link);
    // That one stays for the next run, and the denial holds although the device asks again.
    page.open(&other);
    page.press("Deny");
    for _ in 0..2 {
        sandbox.command(args).run().expect_code(5);
    }
    page.open(&other);
    assert_eq!(page.text("h1"), "This link is not valid");
    assert_eq!(devices(&gateway), 0);
    assert_quiet(&page);
}

#[test]
fn a_link_that_is_not_pending_is_refused_before_and_after_the_sign_in() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    let key = TestDevice::new(9).key().encoded;
    let link = format!("{}/connect?name=x&key={key}", gateway.url());
    for _ in 0..2 {
        page.open(&link);
        assert_eq!(page.text("h1"), "This link is not valid");
        assert!(page.text("main").contains("Do not use a link that somebody sent you."));
        assert!(!page.has("main form"));
        page.open(&link[..link.len() - 9]);
        assert_eq!(page.text("h1"), "This link is incomplete");
        sign_in_as_ada(&page, &gateway);
        page.open(&format!("{}/account", gateway.url()));
        page.press("Sign out");
    }
    assert_eq!(devices(&gateway), 0);
    assert_quiet(&page);
}

#[test]
fn a_link_in_two_tabs_is_decided_once() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    for (first, second, after) in [
        ("Approve", "Approve", "This device is signed in"),
        ("Approve", "Deny", "This device is signed in"),
        ("Deny", "Approve", "This link is not valid"),
    ] {
        let before = devices(&gateway);
        let device = Device::request_approval(&gateway, "twice");
        let one = page.tab();
        page.open(&device.link);
        let other = page.new_tab();
        page.open(&device.link);
        assert_eq!(page.text("h1"), "Approve this device?");
        page.switch_to_tab(&one);
        page.press(first);
        page.switch_to_tab(&other);
        page.press(second);
        assert_eq!(page.text("h1"), after, "{first}, then {second}");
        if first == "Approve" {
            device.expect_signed_in();
            assert_eq!(devices(&gateway), before + 1);
        } else {
            assert_eq!((device.finish().0.code, devices(&gateway)), (5, before));
        }
    }
    assert_quiet(&page);
}

#[test]
fn signing_out_in_another_tab_requires_a_sign_in_before_approval() {
    let (_upstream, gateway) = with_ada();
    gateway.add_user("bob", "member");
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    let device = Device::request_approval(&gateway, "laptop");
    let question = page.tab();
    page.open(&device.link);
    page.new_tab();
    page.open(&format!("{}/account", gateway.url()));
    page.press("Sign out");
    page.switch_to_tab(&question);
    page.press("Approve");
    assert_eq!((page.text("h1").as_str(), devices(&gateway)), ("Sign in", 0));
    // Somebody else signs in there: what ada was asked is not taken for an answer of bob's.
    page.open(&device.link);
    sign_in(&page, "bob", PASSWORD);
    assert!(page.text("main").contains("asks to use this gateway as bob"));
    page.press("Sign out");
    page.open(&device.link);
    sign_in(&page, "ada", PASSWORD);
    page.press("Approve");
    assert_eq!(page.text("h1"), "Device approved");
    device.expect_signed_in();
    assert_quiet(&page);
}
