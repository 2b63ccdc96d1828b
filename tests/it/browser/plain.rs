//! With scripts switched off everything works the same.

use super::keys::create;
use super::{Device, devices, sign_in};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::Ollama;

#[test]
fn every_page_works_without_scripts() {
    let page = Chromium::without_scripts();
    let other = Server::start(|_| {
        let html = "<!doctype html><title>off</title><h1>x</h1><script>document.title = 'on'</script>";
        Reply::new(200, html).header("Content-Type", "text/html")
    });
    page.open(&other.url());
    assert_eq!(page.title(), "off", "scripts are switched off");

    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    page.open(gateway.listening()["setup_url"].as_str().unwrap());
    for (field, text) in [("#name", "ada"), ("#password", PASSWORD), ("#again", PASSWORD)] {
        page.fill(field, text);
    }
    page.press("Create the administrator");
    assert_eq!(page.text("h1"), "Your account");
    page.press("Sign out");

    let device = Device::request_approval(&gateway, "no scripts");
    page.open(&device.link);
    sign_in(&page, "ada", PASSWORD);
    assert_eq!(page.text("h1"), "Approve this device?");
    page.press("Approve");
    assert_eq!(page.text("h1"), "Device approved");
    device.expect_signed_in();

    let stranger = Device::request_approval(&gateway, "a stranger's");
    page.open(&stranger.link);
    page.press("Deny");
    assert_eq!((page.text("h1").as_str(), devices(&gateway)), ("Device denied", 1));
    assert_eq!(stranger.finish().0.code, 5);
    page.press("Keys and devices");
    assert!(page.text("main").contains("no scripts"), "{}", page.text("main"));
    let key = create(&page, &gateway, "by hand");
    // Without a script there is no button that needs one; the key can be read and copied by hand.
    assert_eq!((page.text("#copy").as_str(), key.len() > 30), ("", true));
    assert_eq!(gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status, 200);
    page.press("I have copied it");
    page.press("Revoke");
    page.press("Revoke the key");
    assert_eq!(gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status, 401);
    page.press("Keys and devices");
    page.press("Disconnect");
    page.press("Disconnect the device");
    assert_eq!(devices(&gateway), 0);
}
