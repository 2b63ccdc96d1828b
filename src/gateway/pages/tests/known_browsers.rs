//! Whom the wrong passwords of others lock out, and whom they do not.

use http::StatusCode;

use super::*;

const KNOWN: &str = "ollama-auth-browser-11435";

/// Somebody at the same address, until they have to wait for that name and for every other.
async fn guess(site: &Site) {
    let mut stranger = site.browser();
    let token = stranger.get("/login").await.token();
    for n in 0..30 {
        let name = if n < 8 { "ada".to_owned() } else { format!("user{n}") };
        stranger.post("/login", &[("csrf", &token), ("name", &name), ("password", "wrong")]).await;
    }
    for name in ["ada", "eve"] {
        let reply = stranger.post("/login", &[("csrf", &token), ("name", name), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{name}");
    }
}

async fn sign_out(browser: &mut Browser) {
    let token = browser.get("/account").await.token();
    browser.post("/logout", &[("csrf", &token)]).await;
}

#[tokio::test]
async fn wrong_passwords_of_others_do_not_lock_out_a_browser_that_signed_in_before() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    sign_out(&mut ada).await;
    assert_eq!(ada.cookies.keys().collect::<Vec<_>>(), [KNOWN], "it outlives the session");
    guess(&site).await;
    assert_eq!(ada.sign_in("ada", PASSWORD).await.location(), "/account");
    // Of that account alone.
    sign_out(&mut ada).await;
    assert_eq!(ada.sign_in("bob", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_known_browser_may_guess_five_times_and_then_waits() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    sign_out(&mut ada).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(ada.sign_in("ada", "wrong").await.status);
    }
    assert_eq!(statuses[..5], [StatusCode::UNAUTHORIZED; 5]);
    assert_eq!(statuses[7], StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_cookie_of_another_account_or_an_old_password_or_of_nobody_counts_for_nothing() {
    let site = Site::with_people().await;
    let (mut ada, bob) = (site.signed_in("ada").await, site.signed_in("bob").await);
    sign_out(&mut ada).await;
    guess(&site).await;
    let hers = ada.cookies[KNOWN].clone();
    let mut changed = hers.clone().into_bytes();
    changed[3] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    for cookie in [bob.cookies[KNOWN].clone(), "A".repeat(43), changed, hers[1..].to_owned()] {
        let mut browser = site.browser();
        browser.cookies.insert(KNOWN.into(), cookie);
        assert_eq!(browser.sign_in("ada", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    // It is worth the same after a restart, since it depends on what is stored alone.
    assert_eq!(ada.clone().sign_in("ada", PASSWORD).await.location(), "/account");
    let hash = PasswordHash::of(&"another password".into()).unwrap();
    site.change(Change::SetPassword(site.user("ada"), hash)).await;
    assert_eq!(ada.sign_in("ada", "another password").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn wrong_passwords_of_others_do_not_keep_a_signed_in_person_from_their_keys() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    ada.cookies.remove(KNOWN);
    guess(&site).await;
    site.wait(901);
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    let mut fields = wish(&token, &id, "one");
    fields.push(("password", PASSWORD));
    assert_eq!(ada.post("/settings/keys", &fields).await.status, StatusCode::CREATED);
}
