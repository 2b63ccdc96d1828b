//! The walk of a person: sign in, approve a device, be given a role by a group and lose it, be signed out by the provider, be removed.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::site::Site;
use crate::harness::chromium::Chromium;
use crate::harness::poll;

/// A provider, as its administrator and the people at it use it.
pub trait Provider {
    /// The name of the issuer.
    fn issuer(&self) -> String;
    /// Registers the gateways as a client.
    fn register(&self, site: &Site);
    /// Adds ada, who is in those groups.
    fn add_ada(&self, groups: &[&str]);
    /// Puts ada into those groups and takes her out of all others.
    fn set_groups(&self, groups: &[&str]);
    /// Fills in the provider's pages as ada.
    fn sign_in(&self, browser: &Chromium);
    /// Presses what the provider's page for a sign-out has.
    fn sign_out(&self, browser: &Chromium);
    /// Ends the sessions of ada, and tells the clients.
    fn end_sessions(&self);
    /// Ada cannot sign in any more.
    fn disable(&self);
    /// Signs with another key from now on, and withdraws the one before.
    fn rotate_keys(&self);
}

/// Signs ada in from the page of the gateway.
#[track_caller]
pub fn sign_in(site: &Site, provider: &dyn Provider, browser: &Chromium) {
    browser.open(&site.url("/login"));
    browser.press("Sign in with Company");
    provider.sign_in(browser);
    arrive(browser, "/account");
}

/// Opens the link of a device, which one of several gateways knows a moment later than the one that gave it.
#[track_caller]
fn open_link(browser: &Chromium, link: &str) {
    poll("the page of the link", || {
        browser.open(link);
        browser.has("#sign-in-company").then_some(())
    });
}

/// Waits for the page to which a sign-in leads: a page of the gateway's stands between.
#[track_caller]
pub fn arrive(browser: &Chromium, path: &str) {
    poll(&format!("the page {path}"), || (browser.path() == path).then_some(()));
    browser.wait_loaded();
}

/// The `Cookie` header of the session.
pub fn session(browser: &Chromium) -> String {
    let cookies = browser.cookies();
    let is_session = |cookie: &&Value| cookie["name"].as_str().unwrap().starts_with("ollama-auth-session-");
    let cookie = cookies.iter().find(is_session).unwrap_or_else(|| panic!("no session in {cookies:?}"));
    format!("{}={}", cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap())
}

/// Everything in turn. Ada is in `gpu-admins`; another administrator exists.
pub fn walk(site: &Site, provider: &dyn Provider, [browser, other]: &[Chromium; 2]) {
    provider.register(site);
    provider.add_ada(&["gpu-admins", "research"]);

    sign_in(site, provider, browser);
    assert!(browser.text("body").contains("ada"), "{}", browser.text("body"));
    let account = site.account("ada");
    assert_eq!(
        (&account["role"], &account["groups"]),
        (&"admin".into(), &serde_json::json!(["research"])),
        "{account}"
    );
    let cookie = session(browser);
    assert!(site.is_signed_in(&cookie).iter().all(|good| *good), "at each gateway");

    // A device is approved on the page that a sign-in leads to, by someone who is signed in at the provider but not here.
    browser.press("Sign out");
    provider.sign_out(browser);
    assert!(site.is_signed_in(&cookie).iter().all(|good| !good), "the session ended");
    let (device, link) = site.new_device();
    open_link(browser, &link);
    browser.press("Sign in with Company");
    provider.sign_in(browser);
    arrive(browser, "/connect");
    browser.press("Approve");
    assert_eq!(browser.text("h1"), "Device approved");
    site.complete(&device);
    assert!(site.lets_in(&device));

    // The provider signs with another key: who signs in finds that it works, and nobody else notices.
    provider.rotate_keys();
    sign_in(site, provider, other);
    let second = session(other);

    // The provider ends her sessions: at each gateway, and devices stay.
    provider.end_sessions();
    for cookie in [&session(browser), &second] {
        poll("the end of the session", || site.is_signed_in(cookie).iter().all(|good| !good).then_some(()));
    }
    assert!(site.lets_in(&device));
    other.open(&site.url("/account"));
    assert_eq!(other.path(), "/login");

    // Out of the group, she is a member from the next sign-in on.
    provider.set_groups(&["research"]);
    sign_in(site, provider, browser);
    let account = site.account("ada");
    assert_eq!(
        (&account["role"], &account["groups"]),
        (&"member".into(), &serde_json::json!(["research"])),
        "{account}"
    );
    provider.set_groups(&[]);
    provider.end_sessions();
    sign_in(site, provider, browser);
    let account = site.account("ada");
    assert_eq!((&account["role"], &account["groups"]), (&"member".into(), &serde_json::json!([])), "{account}");
}

/// The shortest time in which the gateway asks the provider whether somebody is still there.
pub const RECHECK: &str = "recheck = \"10s\"";

/// Who is disabled at the provider loses session, device and key within the time of a re-check ([`RECHECK`]), and has them again
/// after the next sign-in that the provider allows.
#[allow(clippy::print_stderr, reason = "the figure is for whoever asks for it with --nocapture")]
pub fn removal(site: &Site, provider: &dyn Provider, browser: &Chromium) {
    provider.register(site);
    provider.add_ada(&["research"]);
    let (device, link) = site.new_device();
    open_link(browser, &link);
    browser.press("Sign in with Company");
    provider.sign_in(browser);
    arrive(browser, "/connect");
    browser.press("Approve");
    site.complete(&device);
    let make = ["keys", "create", "ci", "--host", &site.url(""), "--scope", "inference,models:read"];
    let key = device.command(make).run().expect_code(0).stdout().trim().to_owned();
    let cookie = session(browser);
    let all = |status: u16| site.statuses(&key).iter().all(|each| *each == status);
    poll("the key", || all(200).then_some(()));

    std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            site.stream(&key);
            Instant::now()
        });
        site.wait_for_stream();
        provider.disable();
        let removed = Instant::now();
        poll("the end of the key", || site.statuses(&key).iter().all(|each| *each != 200).then_some(()));
        let of_key = removed.elapsed();
        poll("the end of the device", || (!site.lets_in(&device)).then_some(()));
        let of_device = removed.elapsed();
        assert!(site.is_signed_in(&cookie).iter().all(|good| !good));
        let of_stream = stream.join().unwrap() - removed;
        eprintln!("from the removal: the key {of_key:.1?}, the device {of_device:.1?}, the stream {of_stream:.1?}");
        // The time of a re-check, and what a busy machine needs.
        let last = of_key.max(of_device).max(of_stream);
        assert!(last < Duration::from_secs(30), "{last:?}");
    });
}
