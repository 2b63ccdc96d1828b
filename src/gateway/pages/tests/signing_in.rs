//! Names, passwords, sessions.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::*;

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let site = Site::with_people().await;
    let mut pages = Vec::new();
    for (name, password) in [("ada", "wrong"), ("eve", "wrong"), ("eve", PASSWORD), ("ada", ""), ("", PASSWORD)] {
        let mut browser = site.browser();
        let reply = browser.sign_in(name, password).await;
        assert!(reply.status == StatusCode::UNAUTHORIZED && browser.session().is_none(), "{name} {password}");
        assert!(reply.has("Wrong name or password.") && !reply.has("value=\"correct"));
        let token = reply.token();
        if !name.is_empty() {
            // Only where it is the name: other words of the page may hold those letters, such as the version of the stylesheet.
            pages.push(reply.body.replace(&token, "").replace(&format!("value=\"{name}\""), ""));
        }
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]));
    let events = site.events("user.sign_in_failed").await;
    // The first, and how many followed.
    let mut subjects: Vec<_> =
        events.iter().map(|event| (event.subject.as_str(), event.count, event.first.is_some())).collect();
    subjects.sort_unstable();
    let expected =
        [("(an unknown name)", 1, false), ("(an unknown name)", 2, true), ("ada", 1, false), ("ada", 1, true)];
    assert_eq!(subjects, expected, "no unknown name is written down");
    assert!(events.iter().all(|event| event.code.as_deref() == Some("wrong_password")), "{events:?}");
}

#[tokio::test]
async fn checking_an_unknown_name_takes_as_long() {
    let site = Site::with_people().await;
    let passwords = &site.gateway.pages.passwords;
    let took = async |name: &str| {
        let start = std::time::Instant::now();
        let found = passwords.verify(&site.gateway.directory, name, "wrong password".into()).await.unwrap();
        assert!(found.is_none());
        start.elapsed()
    };
    took("ada").await;
    let (mut known, mut unknown) = (took("ada").await, took("eve").await);
    for _ in 0..4 {
        (known, unknown) = (known.min(took("ada").await), unknown.min(took("eve").await));
    }
    // A hash takes tens of milliseconds, everything else thousands of times less: a wide margin tells them apart on any machine.
    assert!(unknown * 10 > known && known * 10 > unknown, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn of_fifty_wrong_passwords_five_are_checked() {
    let site = Site::with_people().await;
    let mut browser = site.browser();
    let token = browser.get("/login").await.token();
    let mut tried = 0;
    for n in 0..50 {
        let password = format!("wrong {n}");
        let fields = [("csrf", token.as_str()), ("name", "ada"), ("password", &password)];
        let reply = browser.post("/login", &fields).await;
        if reply.status == StatusCode::UNAUTHORIZED {
            tried += 1;
            continue;
        }
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = reply.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait) && reply.has(&format!("Wait {wait} seconds")));
    }
    // A sixth is due after ten seconds, if the machine is that slow.
    assert!((5..=6).contains(&tried), "{tried}");
    let reply = browser.sign_in("ada", PASSWORD).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "the right one has to wait as well");
    for (action, count) in [("user.sign_in_failed", tried), ("user.sign_in_throttled", 51 - tried)] {
        let events = site.events(action).await;
        assert_eq!(events.iter().map(|event| event.count).collect::<Vec<_>>(), [count - 1, 1], "{action}");
    }

    let mut elsewhere = site.browser();
    elsewhere.address = IpAddr::from([192, 0, 2, 2]);
    assert_eq!(elsewhere.sign_in("ada", PASSWORD).await.location(), "/account");
}

#[tokio::test]
async fn recording_a_failed_sign_in_does_not_delay_the_response() {
    let site = Site::with_people().await;
    let slow = site.store.held.write().await;
    for name in ["ada", "nobody"] {
        let mut browser = site.browser();
        let tried = tokio::time::timeout(Duration::from_secs(20), browser.sign_in(name, "wrong")).await;
        assert_eq!(tried.expect("an answer that waits for no disk").status, StatusCode::UNAUTHORIZED, "{name}");
    }
    drop(slow);
    assert_eq!(site.events("user.sign_in_failed").await.len(), 2);
}

#[tokio::test]
async fn disabling_an_account_ends_its_sessions() {
    let site = Site::with_people().await;
    let mut bob = site.signed_in("bob").await;
    site.change(Change::SetDisabled(site.user("bob"), true)).await;
    assert_eq!(bob.get("/account").await.location(), "/login");
    let (key, mut again) = (site.pending_device(), site.browser());
    let reply = again.sign_in("bob", PASSWORD).await;
    assert!(reply.status == StatusCode::FORBIDDEN && reply.has("disabled") && again.session().is_none());
    assert!(!again.sign_in("bob", "wrong").await.has("disabled"), "said only to who knows the password");
    site.change(Change::SetDisabled(site.user("bob"), false)).await;
    assert_eq!(bob.get("/account").await.location(), "/login", "and the session is over for good");
    assert_eq!(site.owner(&key), None);
}

#[tokio::test]
async fn a_sign_in_always_starts_a_new_session() {
    let site = Site::with_people().await;
    let mut browser = site.browser();
    let planted = "p".repeat(43);
    browser.cookies.insert("ollama-auth-session-11435".into(), planted.clone());
    assert_eq!(browser.sign_in("ada", PASSWORD).await.location(), "/account");
    let first = browser.session().unwrap().clone();
    assert_ne!(first, planted);
    assert!(!browser.cookies.keys().any(|name| name.contains("visitor")), "the cookie from before the sign-in is gone");

    let mut thief = site.browser();
    for cookie in [planted, "p".repeat(42), String::new()] {
        thief.cookies.insert("ollama-auth-session-11435".into(), cookie);
        assert_eq!(thief.get("/account").await.location(), "/login");
    }
    // A second sign-in in the same browser ends the first session.
    let token = site.browser().get("/login").await;
    let mut other = site.browser();
    let visitor = other.get("/login").await.token();
    browser.cookies.extend(other.cookies);
    assert!(token.status == StatusCode::OK);
    browser.post("/login", &[("csrf", &visitor), ("name", "bob"), ("password", PASSWORD)]).await.location();
    thief.cookies.insert("ollama-auth-session-11435".into(), first);
    assert_eq!(thief.get("/account").await.location(), "/login");
    assert!(browser.get("/account").await.has("bob"));
}

#[tokio::test]
async fn sessions_end_by_sign_out_by_timeout_and_by_command() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let copy = ada.clone();
    let token = ada.get("/account").await.token();
    assert_eq!(ada.post("/logout", &[("csrf", "00")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
    assert_eq!(ada.get("/logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ada.post("/logout", &[("csrf", &token)]).await.location(), "/login?signed-out=true");
    assert!(ada.session().is_none());
    assert_eq!(copy.clone().get("/account").await.location(), "/login", "a copied cookie is worth nothing");

    let (mut bob, mut ada) = (site.signed_in("bob").await, site.signed_in("ada").await);
    site.gateway.administration.sessions.end_all_of(site.user("bob"));
    assert_eq!(bob.get("/account").await.location(), "/login");
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
    assert_eq!(ada.get("/login").await.location(), "/account");
    site.wait(3601);
    assert_eq!(ada.get("/account").await.location(), "/login");
}

#[tokio::test]
async fn the_sign_in_form_needs_its_cookie() {
    let site = Site::with_people().await;
    let mut browser = site.browser();
    let token = browser.get("/login").await.token();
    let fields = [("csrf", token.as_str()), ("name", "ada"), ("password", PASSWORD)];
    assert_eq!(site.browser().post("/login", &fields).await.status, StatusCode::FORBIDDEN);
    let mut other = site.browser();
    other.get("/login").await;
    assert_eq!(other.post("/login", &fields).await.status, StatusCode::FORBIDDEN);
    browser.headers = vec![("origin", "https://evil.example".into())];
    assert_eq!(browser.post("/login", &fields).await.status, StatusCode::FORBIDDEN);
    browser.headers = vec![("origin", "http://127.0.0.1:11435".into()), ("sec-fetch-site", "same-origin".into())];
    assert_eq!(browser.post("/login", &fields).await.location(), "/account");
}

/// As at the end of the gateway: whoever waits for a slow disk is stopped, and what is on its way there is not sent a second time.
#[tokio::test]
async fn a_refusal_is_recorded_once_although_the_one_who_records_it_is_stopped() {
    let site = Site::with_people().await;
    assert_eq!(site.browser().sign_in("ada", "wrong").await.status, StatusCode::UNAUTHORIZED);
    let disk = site.store.held.write().await;
    let mut recording = Box::pin(site.gateway.report_refusals(false));
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut recording).is_pending());
        tokio::task::yield_now().await;
    }
    drop(recording);
    drop(disk);
    let events = site.events("user.sign_in_failed").await;
    assert_eq!(events.iter().map(|event| (event.count, event.first)).collect::<Vec<_>>(), [(1, None)]);
}
