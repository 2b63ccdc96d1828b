//! Approving a device by the code that it shows.

use http::StatusCode;

use super::*;
use crate::gateway::pending_devices::PendingDevices;

impl Site {
    fn code(&self, key: &PublicKey) -> String {
        self.gateway.pending_devices.code(key, self.now()).unwrap().to_string()
    }
}

async fn typed(browser: &mut Browser, code: &str, name: &str) -> super::browser::Reply {
    let token = browser.get("/connect").await.token();
    browser.post("/connect/code", &[("csrf", &token), ("code", code), ("name", name)]).await
}

#[tokio::test]
async fn a_code_leads_to_the_page_with_the_fingerprint_after_a_sign_in() {
    let site = Site::with_people().await;
    let (key, mut browser) = (site.pending_device(), site.browser());
    let page = browser.get("/connect").await;
    assert!(page.status == StatusCode::OK && page.has("to approve a device by its code"));
    let token = page.token();
    let fields = [("csrf", token.as_str()), ("to", "code"), ("name", "ada"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &fields).await.location(), "/connect");
    let reply = typed(&mut browser, &site.code(&key).to_lowercase().replace('-', " "), "build server").await;
    let link = reply.location().to_owned();
    assert_eq!(link, format!("/connect?name=build+server&key={}", key.encoded()));
    let page = browser.get(&link).await;
    assert!(page.has("Compare it with the fingerprint") && page.has("198.51.100.7"), "nothing is approved yet");
    assert_eq!(site.owner(&key), None);
    let decision =
        [("csrf", &*page.token()), ("key", &key.encoded()), ("name", "build server"), ("decision", "approve")];
    assert!(browser.post("/connect", &decision).await.has("Device approved"));
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
    let reply = typed(&mut browser, &site.code(&key), "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "it waits no longer");
}

#[tokio::test]
async fn a_device_without_a_name_is_called_after_its_address() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let reply = typed(&mut ada, &site.code(&key), "  ").await;
    assert_eq!(reply.location(), format!("/connect?name=device+at+198.51.100.7&key={}", key.encoded()));
    let reply = typed(&mut ada, &site.code(&key), "a\u{7}b").await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_code_counts_for_ten_minutes_of_a_device_that_waits() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let code = site.code(&key);
    site.wait(600);
    assert!(!typed(&mut ada, &code, "").await.location().is_empty());
    site.wait(1);
    assert_eq!(typed(&mut ada, &code, "").await.status, StatusCode::NOT_FOUND, "the device is gone");
    // It asks on, and shows another code.
    site.gateway.pending_devices.add(&key, ada.address, site.now());
    site.wait(400);
    assert_eq!(typed(&mut ada, &code, "").await.status, StatusCode::NOT_FOUND, "too old");
    let reply = typed(&mut ada, &site.code(&key), "").await;
    assert!(reply.location().contains(&key.encoded()));
    site.gateway.pending_devices.deny(&key);
    assert_eq!(typed(&mut ada, &site.code(&key), "").await.status, StatusCode::NOT_FOUND, "denied");
}

#[tokio::test]
async fn guesses_are_slowed_down_for_the_account_and_recorded() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(typed(&mut ada, "BBBB-BBBB", "").await.status);
    }
    let tried = statuses.iter().filter(|status| **status == StatusCode::NOT_FOUND).count();
    assert_eq!((tried, statuses[7]), (5, StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    let reply = typed(&mut ada, &site.code(&key), "").await;
    assert!(reply.status == StatusCode::TOO_MANY_REQUESTS && reply.has("Too many codes. Wait"), "also a right one");
    // Elsewhere she is slowed down too, her password is not, and neither is bob.
    let mut bob = Browser::new(site.gateway.clone(), IpAddr::from([203, 0, 113, 9]));
    bob.sign_in("bob", PASSWORD).await;
    assert!(typed(&mut bob, &site.code(&key), "").await.location().contains(&key.encoded()));
    assert_eq!(site.browser().sign_in("ada", PASSWORD).await.location(), "/account");
    let events = site.events("device.code_refused").await;
    let codes: Vec<_> = events.iter().map(|event| event.code.as_deref().unwrap()).collect();
    assert!(codes.contains(&"unknown_code") && codes.contains(&"too_many_attempts"), "{codes:?}");
    assert!(events.iter().all(|event| event.actor == "user:ada" && !event.detail.contains("BBBB")), "{events:?}");
}

#[tokio::test]
async fn what_is_no_code_is_not_looked_up_and_not_counted() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    for wrong in ["", "BBBB", "AAAA-AAAA", "<b>bold</b>", "BBBB-BBBBB"].repeat(3) {
        let reply = typed(&mut ada, wrong, "").await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(reply.has("8 letters") && !reply.has("<b>bold"), "{wrong}");
    }
    assert!(site.events("device.code_refused").await.is_empty());
}

#[tokio::test]
async fn the_form_needs_a_session_and_its_token() {
    let site = Site::with_people().await;
    let (key, mut ada, mut bob) = (site.pending_device(), site.signed_in("ada").await, site.signed_in("bob").await);
    let code = site.code(&key);
    let foreign = bob.get("/account").await.token();
    for wrong in ["", foreign.as_str()] {
        let reply = ada.post("/connect/code", &[("csrf", wrong), ("code", &code)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    let token = ada.get("/connect").await.token();
    let mut visitor = site.browser();
    assert_eq!(visitor.post("/connect/code", &[("csrf", &token), ("code", &code)]).await.location(), "/connect");
    let mut tricked = ada.clone();
    tricked.headers = vec![("origin", "https://evil.example".to_owned())];
    let reply = tricked.post("/connect/code", &[("csrf", &token), ("code", &code)]).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(ada.get("/connect/code").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn gateways_with_one_secret_give_a_device_the_same_code() {
    let secret = Secret::of_file("s".repeat(32).as_bytes()).unwrap();
    let (one, other) = (PendingDevices::new(&secret), PendingDevices::new(&secret));
    let (key, address) = (DeviceKey::generate().unwrap().public().clone(), IpAddr::from([192, 0, 2, 1]));
    for pending in [&one, &other] {
        pending.add(&key, address, 1_000);
    }
    let code = one.code(&key, 1_000).unwrap();
    assert_eq!(other.find_by_code(&code, 1_590).unwrap().key, key);
    assert!(PendingDevices::new(&Secret::random().unwrap()).find_by_code(&code, 1_000).is_none());
    assert!(PendingDevices::default().code(&key, 1_000).is_none());
}
