//! Approving and denying devices.

use http::StatusCode;

use super::*;
use crate::gateway::admin::{AdminContext, AdminError, AdminRequest, DeviceRef, perform};
use crate::gateway::pending_devices::Asked;
use crate::gateway::store::Device;

#[tokio::test]
async fn a_link_without_a_pending_device_shows_no_approval_page() {
    let site = Site::with_people().await;
    let stranger = DeviceKey::generate().unwrap().public().clone();
    for mut browser in [site.browser(), site.signed_in("ada").await] {
        let reply = browser.get(&link("laptop", &stranger)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(reply.has("Run the sign-in again on the device") && !reply.has("decision"));
    }
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let reply = ada.post("/connect", &decision(&token, &stranger.encoded(), "approve")).await;
    assert_eq!((reply.status, site.owner(&stranger)), (StatusCode::FORBIDDEN, None));
}

#[tokio::test]
async fn an_expired_request_approves_nothing() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let token = ada.get(&link("laptop", &key)).await.token();
    site.wait(601);
    assert_eq!(ada.get(&link("laptop", &key)).await.status, StatusCode::FORBIDDEN);
    let reply = ada.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
    assert_eq!((reply.status, site.owner(&key)), (StatusCode::FORBIDDEN, None));
    assert!(site.events("device.approved").await.is_empty());
}

#[tokio::test]
async fn a_denied_device_stays_denied() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let token = ada.get(&link("laptop", &key)).await.token();
    let reply = ada.post("/connect", &decision(&token, &key.encoded(), "deny")).await;
    assert!(reply.status == StatusCode::OK && reply.has("Device denied"));
    let reply = ada.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
    assert_eq!((reply.status, site.owner(&key)), (StatusCode::FORBIDDEN, None));
    let asked = site.gateway.pending_devices.add(&key, ada.address, site.now());
    assert_eq!(asked, Asked::Denied, "and is told so");
    let [event] = site.events("device.denied").await.try_into().unwrap();
    assert_eq!(
        (event.actor, event.subject, event.detail),
        ("user:ada".into(), key.fingerprint(), r#"name="laptop""#.into())
    );
}

/// Who asks for approval and denies it again and again writes no event for each. The denials hold, and others can still decide.
#[tokio::test]
async fn denials_beyond_the_budget_of_an_account_hold_and_write_no_event() {
    let site = Site::with_people().await;
    let (mut ada, mut bob) = (site.signed_in("ada").await, site.signed_in("bob").await);
    let note = || Event { action: "test", ..Event::default() }.charged_to(site.user("bob"));
    while site.gateway.directory.commit(Change::Note, note()).await.is_ok() {}
    for _ in 0..5 {
        let key = site.pending_device();
        let token = bob.get(&link("laptop", &key)).await.token();
        let reply = bob.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
        assert_eq!((reply.status, site.owner(&key)), (StatusCode::TOO_MANY_REQUESTS, None));
        let reply = bob.post("/connect", &decision(&token, &key.encoded(), "deny")).await;
        assert!(reply.status == StatusCode::OK && reply.has("Device denied"));
        assert!(site.gateway.pending_devices.find(&key, site.now()).is_none());
    }
    // One change may have come back meanwhile.
    assert!(site.events("device.denied").await.len() <= 1);
    let key = site.pending_device();
    let token = ada.get(&link("laptop", &key)).await.token();
    let reply = ada.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
    assert!(reply.has("Device approved") && site.owner(&key).as_deref() == Some("ada"));
}

#[tokio::test]
async fn approval_needs_a_session_its_token_and_a_decision() {
    let site = Site::with_people().await;
    let (key, mut ada, mut bob) = (site.pending_device(), site.signed_in("ada").await, site.signed_in("bob").await);
    let encoded = key.encoded();
    let (token, foreign) = (ada.get("/account").await.token(), bob.get("/account").await.token());

    let reply = site.browser().post("/connect", &decision(&token, &encoded, "approve")).await;
    assert_eq!(reply.location(), format!("/connect?name=laptop&key={encoded}"), "no cookie: to the sign-in");
    let visitor = site.browser().get("/login").await.token();
    for wrong in ["", "00", foreign.as_str(), visitor.as_str()] {
        let reply = ada.post("/connect", &decision(wrong, &encoded, "approve")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    for wrong in ["", "Approve", "both"] {
        let reply = ada.post("/connect", &decision(&token, &encoded, wrong)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let reply = ada.post("/connect", &decision(&token, "nonsense", "approve")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    for (header, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let mut tricked = ada.clone();
        tricked.headers = vec![(header, value.to_owned())];
        let reply = tricked.post("/connect", &decision(&token, &encoded, "approve")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{header}: {value}");
    }
    assert_eq!(site.owner(&key), None);
    assert!(site.gateway.pending_devices.find(&key, site.now()).is_some(), "none of it was an answer");
}

#[tokio::test]
async fn signing_in_returns_to_the_device_and_approving_it_works() {
    let site = Site::with_people().await;
    let (key, mut browser) = (site.pending_device(), site.browser());
    let page = browser.get(&format!("{}&launch=true", link("Ada's laptop & more", &key))).await;
    assert!(page.status == StatusCode::OK && page.has("to approve the device"));
    let token = page.token();
    let fields = [("csrf", token.as_str()), ("name", "ada"), ("password", PASSWORD), ("device", "Ada's laptop & more")];
    let encoded = key.encoded();
    let fields = [&fields[..], &[("key", encoded.as_str())]].concat();
    let reply = browser.post("/login", &fields).await;
    let back = reply.location().to_owned();
    assert_eq!(back, format!("/connect?name=Ada%27s+laptop+%26+more&key={}", key.encoded()));

    let page = browser.get(&back).await;
    assert!(page.has("Ada's laptop &amp; more") && page.has("198.51.100.7") && page.has("just now"));
    let shown: String = page.body.split("fingerprint-label\">").nth(2).unwrap().split("</p>").next().unwrap().into();
    assert_eq!(
        shown.replace("</span>", "").replace("<span>", "").replace("<span class=\"kind\">", ""),
        key.grouped_fingerprint()
    );
    let reply = browser.post("/connect", &decision(&page.token(), &key.encoded(), "approve")).await;
    assert!(reply.status == StatusCode::OK && reply.has("return to the terminal"), "{}", reply.body);

    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
    assert!(site.gateway.pending_devices.find(&key, site.now()).is_none(), "settled");
    let [event] = site.events("device.approved").await.try_into().unwrap();
    assert_eq!(
        (event.actor.as_str(), event.subject, event.address.as_str()),
        ("user:ada", key.fingerprint(), "192.0.2.1")
    );
    assert!(browser.get(&back).await.has("This device is signed in"), "and a reload says so");
    let again = browser.post("/connect", &decision(&page.token(), &key.encoded(), "deny")).await;
    assert!(again.has("This device is signed in") && site.events("device.approved").await.len() == 1);
    assert!(browser.get("/settings/keys").await.has(&key.grouped_fingerprint()));
}

#[tokio::test]
async fn a_device_of_another_account_moves_only_while_pending() {
    let site = Site::with_people().await;
    let (key, mut ada, mut bob) = (site.pending_device(), site.signed_in("ada").await, site.signed_in("bob").await);
    let (ada_token, bob_token) = (ada.get("/account").await.token(), bob.get("/account").await.token());
    ada.post("/connect", &decision(&ada_token, &key.encoded(), "approve")).await;
    let reply = bob.post("/connect", &decision(&bob_token, &key.encoded(), "approve")).await;
    assert_eq!((reply.status, site.owner(&key).as_deref()), (StatusCode::FORBIDDEN, Some("ada")));

    site.gateway.pending_devices.add(&key, bob.address, site.now());
    assert!(bob.get(&link("laptop", &key)).await.has("signed in to another account"));
    bob.post("/connect", &decision(&bob_token, &key.encoded(), "approve")).await;
    assert_eq!(site.owner(&key).as_deref(), Some("bob"));
    assert_eq!(site.events("device.approved").await[0].detail, r#"name="laptop" previous_account="ada""#);
}

#[tokio::test]
async fn of_two_simultaneous_approvals_one_succeeds() {
    let site = Site::with_people().await;
    let (key, mut ada, mut bob) = (site.pending_device(), site.signed_in("ada").await, site.signed_in("bob").await);
    let (ada_token, bob_token) = (ada.get("/account").await.token(), bob.get("/account").await.token());
    let encoded = key.encoded();
    let (one, two) = (decision(&ada_token, &encoded, "approve"), decision(&bob_token, &encoded, "approve"));
    let (one, two) = tokio::join!(ada.post("/connect", &one), bob.post("/connect", &two));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::FORBIDDEN]);
    assert_eq!(site.events("device.approved").await.len(), 1);
}

#[tokio::test]
async fn a_full_disk_approves_nothing_and_loses_nothing() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let token = ada.get("/account").await.token();
    site.store.full.store(true, Ordering::SeqCst);
    let reply = ada.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
    assert_eq!((reply.status, site.owner(&key)), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert!(!reply.has("no space left"), "what exactly it is stands in the log alone");
    site.store.full.store(false, Ordering::SeqCst);
    ada.post("/connect", &decision(&token, &key.encoded(), "approve")).await;
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
}

#[tokio::test]
async fn of_a_browser_and_a_command_at_once_one_approves() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let token = ada.get(&link("laptop", &key)).await.token();
    let slow = site.store.held.write().await;
    let encoded = key.encoded();
    let page = tokio::spawn(async move { ada.post("/connect", &decision(&token, &encoded, "approve")).await.status });
    let command = tokio::spawn({
        let (gateway, key, now) = (site.gateway.clone(), key.clone(), site.now());
        async move {
            let device = DeviceRef::Fingerprint(key.fingerprint());
            let request = AdminRequest::Approve { device, user: "bob".into() };
            perform(&AdminContext::of(&gateway.administration, now), request).await
        }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(slow);
    let (page, command) = (page.await.unwrap(), command.await.unwrap());
    // Either may be first; the other is told that the device is not pending.
    match site.owner(&key).as_deref() {
        Some("ada") => assert_eq!((page, command), (StatusCode::OK, Err(AdminError::NotPending(key.fingerprint())))),
        _ => assert!(page == StatusCode::FORBIDDEN && command.is_ok(), "{page} {command:?}"),
    }
}

#[tokio::test]
async fn the_same_address_is_mentioned_only_where_addresses_are_known() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let same = "the same address as yours";
    let key = DeviceKey::generate().unwrap().public().clone();
    site.gateway.pending_devices.add(&key, ada.address, site.now());
    let (local, outside) = (SocketAddr::from(([127, 0, 0, 1], 11435)), SocketAddr::from(([0, 0, 0, 0], 11435)));
    let public = |url: &str| BaseUrl::parse(url).map(|parsed| parsed.url).ok();
    let proxies = |text: &str| vec![text.parse().unwrap()];
    let own = public("http://127.0.0.1:11435");
    let config = Config { listen: local, public_url: own, ..Config::default() };
    let cases = [
        (config.clone(), true),
        (Config { listen: outside, behind_tls_proxy: true, ..config.clone() }, false),
        (Config { trusted_proxies: proxies("192.0.2.0/24"), ..config.clone() }, false),
        (Config { trusted_proxies: proxies("10.0.0.1/32"), behind_tls_proxy: true, ..config.clone() }, true),
    ];
    for (config, said) in cases {
        site.gateway.config.replace(config);
        let page = ada.get(&link("laptop", &key)).await;
        assert!(page.has("192.0.2.1") && page.has(same) == said, "{said}");
    }
    // A proxy on the same machine that the gateway was not told of.
    let site = Site::at("https://gate.example").await;
    site.add("ada", Role::Admin).await;
    let mut ada = site.browser();
    ada.address = local.ip();
    ada.sign_in("ada", PASSWORD).await;
    site.gateway.pending_devices.add(&key, local.ip(), site.now());
    let page = ada.get(&link("laptop", &key)).await;
    assert!(page.has("127.0.0.1") && !page.has(same));
}

/// A device outlives the sign-in, and can make keys: a browser that was left open, or a stolen cookie, must not turn into one.
#[tokio::test]
async fn approving_with_an_old_session_needs_the_password() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    site.wait(901);
    let (key, other) = (site.pending_device(), site.pending_device());
    let page = ada.get(&link("laptop", &key)).await;
    assert!(page.has("type=\"password\"") && page.has("formnovalidate"), "{}", page.body);
    let (token, encoded) = (page.token(), key.encoded());
    for (password, said) in [("", "Enter your password: you signed in"), ("wrong", "Wrong password.")] {
        let fields = [&decision(&token, &encoded, "approve")[..], &[("password", password)]].concat();
        let reply = ada.post("/connect", &fields).await;
        assert!(reply.status == StatusCode::FORBIDDEN && reply.has(said) && !reply.has("value=\"wrong\""), "{said}");
        assert!(reply.has("Approve this device?") && reply.has(">laptop<"), "the question is still there");
    }
    assert_eq!(site.owner(&key), None);
    assert_eq!(site.events("user.sign_in_failed").await[0].detail, r#"reason="wrong password for a device""#);
    // A no can only do less harm.
    assert!(ada.post("/connect", &decision(&token, &other.encoded(), "deny")).await.has("Device denied"));
    let fields = [&decision(&token, &encoded, "approve")[..], &[("password", PASSWORD)]].concat();
    assert!(ada.post("/connect", &fields).await.has("Device approved"));
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
    let next = site.pending_device();
    assert!(!ada.get(&link("laptop", &next)).await.has("type=\"password\""), "for another quarter of an hour");
}

#[tokio::test]
async fn a_session_that_ends_during_the_write_approves_nothing() {
    let site = Site::with_people().await;
    for end in ["sign-out", "disabled"] {
        let (key, mut bob) = (site.pending_device(), site.signed_in("bob").await);
        let token = bob.get(&link("laptop", &key)).await.token();
        let slow = site.store.held.write().await;
        let change = match end {
            "disabled" => Change::SetDisabled(site.user("bob"), true),
            _ => Change::Note,
        };
        let first = tokio::spawn(site.committed(change));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let encoded = key.encoded();
        let sent = tokio::spawn(async move {
            bob.post("/connect", &decision(&token, &encoded, "approve")).await.location().to_owned()
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if end == "sign-out" {
            site.gateway.administration.sessions.end_all_of(site.user("bob"));
        }
        drop(slow);
        first.await.unwrap();
        assert_eq!(sent.await.unwrap(), format!("/connect?name=laptop&key={}", key.encoded()), "{end}");
        assert_eq!(site.owner(&key), None, "{end}");
        assert!(site.gateway.pending_devices.find(&key, site.now()).is_some(), "another may still answer");
    }
    assert!(site.events("device.approved").await.is_empty());
}

/// They are all on one page, which would else grow until it takes the memory of everybody.
#[tokio::test]
async fn an_account_has_at_most_a_thousand_devices() {
    let (store, user) = (MemoryStore::default(), Uuid::new_v4());
    let keys: Vec<PublicKey> = (0..1000).map(|_| DeviceKey::generate().unwrap().public().clone()).collect();
    let (name, created_at) = ("one of many", 1);
    let device = |key: &PublicKey| Device {
        key: key.clone(),
        user,
        name: name.into(),
        created_at,
        last_used_at: None,
        suspended: None,
    };
    store.first.lock().unwrap().devices.extend(keys.iter().map(device));
    let site = Site::opened("http://127.0.0.1:11435", store).await;
    site.add_as(user, "ada", Role::Member).await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let token = ada.get(&link("laptop", &key)).await.token();
    let encoded = key.encoded();
    let reply = ada.post("/connect", &decision(&token, &encoded, "approve")).await;
    assert!(reply.status == StatusCode::FORBIDDEN && reply.has("already has 1000 devices"), "{}", reply.body);
    assert_eq!(site.owner(&key), None);
    ada.post("/settings/devices/disconnect", &[("csrf", &token), ("key", &keys[0].encoded())]).await;
    assert!(ada.post("/connect", &decision(&token, &encoded, "approve")).await.has("Device approved"));
}
