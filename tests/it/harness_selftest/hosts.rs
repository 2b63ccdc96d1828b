//! The loopback Ollama, the stand-in for ollama.com, the stock server, and the check of signatures.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use super::{curl, drop_panics, signed, status};
use crate::harness::{
    browser::Behaviour,
    cloud::{Cloud, Fault},
    cmd::{Output, Sandbox},
    http::{Reply, Request},
    ollama::{Ollama, recorded},
    signature::{self, Key, TestDevice},
    stock::{Account, Stock},
};

#[test]
fn the_recorded_stock_signatures_verify() {
    let file: Value = serde_json::from_str(include_str!("../fixtures/vectors/signing.json")).unwrap();
    let encoded = file["key"]["encoded_key"].as_str().unwrap();
    for case in file["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let mut request = Request {
            order: 0,
            connection: 0,
            at: std::time::Instant::now(),
            method: text("method"),
            target: text("target"),
            headers: vec![("Authorization".to_owned(), text("authorization"))],
            body: Vec::new(),
        };
        let base = if request.target.starts_with("/prefix/") { "/prefix" } else { "" };
        let ts: i64 = request.query("ts").unwrap().parse().unwrap();
        let key = signature::check(&request, base, ts + 60).unwrap();
        assert_eq!(key, Key::from_encoded(encoded).unwrap());
        assert_eq!(file["key"]["fingerprint"], key.fingerprint);
        assert_eq!(file["key"]["public_key"], key.line);
        assert!(signature::check(&request, base, ts + 61).unwrap_err().contains("off"));
        request.headers[0].1 = format!("Bearer {}", text("authorization"));
        assert!(signature::check(&request, base, ts).is_ok());
        assert_eq!(request.api_key(), None);
        request.method = "PATCH".to_owned();
        assert!(signature::check(&request, base, ts).unwrap_err().contains("not one of PATCH,"));
    }
}

#[test]
fn ollama_answers_as_recorded() {
    let ollama = Ollama::start_at("/prefix");
    let post = |path: &str, body: &str| {
        curl(&["-d", body, "-w", "%{http_code}", &format!("{}{path}", ollama.url())]).stdout().to_owned()
    };
    for name in ["show", "generate", "generate_nostream", "generate_load", "chat", "pull404", "badjson", "badopt"] {
        let exchange = recorded(name);
        let wanted = format!("{}{}", exchange.chunks.concat(), exchange.status);
        assert_eq!(post(&exchange.path, &exchange.body), wanted, "{name}");
    }
    // Not the recorded body, but the same question.
    let alike = post("/api/generate", r#"{"model":"library/TINY:latest","prompt":"x","options":{}}"#);
    assert!(alike.starts_with(&recorded("generate").chunks[0]), "{alike}");
    assert_eq!(post("/api/show", r#"{"model":"gone"}"#), r#"{"error":"model 'gone' not found"}404"#);
    assert_eq!(post("/api/what", "{}"), "404 page not found404");
    assert!(recorded("generate").said().starts_with(" long"));
    ollama.route("POST", "/api/show", |_| Reply::json(500, "{}"));
    assert_eq!(post("/api/show", "{}"), "{}500");
    ollama.replay_always("me401");
    assert!(post("/api/me", "").ends_with("401"));
    let head = curl(&["--head", &format!("{}/", ollama.url())]);
    assert!(head.stdout().starts_with("HTTP/1.1 200"), "{head:?}");
}

#[test]
fn ollama_sends_a_stream_in_the_recorded_chunks() {
    let ollama = Ollama::start();
    let exchange = recorded("generate");
    let mut raw = TcpStream::connect(("127.0.0.1", ollama.server().port())).expect("a connection");
    let body = &exchange.body;
    let length = body.len();
    write!(raw, "POST /api/generate HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("it is sent");
    let mut text = String::new();
    raw.read_to_string(&mut text).expect("an answer");
    let chunks = exchange.chunks.iter().map(|c| format!("{:x}\r\n{c}\r\n", c.len()));
    assert!(text.ends_with(&(chunks.collect::<String>() + "0\r\n\r\n")), "{text}");
}

#[test]
fn a_wrong_signature_fails_the_drop_of_ollama() {
    let (ollama, device) = (Ollama::start(), TestDevice::new(1));
    let now = ollama.server().clock().now();
    let url = format!("{}/api/tags", ollama.url());
    assert_eq!(status(&signed(&device, "GET", &url, "/api/tags", now)), "200");
    assert_eq!(status(&signed(&device, "GET", &url, "/api/ps", now)), "401");
    let text = drop_panics(ollama);
    assert!(text.contains("the signature is not one of GET,/api/tags?ts="), "{text}");
    assert!(!text.contains("AAAAC3"), "{text}");
}

#[test]
fn a_device_is_connected_by_the_browser() {
    let (cloud, device, sandbox) = (Cloud::start_at("/base"), TestDevice::new(2), Sandbox::new());
    let me = || {
        let now = cloud.server().clock().now();
        signed(&device, "POST", &format!("{}/api/me", cloud.url()), "/api/me", now)
    };
    let unsigned = curl(&["-d", "", &format!("{}/api/me", cloud.url())]);
    assert_eq!(unsigned.stdout(), r#"{"error":"unauthorized"}"#);
    let refused = me();
    let body = refused.stdout().lines().next().unwrap();
    assert_eq!(status(&refused), "401");
    let url = serde_json::from_str::<Value>(body).unwrap()["signin_url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("{}/connect?name=standin&key={}", cloud.url(), device.key().encoded));

    let browser = sandbox.browser(Behaviour::Follows);
    sandbox.program(sandbox.path("bin/xdg-open"), [&url]).run().expect_code(0);
    assert_eq!(browser.opened(), [url]);
    assert!(browser.page().contains("Connect"));
    assert!(cloud.is_connected(&device.key().fingerprint));
    assert_eq!(cloud.devices()[0].name, "standin");
    let known = me();
    assert_eq!(status(&known), "200");
    assert!(known.stdout().contains(r#""name":"standin""#));

    // Another device is left pending, then refused; an unknown key cannot be deleted, one's own can.
    let other = TestDevice::new(3);
    cloud.auto_approve(false);
    curl(&[&format!("{}/connect?name=a%20b&key={}", cloud.url(), other.key().encoded)]);
    assert!(!cloud.is_connected(&other.key().line));
    cloud.deny(&other.key().encoded);
    let now = cloud.server().clock().now();
    let denied = signed(&other, "POST", &format!("{}/api/me", cloud.url()), "/api/me", now);
    assert_eq!(status(&denied), "403");
    let delete = |encoded: &str| {
        let path = format!("/api/user/keys/{encoded}");
        let url = format!("{}{path}", cloud.url());
        signed(&device, "DELETE", &url, &path, cloud.server().clock().now())
    };
    assert_eq!(status(&delete("bm90aGluZw")), "404");
    assert_eq!(status(&delete(&device.key().encoded)), "200");
    assert_eq!(status(&delete(&device.key().encoded)), "401");
    assert_eq!(status(&me()), "401");
    assert_eq!(cloud.count("POST", "/api/me"), 5);
}

#[test]
fn the_cloud_takes_api_keys_and_answers_models() {
    let cloud = Cloud::start();
    let ask = |key: &str, body: &str| {
        let header = format!("Authorization: Bearer {key}");
        curl(&["-H", &header, "-d", body, &format!("{}/api/generate", cloud.url())]).stdout().to_owned()
    };
    let body = r#"{"model":"gpt-oss:120b","prompt":"hi"}"#;
    assert_eq!(ask("key-one", body), r#"{"error":"unauthorized"}"#);
    cloud.accept_api_key("key-one");
    assert_eq!(ask("key-one", body), recorded("generate").chunks.concat());
    cloud.revoke_api_key("key-one");
    assert_eq!(ask("key-one", body), r#"{"error":"unauthorized"}"#);
}

#[test]
fn faults_are_injected_and_mended() {
    let (cloud, device) = (Cloud::start(), TestDevice::new(4));
    let me = || {
        let ts = cloud.server().clock().now();
        let header = format!("Authorization: {}", device.sign(&format!("POST,/api/me?ts={ts}")));
        curl(&["-i", "-X", "POST", "-H", &header, &format!("{}/api/me?ts={ts}", cloud.url())])
    };
    let once = |fault| {
        cloud.inject_times("/api/me", 1, fault);
        me()
    };
    let shows = |fault, wanted: &str| {
        let output = once(fault);
        assert!(output.stdout().contains(wanted), "{wanted}: {}", output.snapshot());
    };
    shows(Fault::Status(503), "HTTP/1.1 503");
    shows(Fault::TryLater(429, "7".to_owned()), "Retry-After: 7\r\n");
    shows(Fault::Redirect(307, "http://127.0.0.1:1/x".to_owned()), "Location: http://127.0.0.1:1/x\r\n");
    shows(Fault::SigninOrigin("https://evil.invalid".to_owned()), "https://evil.invalid/connect?");
    shows(Fault::SigninKey("b3RoZXI".to_owned()), "&key=b3RoZXI\"");
    shows(Fault::Html(200), "Wi-Fi");
    assert!(!once(Fault::NoSigninUrl).stdout().contains("signin_url"));
    assert_eq!(once(Fault::Drop).code(), 52);
    assert_eq!(once(Fault::Reset).code(), 56);
    let date = |output: &Output| {
        let line = output.stdout().lines().find_map(|l| l.strip_prefix("Date: ")).map(str::to_owned);
        jiff::fmt::rfc2822::parse(&line.expect("a Date")).expect("a date").timestamp().as_second()
    };
    let skewed = date(&once(Fault::DateSkew(600))) - cloud.server().clock().now();
    assert!((595..=600).contains(&skewed), "{skewed}");
    cloud.connect(device.key());
    shows(Fault::CapitalisedNames, r#""ID":"0000"#);
    let body = once(Fault::MalformedJson);
    let (_, body) = body.stdout().split_once("\r\n\r\n").expect("a body");
    assert!(serde_json::from_str::<Value>(body).is_err());
    cloud.inject("/api/me", Fault::Status(500));
    assert!(me().stdout().starts_with("HTTP/1.1 500"));
    assert!(me().stdout().starts_with("HTTP/1.1 500"));
    cloud.clear_faults();
    assert!(me().stdout().starts_with("HTTP/1.1 200"));
    assert_eq!(cloud.take_refused(), [""; 0]);

    // A clock that is off refuses good signatures.
    let ts = cloud.server().clock().now();
    cloud.server().clock().skew(600);
    let late = signed(&device, "POST", &format!("{}/api/me", cloud.url()), "/api/me", ts);
    assert_eq!(status(&late), "401");
    assert!(cloud.take_refused()[0].contains("s off"));
}

#[test]
fn a_stock_server_answers_with_its_own_account() {
    let stock = Stock::start(Account::SignedOut);
    let post = |path: &str| curl(&["-d", "", &format!("{}{path}", stock.url())]).stdout().to_owned();
    let refused: Value = serde_json::from_str(&post("/api/me")).unwrap();
    let url = refused["signin_url"].as_str().unwrap();
    assert!(url.starts_with("https://ollama.com/connect?"));
    assert!(url.ends_with(&stock.key().encoded));
    stock.set_account(Account::SignedIn);
    assert!(post("/api/me").contains("standin"));
    assert_eq!(post("/api/signout"), "null");
    assert_eq!(stock.account(), Account::SignedOut);
    stock.set_account(Account::Unavailable);
    assert_eq!(post("/api/me"), r#"{"error":"account unavailable"}"#);
    stock.set_account(Account::SignedIn);
    curl(&["-X", "DELETE", &format!("{}/api/user/keys/any", stock.url())]);
    assert_eq!(stock.account(), Account::SignedOut);
    assert!(drop_panics(stock).contains("DELETE /api/user/keys/any was sent to a stock server"));
}
