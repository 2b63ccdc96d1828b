//! Links, names, bodies and addresses that mean harm, and what every answer carries.

use axum::body::Body;
use http::StatusCode;
use http::header::{CACHE_CONTROL, SET_COOKIE};

use super::*;
use crate::gateway::pages::{answers_browser, owns};

#[tokio::test]
async fn hostile_device_names_are_escaped_on_every_page() {
    let site = Site::with_people().await;
    let (key, mut ada) = (site.pending_device(), site.signed_in("ada").await);
    let name = "<script>alert(1)</script>\"'&\u{202e}evil\u{200b}\u{1b}[2J\r\nSet-Cookie: a=b";
    let harmless = |body: &str| {
        assert!(!body.contains("<script") && body.contains("&lt;script&gt;"), "{body}");
        assert!(!body.contains(['\u{202e}', '\u{200b}', '\u{1b}', '\r']) && body.contains("\\u{202e}evil"), "{body}");
        // A name that begins with Hebrew would else turn round what is written in place of a character.
        assert_eq!(body.matches("<bdi").count(), body.matches("dir=\"ltr\"").count(), "{body}");
    };
    harmless(&site.browser().get(&link(name, &key)).await.body);
    let page = ada.get(&link(name, &key)).await;
    harmless(&page.body);
    let fields =
        [("csrf", page.token()), ("key", key.encoded()), ("name", name.into()), ("decision", "approve".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ada.post("/connect", &fields).await;
    harmless(&ada.get("/settings/keys").await.body);
    assert!(!site.gateway.directory.device(&key).unwrap().credential.name.contains(|c: char| c.is_control()));
    assert!(!site.events("device.approved").await[0].detail.contains(|c: char| c.is_control()));

    let reply = site.browser().sign_in("<b onclick=\"x\">\u{202e}", "wrong").await;
    assert!(!reply.has("<b ") && !reply.has("\u{202e}"));
    let stranger = DeviceKey::generate().unwrap().public().clone();
    assert!(!ada.get(&link(name, &stranger)).await.has("script"));
}

#[tokio::test]
async fn malformed_connect_links_are_refused() {
    let site = Site::with_people().await;
    let (key, other) = (site.pending_device().encoded(), site.pending_device().encoded());
    let mut ada = site.signed_in("ada").await;
    for query in [
        "name=laptop".into(),
        "name=laptop&key=".into(),
        format!("name=laptop&key={key}&key={other}"),
        format!("name=laptop&key={key}&%6bey={other}"),
        format!("name=a&name=b&key={key}"),
        format!("name=laptop&key={key}="),
        format!("name=laptop&key={}", &key[1..]),
    ] {
        for browser in [&mut site.browser(), &mut ada] {
            let reply = browser.get(&format!("/connect?{query}")).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        }
    }
    let both = [format!("name=my%20laptop&key={key}"), format!("name=my+laptop&key={key}&launch=true")];
    for query in both {
        assert!(site.browser().get(&format!("/connect?{query}")).await.has(">my laptop<"), "{query}");
    }
}

#[tokio::test]
async fn a_sign_in_never_redirects_to_another_site() {
    let site = Site::with_people().await;
    for extra in [
        ("key", "//evil.example"),
        ("next", "https://evil.example"),
        ("device", "//evil.example"),
        ("to", "//evil.example"),
    ] {
        let mut browser = site.browser();
        browser.headers = vec![("host", "evil.example".into()), ("x-forwarded-host", "evil.example".into())];
        browser.address = IpAddr::from([192, 0, 2, 3]);
        let token = browser.get("/login").await.token();
        let fields = [("csrf", token.as_str()), ("name", "bob"), ("password", PASSWORD), extra];
        assert_eq!(browser.post("/login", &fields).await.location(), "/account");
    }
    let mut browser = site.browser();
    browser.headers = vec![("host", "evil.example".into())];
    assert!(!browser.get("/login").await.has("evil"));
}

#[tokio::test]
async fn bodies_have_limits() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let settings = [
        "/settings/keys",
        "/settings/keys/revoke",
        "/settings/devices/disconnect",
        "/settings/devices/new",
        "/settings/password",
    ];
    for path in ["/connect", "/login", "/logout", "/setup"].into_iter().chain(settings) {
        let huge = format!("csrf={token}&name={}", "a".repeat(16 * 1024));
        assert_eq!(ada.send("POST", path, Body::from(huge)).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let twice = format!("csrf={token}&csrf={token}");
        assert_eq!(ada.send("POST", path, Body::from(twice)).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let site = Site::with_people().await;
    let (key, mut browser) = (site.pending_device(), site.browser());
    let link = link("laptop", &key);
    let settings = [
        "/settings/keys",
        "/settings/keys/new",
        "/settings/keys/revoke",
        "/settings/devices/disconnect",
        "/settings/devices/new",
        "/settings/password",
    ];
    let others = [
        "/",
        "/login",
        "/account",
        "/setup",
        "/connect",
        "/logout",
        "/nonsense",
        "/assets/style.css",
        "/assets/copy.js",
        "/assets/icon.svg",
        "/favicon.ico",
    ];
    for path in others.into_iter().chain(settings).chain([link.as_str()]) {
        let reply = browser.get(path).await;
        let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        assert_eq!((header("x-frame-options"), header("x-content-type-options")), ("DENY", "nosniff"), "{path}");
        assert_eq!((header("referrer-policy"), header("cross-origin-opener-policy")), ("same-origin", "same-origin"));
        let kept =
            if path.starts_with("/assets") || path == "/favicon.ico" { "public, max-age=86400" } else { "no-store" };
        assert_eq!(reply.headers[CACHE_CONTROL], kept, "{path}");
        assert!(!reply.has("<script") && !reply.has("style="), "{path}");
        assert!(!reply.has(" onclick=") && !reply.has("javascript:"), "{path}");
        assert!(owns(path.split('?').next().unwrap()) || matches!(path, "/" | "/nonsense"));
        if path == "/nonsense" {
            assert!(reply.status == StatusCode::NOT_FOUND && !owns(path));
        }
    }
    assert!(!owns("/") && !owns("/api/me") && !owns("/login/") && !owns("/settings") && owns("/settings/nonsense"));
}

#[test]
fn browsers_get_pages_where_programs_get_none() {
    let accept = |text: &'static str| [(http::header::ACCEPT, text.parse().unwrap())].into_iter().collect();
    let answered = |path: &str, is_route: bool, text: &'static str| answers_browser(path, is_route, &accept(text));
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    assert!(answered("/", true, browser) && answered("/", true, "application/json, Text/HTML;q=0.1"));
    assert!(answered("/nonsense", false, browser) && answered("/login/", false, browser));
    assert!(answered("/apiary", false, browser) && !answered("/healthz", true, browser));
    for path in ["/api", "/api/nonsense", "/v1", "/v1/nonsense"] {
        assert!(!answered(path, false, browser), "{path}");
    }
    for other in ["*/*", "application/json", "text/plain", "text/html+x", ""] {
        assert!(!answered("/", true, other) && !answered("/nonsense", false, other), "{other}");
    }
    assert!(!answers_browser("/", true, &http::HeaderMap::new()));
}

#[tokio::test]
async fn only_a_public_https_address_of_the_usual_port_is_pinned_to_https() {
    for (url, host, pinned) in [
        ("https://gate.example", Some("gate.example"), true),
        ("https://gate.example/models", Some("GATE.example:443"), true),
        ("https://gate.example", Some("box.lan"), false),
        ("https://gate.example", None, false),
        ("https://gate.example:8443", Some("gate.example:8443"), false),
        ("https://localhost", Some("localhost"), false),
        ("https://127.0.0.1", Some("127.0.0.1"), false),
        ("http://127.0.0.1:11435", Some("127.0.0.1:11435"), false),
    ] {
        let site = Site::at(url).await;
        let mut browser = site.browser();
        browser.headers = host.map(|host| ("host", host.to_owned())).into_iter().collect();
        for path in ["/login", "/", "/nonsense", "/assets/style.css"] {
            let header = browser.get(path).await.headers.get("strict-transport-security").cloned();
            assert_eq!(header, pinned.then(|| "max-age=31536000".parse().unwrap()), "{url} {host:?} {path}");
        }
    }
}

#[tokio::test]
async fn the_start_page_leads_to_the_sign_in_or_to_the_keys() {
    let site = Site::with_people().await;
    let reply = site.browser().get("/").await;
    assert_eq!((reply.location(), &reply.headers["vary"]), ("/login", &"accept".parse().unwrap()));
    assert_eq!(site.signed_in("ada").await.get("/").await.location(), "/settings/keys");
    let icon = site.browser().get("/favicon.ico").await;
    assert!(icon.headers["content-type"] == "image/svg+xml" && icon.has("<svg"));
    assert!(
        site.browser().get("/login").await.has("<link rel=\"icon\" type=\"image/svg+xml\" href=\"/assets/icon.svg?v=")
    );
}

#[tokio::test]
async fn a_base_path_is_in_every_link_and_cookie() {
    let site = Site::at("https://gate.example/models").await;
    site.add("ada", Role::Admin).await;
    let (key, mut browser) = (site.pending_device(), site.browser());
    let page = browser.get(&link("laptop", &key)).await;
    let cookie = page.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Secure-ollama-auth-visitor=") && cookie.contains("; Path=/models;"), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.ends_with("Secure"));
    for address in page.body.split(['"']).filter(|text| text.starts_with('/')) {
        assert!(address.starts_with("/models/"), "{address}");
    }
    let token = page.token();
    let fields = [("csrf", token.as_str()), ("name", "ada"), ("password", PASSWORD), ("key", &key.encoded())];
    assert!(browser.post("/login", &fields).await.location().starts_with("/models/connect?name=&key="));
    assert!(browser.cookies.contains_key("__Secure-ollama-auth-session"));

    let root = Site::at("https://gate.example").await;
    let reply = root.browser().get("/login").await;
    assert!(reply.headers[SET_COOKIE].to_str().unwrap().starts_with("__Host-ollama-auth-visitor="));
}
