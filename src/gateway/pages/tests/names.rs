//! Forms under the names that the gateway answers to besides that of its public address.

use http::StatusCode;

use super::*;

async fn sign_in(site: &Site, host: &str, origin: &str) -> (StatusCode, Browser) {
    sign_in_by(site.browser(), host, origin).await
}

async fn sign_in_by(mut browser: Browser, host: &str, origin: &str) -> (StatusCode, Browser) {
    browser.headers = vec![("host", host.to_owned())];
    let token = browser.get("/login").await.token();
    browser.headers =
        [("host", host), ("origin", origin), ("sec-fetch-site", "same-origin")].map(|(n, v)| (n, v.to_owned())).into();
    let reply = browser.post("/login", &[("csrf", &token), ("name", "ada"), ("password", PASSWORD)]).await;
    if reply.status == StatusCode::FORBIDDEN {
        assert!(reply.has("Open it as <a href=\"https://gate.example\">"), "{}", reply.body);
    }
    (reply.status, browser)
}

#[tokio::test]
async fn forms_are_accepted_under_the_allowed_host_names_only() {
    let site = Site::at("https://gate.example").await;
    site.add("ada", Role::Admin).await;
    let allowed = vec!["box.lan".to_owned(), "10.0.0.5:8443".to_owned()];
    let public_url = site.gateway.config.get().public_url.clone();
    let listen = SocketAddr::from(([0, 0, 0, 0], 443));
    site.gateway.config.replace(Config { public_url, allowed_hosts: allowed, listen, ..Config::default() });
    for (host, origin) in [
        ("gate.example", "https://gate.example"),
        ("box.lan", "https://box.lan"),
        ("box.lan:443", "https://box.lan"),
        ("10.0.0.5:8443", "https://10.0.0.5:8443"),
        // A proxy that does not pass the host on, as far as that is ours too.
        ("box.lan", "https://gate.example"),
    ] {
        let (status, mut browser) = sign_in(&site, host, origin).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{host} {origin}");
        let (id, _) = site.key(&mut browser, "one").await;
        assert!(site.record(&id).await.is_some(), "{host} {origin}");
    }
    for (host, origin) in [
        ("box.lan", "http://box.lan"),
        ("box.lan", "https://box.lan:444"),
        ("box.lan", "https://10.0.0.5:8443"),
        ("evil.example", "https://evil.example"),
        ("10.0.0.5:8444", "https://10.0.0.5:8444"),
    ] {
        let (status, browser) = sign_in(&site, host, origin).await;
        assert!(status == StatusCode::FORBIDDEN && browser.session().is_none(), "{host} {origin}");
    }
}

#[tokio::test]
async fn forms_are_accepted_at_the_listener_of_an_environment() {
    let site = Site::at("https://gate.example").await;
    site.add("ada", Role::Admin).await;
    let public_url = site.gateway.config.get().public_url.clone();
    let listen = SocketAddr::from(([0, 0, 0, 0], 443));
    site.gateway.config.replace(Config { public_url, listen, ..Config::default() });
    let prod = "prod".parse().unwrap();
    for (listener, wanted) in [("10.0.0.5:8443", StatusCode::SEE_OTHER), ("10.0.0.5:8444", StatusCode::FORBIDDEN)] {
        let mut browser = site.browser();
        browser.listener = Some((prod, listener.parse().unwrap()));
        let (status, _) = sign_in_by(browser, "10.0.0.5:8443", "https://10.0.0.5:8443").await;
        assert_eq!(status, wanted, "{listener:?}");
    }
}
