//! Who asks and from where: credentials that contradict each other, forged headers, addresses behind proxies.

use super::bearer;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};

#[test]
fn malformed_duplicate_and_conflicting_credentials_are_refused() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let (key, other) = (gateway.key(&device, &["one"]), gateway.key(&device, &["two"]));
    let (one, two) = (bearer(&key), bearer(&other));
    let x_key = format!("X-API-Key: {key}");
    for (headers, status) in [
        (vec![&*one], 200),
        (vec![&*x_key], 200),
        (vec![&*one, &*x_key], 200),
        (vec![&*two, &*x_key], 400),
        (vec![&*one, &*one], 400),
        (vec![&*x_key, &*x_key], 400),
        (vec!["Authorization: Basic YTpi"], 401),
        (vec!["Authorization: Bearer "], 401),
        (vec!["Authorization: Bearer nonsense"], 401),
        (vec!["Authorization: AAAA:BBBB"], 400),
        (vec!["X-API-Key: nonsense"], 401),
        (vec!["Cookie: ollama_auth_session=1"], 401),
    ] {
        let answer = gateway.ask("GET", "/api/tags", &headers, "");
        assert_eq!(answer.status, status, "{} headers: {}", headers.len(), answer.text());
    }
    // One letter off is another key: the checksum tells, before anything is looked up.
    let mut off = key.clone();
    off.pop();
    assert_eq!(gateway.ask("GET", "/api/tags", &[&bearer(&off)], "").status, 401);
}

#[test]
fn upstream_receives_the_caller_but_not_the_credential() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["one", "--env", "ci"]);
    let forged = [
        bearer(&key),
        format!("X-API-Key: {key}"),
        "X-Ollama-Auth-User: root".to_owned(),
        "x_ollama_auth_user: root".to_owned(),
        "X-Ollama-Auth-Scopes: admin".to_owned(),
        "Cookie: a=b".to_owned(),
        "X-Forwarded-For: 1.2.3.4".to_owned(),
        "Proxy-Authorization: Basic YTpi".to_owned(),
        "Connection: X-Ollama-Auth-User-Id".to_owned(),
        "X-Mine: kept".to_owned(),
    ];
    let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
    assert_eq!(gateway.ask("GET", "/api/tags?a=1&ts=5", &forged, "").status, 200);
    let request = &upstream.wait_requests(1)[0];
    let header = |name: &str| request.header(name);
    assert_eq!(header("x-ollama-auth-user"), Some("ada"));
    assert!(header("x-ollama-auth-credential").unwrap().starts_with("key:key_"));
    assert_eq!(header("x-ollama-auth-environment"), Some("ci"));
    assert!(header("x-ollama-auth-user-id").is_some_and(|id| id.len() == 36));
    assert_eq!((header("x-mine"), request.raw_query()), (Some("kept"), "a=1"));
    assert_eq!(header("host").unwrap(), upstream.url().strip_prefix("http://").unwrap());
    for name in [
        "authorization",
        "x-api-key",
        "cookie",
        "x_ollama_auth_user",
        "x-ollama-auth-scopes",
        "x-forwarded-for",
        "proxy-authorization",
    ] {
        assert_eq!(header(name), None, "{name}");
    }
}

#[test]
fn an_unnamed_proxy_causes_a_warning() {
    let proxied = ["--behind-tls-proxy", "--public-url", "https://gpu.example.com"];
    let gateway = Gateway::start_with("http://127.0.0.1:9", &proxied);
    gateway.child().wait_stderr(|text| text.contains("trusted-proxies"));
    let named = [&proxied[..], &["--set", "trusted-proxies=192.0.2.1"]].concat();
    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &named);
    let output = gateway.end(rustix::process::Signal::TERM);
    assert!(!output.stderr().contains("trusted-proxies"), "{}", output.stderr());
}

/// The header of a proxy that was forgotten in the configuration: all callers share one address, and only the log can tell.
#[test]
fn a_forwarded_address_from_an_untrusted_peer_is_reported_once() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    for _ in 0..20 {
        gateway.ask("GET", "/api/tags", &["X-Forwarded-For: 1.2.3.4"], "");
    }
    let output = gateway.end(rustix::process::Signal::TERM);
    assert_eq!(output.stderr().matches("X-Forwarded-For ignored").count(), 1, "{}", output.stderr());

    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "trusted-proxies=127.0.0.1"]);
    let device = crate::harness::signature::TestDevice::new(7);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let me = format!("/api/me?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("POST,{me}")));
    for (text, address) in [("192.0.2.7:5678", "192.0.2.7"), ("[2001:db8::1]:443", "2001:db8::1")] {
        let answer = gateway.ask("POST", &me, &[&header, &format!("X-Forwarded-For: {text}")], "");
        let link = answer.json()["signin_url"].as_str().unwrap().to_owned();
        assert!(link.contains(address), "{text}: {link}");
    }
    gateway.ask("POST", &me, &[&header, "X-Forwarded-For: unknown"], "");
    let output = gateway.end(rustix::process::Signal::TERM);
    assert_eq!(output.stderr().matches("X-Forwarded-For").count(), 1, "{}", output.stderr());
    assert!(output.stderr().contains("not an address"), "{}", output.stderr());
}
