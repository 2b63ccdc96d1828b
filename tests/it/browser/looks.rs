//! Every page, wide and on a phone, light and dark: it fits, it can be read and tapped, a screen reader is told what is what, the
//! console is quiet. Each is saved as a picture.

use serde_json::{Value, json};

use super::keys::create;
use super::{Device, complaints, sign_in, sign_in_as_ada, sign_in_throttled, with_ada};
use crate::harness::chromium::{Appearance, Chromium, Width};
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::signature::TestDevice;

/// The inspection: a script that gives a list of what is wrong.
pub const INSPECT: &str = include_str!("inspect.js");

/// What is found wrong with all pages of a test: told at its end, so that one run tells everything and keeps every picture.
#[derive(Default)]
pub struct Inspection(Vec<String>);

impl Inspection {
    /// Looks at the page that is shown in every way, and keeps the pictures.
    pub fn look(&mut self, page: &Chromium, name: &str) {
        let both = &[(Appearance::Light, "light"), (Appearance::Dark, "dark")][..];
        let ways = [
            (Width::Wide, 1280, "wide", both),
            (Width::Phone, 390, "phone", both),
            (Width::Narrow, 320, "narrow", &both[..1]),
        ];
        for (width, pixels, is, looks) in ways {
            page.set_width(width);
            for (look, and) in looks.iter().copied() {
                page.set_appearance(look);
                let name = format!("{name}-{is}-{and}");
                page.screenshot(&name);
                let Value::Array(found) = page.run(INSPECT, &json!([pixels])) else { panic!("{name}: no list") };
                self.0.extend(found.iter().map(|what| format!("{name}: {}", what.as_str().unwrap_or_default())));
            }
        }
        page.set_width(Width::Wide);
        page.set_appearance(Appearance::Light);
        self.0.extend(complaints(page).into_iter().map(|line| format!("{name}: {line}")));
    }

    /// Fails if anything was wrong.
    #[track_caller]
    pub fn end(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

#[test]
fn the_pages_before_anybody_is_signed_in() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let page = Chromium::start();
    let mut seen = Inspection::default();
    let link = gateway.listening()["setup_url"].as_str().unwrap().to_owned();
    page.open(&link[..link.len() - 1]);
    seen.look(&page, "setup-wrong-link");
    page.open(&format!("{}/login", gateway.url()));
    seen.look(&page, "login-no-account");
    page.open(&link);
    seen.look(&page, "setup");
    page.fill("#name", "ada");
    page.fill("#email", "ada@gate.example");
    page.fill("#password", PASSWORD);
    page.fill("#again", "another one");
    page.press("Create the administrator");
    seen.look(&page, "setup-error");
    page.fill("#password", PASSWORD);
    page.fill("#again", PASSWORD);
    page.press("Create the administrator");
    seen.look(&page, "account-empty");
    page.open(&link);
    seen.look(&page, "setup-over");
    page.press("Sign out");
    seen.look(&page, "login");
    sign_in(&page, "ada", "wrong password");
    seen.look(&page, "login-wrong");
    let cookies = page.cookies();
    let known = cookies.iter().find(|cookie| cookie["name"].as_str().unwrap().contains("browser")).unwrap();
    let known = format!("{}={}", known["name"].as_str().unwrap(), known["value"].as_str().unwrap());
    sign_in_throttled(&page, &gateway, Some(&known), "wrong password");
    seen.look(&page, "login-throttled");
    page.open(&format!("{}/logout", gateway.url()));
    seen.look(&page, "no-such-method");
    page.open(&format!("{}/nonsense", gateway.url()));
    seen.look(&page, "no-such-page");
    page.open(&gateway.url());
    assert_eq!(page.path(), "/login", "a browser is led to the sign-in");
    seen.end();
}

/// Takes the pictures of the approval page that `scripts/screenshots` copies into the documentation.
fn take_documentation_pictures(page: &Chromium) {
    page.set_width(Width::Documentation);
    for (look, name) in [(Appearance::Light, "approval-light"), (Appearance::Dark, "approval-dark")] {
        page.set_appearance(look);
        page.screenshot(name);
    }
    page.set_width(Width::Wide);
    page.set_appearance(Appearance::Light);
}

#[test]
fn the_pages_about_a_device() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    let mut seen = Inspection::default();
    let long = "W".repeat(60);
    let names = ["ada's laptop", &*long, "לפטופ \u{202e}evil\u{202d} 书斎のPC <b>"];
    for (count, name) in names.iter().enumerate() {
        let device = Device::request_approval(&gateway, name);
        page.open(&device.link);
        if count == 0 {
            seen.look(&page, "connect-login");
            sign_in(&page, "ada", PASSWORD);
        }
        seen.look(&page, &format!("connect-{count}"));
        if count == 0 {
            take_documentation_pictures(&page);
        }
        page.press("Approve");
        if count == 0 {
            seen.look(&page, "connect-approved");
        }
        device.expect_signed_in();
    }
    page.open(&format!("{}/account", gateway.url()));
    seen.look(&page, "account");
    page.open(&format!("{}/settings/keys", gateway.url()));
    seen.look(&page, "keys-devices");
    page.press("Add by public key");
    seen.look(&page, "device-add");
    page.fill("#public-key", "ssh-rsa AAAAB3NzaC1yc2E");
    page.fill("#name", "build-server");
    page.press("Add the device");
    seen.look(&page, "device-add-error");
    page.fill("#public-key", &TestDevice::new(8).key().line);
    page.press("Add the device");
    seen.look(&page, "device-added");
    page.open(&format!("{}/account", gateway.url()));
    page.press("Change password");
    seen.look(&page, "password");
    for (field, text) in [("#current", "wrong password"), ("#password", "battery staple"), ("#again", "battery staple")]
    {
        page.fill(field, text);
    }
    page.press("Change the password");
    seen.look(&page, "password-error");
    for (field, text) in [("#current", PASSWORD), ("#password", "battery staple"), ("#again", "battery staple")] {
        page.fill(field, text);
    }
    page.press("Change the password");
    assert_eq!((page.path(), page.text("[role=status]").is_empty()), ("/account".to_owned(), false));
    seen.look(&page, "password-changed");
    let device = Device::request_approval(&gateway, "a stranger's");
    page.open(&device.link);
    page.press("Deny");
    seen.look(&page, "connect-denied");
    assert_eq!(device.finish().0.code, 5);
    let key = TestDevice::new(9).key().encoded;
    page.open(&format!("{}/connect?name=x&key={key}", gateway.url()));
    seen.look(&page, "connect-refused");
    page.open(&format!("{}/connect?name=x", gateway.url()));
    seen.look(&page, "connect-incomplete");
    seen.end();
}

#[test]
fn a_device_of_another_account_and_a_long_name_of_a_person() {
    let (_upstream, gateway) = with_ada();
    let long = "a".repeat(64);
    gateway.add_user(&long, "member");
    let page = Chromium::start();
    let mut seen = Inspection::default();
    let device = Device::request_approval(&gateway, "laptop");
    sign_in_as_ada(&page, &gateway);
    page.open(&device.link);
    page.press("Approve");
    let (finished, sandbox) = device.finish();
    assert_eq!(finished.code, 0);
    page.press("Sign out");
    // The same key asks again after it was signed out, for another person.
    sandbox.command(["signout", "--keep-key"]).run().expect_code(0);
    let again = sandbox.command(["signin", "--host", &gateway.url(), "--no-wait"]).run().expect_code(4);
    page.open(again.stdout().trim());
    sign_in(&page, &long, PASSWORD);
    seen.look(&page, "connect-long-person");
    page.press("Approve");
    for (path, name) in [("/account", "account-long-person"), ("/settings/keys", "keys-long-person")] {
        page.open(&format!("{}{path}", gateway.url()));
        seen.look(&page, name);
    }
    seen.end();
}

#[test]
fn the_pages_about_keys() {
    let (_upstream, gateway) = with_ada();
    gateway.admin(&["user", "role", "ada", "admin"]).expect_code(0);
    let page = Chromium::start();
    let mut seen = Inspection::default();
    sign_in_as_ada(&page, &gateway);
    page.open(&format!("{}/settings/keys", gateway.url()));
    seen.look(&page, "keys-empty");
    page.press("Create a key");
    seen.look(&page, "keys-new");
    page.fill("#name", "nightly summaries");
    page.fill("#models", "no such [pattern");
    page.press("Create the key");
    seen.look(&page, "keys-new-error");
    create(&page, &gateway, "nightly summaries");
    seen.look(&page, "keys-made");
    page.reload();
    seen.look(&page, "keys-made-before");

    // With every right, an environment, patterns, and names of every kind.
    let long = "W".repeat(100);
    for name in ["build", &*long, "מפתח \u{1f469}\u{200d}\u{1f4bb} <script>alert(1)</script>"] {
        page.open(&format!("{}/settings/keys/new", gateway.url()));
        for scope in page.all("[type=checkbox]:not(:checked)") {
            page.click(&scope);
        }
        page.fill("#name", name);
        page.fill("#models", "llama3.2\nqwen3:*\nsomebody-with-a-long-name/a-model-with-a-very-long-name-indeed-*");
        page.fill("#environment", "production-in-a-place-with-a-long-name");
        page.press("Create the key");
        assert_eq!(page.text("h1"), "Your new API key", "{}", page.text("main"));
    }
    seen.look(&page, "keys-made-long");
    page.open(&format!("{}/settings/keys", gateway.url()));
    seen.look(&page, "keys");
    page.press("Revoke");
    seen.look(&page, "keys-revoke");
    page.press("Revoke the key");
    seen.look(&page, "keys-revoked");
    page.open(&format!("{}/settings/keys?revoked=true", gateway.url()));
    seen.look(&page, "keys-with-revoked");
    page.open(&format!("{}/settings/keys/revoke?id=x", gateway.url()));
    seen.look(&page, "keys-no-such-key");

    let device = Device::request_approval(&gateway, "ada's laptop");
    page.open(&device.link);
    page.press("Approve");
    assert_eq!(device.finish().0.code, 0);
    page.open(&format!("{}/settings/keys", gateway.url()));
    page.press("Disconnect");
    seen.look(&page, "device-disconnect");
    page.press("Disconnect the device");
    seen.look(&page, "device-disconnected");
    seen.end();
}
