//! Without a mouse: Tab, Enter, and a ring around what has the focus.

use serde_json::json;

use super::{Device, devices, with_ada};
use crate::harness::chromium::{Chromium, key};
use crate::harness::gateway::PASSWORD;

/// The text, or the name, of what has the focus; fails unless it can be seen that it has.
#[track_caller]
fn focused(page: &Chromium) -> String {
    let element = page.focused();
    let ring = "const style = getComputedStyle(arguments[0]);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2";
    let name = page
        .run("return arguments[0].innerText || arguments[0].name || arguments[0].tagName", &json!([element.value()]));
    assert_eq!(page.run(ring, &json!([element.value()])), true, "{name} has the focus and does not show it");
    name.as_str().unwrap().to_owned()
}

#[test]
fn a_device_is_approved_with_tab_and_enter_alone() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    let device = Device::request_approval(&gateway, "laptop");
    page.open(&device.link);
    assert_eq!(focused(&page), "name", "the cursor is where one types first");
    page.keys("ada");
    page.keys(key::TAB);
    assert_eq!(focused(&page), "password");
    page.keys("wrong password");
    page.and_wait(|| page.keys(key::ENTER));
    assert!(page.text("[role=alert]").contains("Wrong"));
    assert_eq!(focused(&page), "password", "the name is there already");
    page.keys(PASSWORD);
    page.keys(key::TAB);
    assert_eq!(focused(&page), "Sign in");
    page.and_wait(|| page.keys(key::ENTER));

    assert_eq!(page.text("h1"), "Approve this device?");
    // Enter alone decides nothing.
    page.keys(key::ENTER);
    let mut stops = Vec::new();
    while stops.last().is_none_or(|last| last != "Approve") {
        page.keys(key::TAB);
        stops.push(focused(&page));
        assert!(stops.len() < 10, "{stops:?}");
    }
    assert_eq!((page.text("h1").as_str(), devices(&gateway)), ("Approve this device?", 0));
    let count = stops.len();
    assert!(
        stops[0] == "Skip to the content" && stops[count - 2] == "Sign out",
        "in the order in which it is read: {stops:?}"
    );
    page.keys(key::TAB);
    assert_eq!(focused(&page), "Deny");
    page.run("arguments[0].focus()", &json!([page.labelled("Approve").value()]));
    page.and_wait(|| page.keys(key::SPACE));
    assert_eq!(page.text("h1"), "Device approved");
    device.expect_signed_in();

    // The link at the top skips the navigation.
    page.open(&format!("{}/account", gateway.url()));
    page.keys(key::TAB);
    page.keys(key::ENTER);
    page.keys(key::TAB);
    assert_eq!(focused(&page), "Keys and devices");
    assert!(page.run("return document.activeElement.closest('main') !== null", &json!([])) == true);
}
