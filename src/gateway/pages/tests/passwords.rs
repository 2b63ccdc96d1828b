//! Changing one's own password.

use http::StatusCode;

use super::*;

const NEW: &str = "battery staple";

fn fields<'a>(csrf: &'a str, current: &'a str, new: &'a str, again: &'a str) -> [(&'a str, &'a str); 4] {
    [("csrf", csrf), ("current", current), ("password", new), ("again", again)]
}

#[tokio::test]
async fn a_person_changes_the_password_and_other_sessions_end() {
    let site = Site::with_people().await;
    let (mut ada, mut elsewhere, mut bob) =
        (site.signed_in("ada").await, site.signed_in("ada").await, site.signed_in("bob").await);
    assert!(ada.get("/account").await.has("href=\"/settings/password\""));
    let form = ada.get("/settings/password").await;
    assert!(form.has("autocomplete=\"current-password\"") && form.has("autocomplete=\"new-password\""));
    let old = ada.session().cloned();
    let reply = ada.post("/settings/password", &fields(&form.token(), PASSWORD, NEW, NEW)).await;
    assert_eq!(reply.location(), "/account?password=changed");
    assert!(ada.session().is_some() && ada.session() != old.as_ref(), "a new session, with a new cookie");
    assert!(ada.get("/account?password=changed").await.has("Your password is changed"));
    assert!(!ada.get("/account").await.has("Your password is changed"));
    assert_eq!(elsewhere.get("/account").await.location(), "/login");
    assert_eq!(bob.get("/account").await.status, StatusCode::OK, "of this account alone");
    let mut again = site.browser();
    assert_eq!(again.sign_in("ada", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(again.sign_in("ada", NEW).await.location(), "/account");
    let [event] = site.events("user.password").await.try_into().unwrap();
    assert_eq!(
        (event.actor.as_str(), event.subject.as_str(), event.address.as_str()),
        ("user:ada", "ada", "192.0.2.1")
    );
    assert!(!format!("{event:?}").contains(NEW));
}

#[tokio::test]
async fn the_old_password_is_needed_even_right_after_the_sign_in() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/settings/password").await.token();
    for (current, new, again, status, said) in [
        ("wrong", NEW, NEW, StatusCode::FORBIDDEN, "Wrong password."),
        ("", NEW, NEW, StatusCode::FORBIDDEN, "Wrong password."),
        (PASSWORD, NEW, "battery stable", StatusCode::UNPROCESSABLE_ENTITY, "The passwords do not match"),
        (PASSWORD, "short", "short", StatusCode::UNPROCESSABLE_ENTITY, "at least 8 characters"),
        (PASSWORD, "", "", StatusCode::UNPROCESSABLE_ENTITY, "at least 8 characters"),
    ] {
        let reply = ada.post("/settings/password", &fields(&token, current, new, again)).await;
        assert!(reply.status == status && reply.has(said) && reply.has("role=\"alert\""), "{said}: {}", reply.body);
        assert!(!reply.has(PASSWORD) && !reply.has(NEW) && reply.has("<title>Error: "));
    }
    let twice = fields("00", PASSWORD, NEW, NEW);
    assert_eq!(ada.post("/settings/password", &twice).await.status, StatusCode::FORBIDDEN, "without the form's token");
    let mut stranger = site.browser();
    assert_eq!(stranger.get("/settings/password").await.location(), "/login?to=keys");
    let reply = stranger.post("/settings/password", &fields(&token, PASSWORD, NEW, NEW)).await;
    assert_eq!(reply.location(), "/login?to=keys");
    assert!(site.events("user.password").await.is_empty());
    assert_eq!(site.browser().sign_in("ada", PASSWORD).await.location(), "/account");
}

#[tokio::test]
async fn guessing_the_old_password_is_throttled() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/settings/password").await.token();
    let mut statuses = Vec::new();
    for n in 0..9 {
        let guess = format!("wrong {n}");
        statuses.push(ada.post("/settings/password", &fields(&token, &guess, NEW, NEW)).await.status);
    }
    assert_eq!(statuses[0], StatusCode::FORBIDDEN);
    assert_eq!(statuses[8], StatusCode::TOO_MANY_REQUESTS);
    let reply = ada.post("/settings/password", &fields(&token, PASSWORD, NEW, NEW)).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "the right one has to wait as well");
    assert_eq!(site.events("user.sign_in_failed").await[0].detail, r#"reason="wrong password for a new password""#);
}
