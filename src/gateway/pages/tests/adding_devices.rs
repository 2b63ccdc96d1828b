//! Adding a device by its public key.

use http::StatusCode;

use super::*;

fn key() -> PublicKey {
    DeviceKey::generate().unwrap().public().clone()
}

fn fields<'a>(csrf: &'a str, line: &'a str, name: &'a str) -> [(&'a str, &'a str); 3] {
    [("csrf", csrf), ("public-key", line), ("name", name)]
}

const PATH: &str = "/settings/devices/new";

#[tokio::test]
async fn a_device_is_added_by_the_line_in_its_log() {
    let site = Site::with_people().await;
    let (mut ada, key) = (site.signed_in("ada").await, key());
    assert!(ada.get("/settings/keys").await.has("href=\"/settings/devices/new\""));
    let token = ada.get(PATH).await.token();
    let line = format!("  {} root@build\r\n", key.line());
    let reply = ada.post(PATH, &fields(&token, &line, " build-server ")).await;
    assert!(reply.status == StatusCode::OK && reply.has("Device added"), "{}", reply.body);
    let known = site.gateway.directory.device(&key).unwrap();
    assert_eq!((known.user.name.as_str(), known.credential.name.as_str()), ("ada", "build-server"));
    assert!(ada.get("/settings/keys").await.has("build-server"));
    let [event] = site.events("device.added").await.try_into().unwrap();
    assert_eq!((event.actor, event.subject), ("user:ada".to_owned(), key.fingerprint()));
    // The form that is sent again changes nothing.
    let reply = ada.post(PATH, &fields(&token, &line, "other")).await;
    assert!(reply.has("already yours") && site.events("device.added").await.len() == 1);
}

#[tokio::test]
async fn a_device_of_another_account_stays_there() {
    let site = Site::with_people().await;
    let (mut ada, mut bob, key) = (site.signed_in("ada").await, site.signed_in("bob").await, key());
    let token = ada.get(PATH).await.token();
    assert_eq!(ada.post(PATH, &fields(&token, &key.line(), "hers")).await.status, StatusCode::OK);
    let token = bob.get(PATH).await.token();
    let reply = bob.post(PATH, &fields(&token, &key.line(), "mine")).await;
    assert!(reply.status == StatusCode::CONFLICT && reply.has("belongs to another account"), "{}", reply.body);
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_pending_request_of_an_added_device_is_settled() {
    let site = Site::with_people().await;
    let (mut ada, mut bob, key) = (site.signed_in("ada").await, site.signed_in("bob").await, site.pending_device());
    let token = ada.get(PATH).await.token();
    assert_eq!(ada.post(PATH, &fields(&token, &key.line(), "hers")).await.status, StatusCode::OK);
    assert_eq!(bob.get(&link("laptop", &key)).await.status, StatusCode::FORBIDDEN, "nobody can approve it now");
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
}

#[tokio::test]
async fn what_is_no_public_key_or_no_name_is_refused() {
    let site = Site::with_people().await;
    let (mut ada, key) = (site.signed_in("ada").await, key());
    let token = ada.get(PATH).await.token();
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaC1rZXktdjEAAAAA\r\n";
    let line = key.line();
    for (text, name, said) in [
        ("", "x", "must be ssh-ed25519"),
        ("ssh-rsa AAAAB3NzaC1yc2E", "x", "must be ssh-ed25519"),
        (&line[..40], "x", "Not a public key"),
        (private, "x", "This is a private key."),
        (&line, "", "1 to 100 characters"),
        (&line, "a\nb", "1 to 100 characters"),
    ] {
        let reply = ada.post(PATH, &fields(&token, text, name)).await;
        assert!(reply.status == StatusCode::UNPROCESSABLE_ENTITY && reply.has(said), "{said}: {}", reply.body);
        assert!(!reply.has("b3BlbnNzaC1"), "a private key is not sent back");
    }
    assert_eq!(ada.post(PATH, &fields("00", &line, "x")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.browser().get(PATH).await.location(), "/login?to=keys");
    assert_eq!(site.browser().post(PATH, &fields(&token, &line, "x")).await.location(), "/login?to=keys");
    assert_eq!(site.owner(&key), None);
}

#[tokio::test]
async fn the_password_is_asked_for_after_15_minutes() {
    let site = Site::with_people().await;
    let (mut ada, key) = (site.signed_in("ada").await, key());
    let token = ada.get(PATH).await.token();
    site.wait(901);
    assert!(ada.get(PATH).await.has("type=\"password\""));
    let line = key.line();
    for (password, said) in [("", "Enter your password"), ("wrong", "Wrong password.")] {
        let mut fields = fields(&token, &line, "build").to_vec();
        fields.push(("password", password));
        let reply = ada.post(PATH, &fields).await;
        assert!(reply.status == StatusCode::FORBIDDEN && reply.has(said) && reply.has("value=\"build\""));
        assert_eq!(site.owner(&key), None);
    }
    let mut fields = fields(&token, &line, "build").to_vec();
    fields.push(("password", PASSWORD));
    assert_eq!(ada.post(PATH, &fields).await.status, StatusCode::OK);
    assert_eq!(site.owner(&key).as_deref(), Some("ada"));
}
