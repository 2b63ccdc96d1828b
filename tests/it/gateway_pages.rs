//! The pages through the whole gateway: a key that was made in a browser works until the page revokes it, a cookie is no credential,
//! and browsers get pages where programs get what Ollama answers.

use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::ollama::Ollama;
use crate::harness::pages::{FORM, between, cookie};

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

/// As browsers send it with every address that is typed in.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

#[test]
fn a_browser_is_led_to_the_pages_and_a_program_is_answered_as_by_ollama() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    for method in ["GET", "HEAD"] {
        let led = gateway.ask(method, "/", &[BROWSER], "");
        assert_eq!((led.status, led.header("location"), led.header("vary")), (303, Some("/login"), Some("accept")));
        for accept in ["Accept: */*", "Accept: application/json", "User-Agent: curl/8"] {
            let answer = gateway.ask(method, "/", &[accept], "");
            assert_eq!((answer.status, answer.header("vary")), (200, Some("accept")), "{method} {accept}");
            assert!(method == "HEAD" || answer.text() == "Ollama is running");
        }
    }
    for path in ["/nonsense", "/login/", "/settings", "/api2"] {
        let page = gateway.ask("GET", path, &[BROWSER], "");
        assert_eq!(page.status, 404, "{path}");
        assert!(page.text().contains("<h1>Page not found</h1>") && page.header("content-security-policy").is_some());
        assert_eq!(gateway.ask("GET", path, &["Accept: */*"], "").json()["error"], format!("no such endpoint: {path}"));
    }
    for path in ["/api/nonsense", "/v1/nonsense"] {
        assert!(gateway.ask("GET", path, &[BROWSER], "").json()["error"].is_object() || path.starts_with("/api"));
    }
    let icon = gateway.ask("GET", "/favicon.ico", &["Accept: image/*"], "");
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/svg+xml")));
    assert_eq!(icon.header("cache-control"), Some("public, max-age=86400"));
}

#[test]
fn https_pages_of_the_usual_port_tell_browsers_to_stay_with_https() {
    let public = ["--public-url", "https://gate.example", "--behind-tls-proxy", "--set", "trusted-proxies=127.0.0.1"];
    let gateway = Gateway::start_with("http://127.0.0.1:9", &public);
    let ask =
        |path: &str| gateway.raw(format!("GET {path} HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\n\r\n"));
    let page = Answer::parse(&ask("/login")).unwrap();
    assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(Answer::parse(&ask("/api/version")).unwrap().header("strict-transport-security"), None);
    let local = Gateway::start("http://127.0.0.1:9");
    assert_eq!(local.ask("GET", "/login", &[], "").header("strict-transport-security"), None);
}

#[test]
fn a_browser_that_signed_in_before_is_not_locked_out_even_after_a_restart() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let sign_in = |gateway: &Gateway, known: Option<&str>, password: &str| {
        let form = gateway.ask("GET", "/login", &[], "");
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name=ada&password={}", password.replace(' ', "+"));
        let visitor = cookie(&form, "visitor");
        let mut headers = vec![visitor.as_str(), FORM];
        headers.extend(known);
        gateway.ask("POST", "/login", &headers, &body)
    };
    let signed_in = sign_in(&gateway, None, PASSWORD);
    assert_eq!(signed_in.status, 303);
    let known = cookie(&signed_in, "browser");
    gateway.end(rustix::process::Signal::TERM);
    gateway.restart();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        statuses.push(sign_in(&gateway, None, "wrong password").status);
        assert!(statuses.len() < 50, "{statuses:?}");
    }
    assert_eq!(sign_in(&gateway, None, PASSWORD).status, 429);
    assert_eq!(sign_in(&gateway, Some(&known), PASSWORD).status, 303);
}
