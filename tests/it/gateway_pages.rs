//! A key that was made in a browser, through the whole gateway: it works until the page revokes it, and a cookie is no credential.

use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::ollama::Ollama;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn between(text: &str, from: &str, to: &str) -> String {
    let found = text.split_once(from).and_then(|(_, rest)| rest.split_once(to));
    found.unwrap_or_else(|| panic!("no {from} in {text}")).0.to_owned()
}

fn cookie(answer: &Answer, kind: &str) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
    let value = set.filter(|value| value.contains(kind)).map(|value| value.split(';').next().unwrap()).next();
    format!("Cookie: {}", value.unwrap())
}

#[test]
fn a_key_created_in_a_browser_works_until_it_is_revoked_there() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    assert_eq!(gateway.ask("GET", "/settings/keys", &[], "").header("location"), Some("/login?to=keys"));
    let form = gateway.ask("GET", "/login?to=new-key", &[], "");
    let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
    let body = format!("csrf={token}&to=new-key&name=ada&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
    assert_eq!(signed_in.header("location"), Some("/settings/keys/new"));
    let session = cookie(&signed_in, "session");
    assert_eq!(gateway.ask("GET", "/api/user/keys", &[&session], "").status, 401, "a cookie is no credential");

    let form = gateway.ask("GET", "/settings/keys/new", &[&session], "");
    let (token, id) =
        (between(form.text(), "name=\"csrf\" value=\"", "\""), between(form.text(), "name=\"id\" value=\"", "\""));
    let body = format!("csrf={token}&id={id}&name=from+a+page&scope-models-read=on&expires=30");
    let origin = format!("Origin: {}", gateway.url());
    let made = gateway.ask("POST", "/settings/keys", &[&session, FORM, &origin], &body);
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")), "{}", made.text());
    let key = format!("Authorization: Bearer olauth_{}", between(made.text(), ">olauth_", "<"));
    assert_eq!(gateway.ask("GET", "/api/tags", &[&key], "").status, 200);
    assert_eq!(gateway.ask("POST", "/api/generate", &[&key], r#"{"model":"tiny"}"#).status, 403, "of its rights alone");
    assert_eq!(gateway.ask("POST", "/settings/keys", &[&session, FORM, &origin], &body).status, 409);

    // A page of another port of this machine is another site.
    let revoke = format!("csrf={token}&id={id}");
    let elsewhere =
        gateway.ask("POST", "/settings/keys/revoke", &[&session, FORM, "Origin: http://127.0.0.1:9"], &revoke);
    assert_eq!((elsewhere.status, gateway.ask("GET", "/api/tags", &[&key], "").status), (403, 200));
    let revoked = gateway.ask("POST", "/settings/keys/revoke", &[&session, FORM, &origin], &revoke);
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let refused = gateway.ask("GET", "/api/tags", &[&key], "");
    assert!(refused.status == 401 && refused.text().contains("was revoked"), "{}", refused.text());

    let trail = gateway.admin(&["audit", "--json"]).expect_code(0).json().to_string();
    assert!(trail.contains("key.created") && trail.contains("key.revoked") && trail.contains("user:ada"), "{trail}");
    assert!(!trail.contains("olauth_"), "{trail}");
}
