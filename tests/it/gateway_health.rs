//! What load balancers and people ask a gateway without a credential: whether it lives, whether it can serve, and which Ollama is behind it.

use std::net::TcpListener;
use std::time::Instant;

use serde_json::json;

use crate::harness::DEADLINE;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Server};

/// Asks without what `Gateway::ask` sends besides.
fn ask(gateway: &Gateway, method: &str, target: &str, headers: &str) -> Answer {
    Answer::parse(&gateway.raw(format!("{method} {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"))).unwrap()
}

fn of_version(version: &'static str) -> Server {
    Server::start(move |_| Reply::json(200, json!({ "version": version })))
}

/// An address where nobody listens.
fn nowhere() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

/// A load balancer asks by an address, or by a name of its own.
#[test]
fn health_needs_neither_a_host_name_nor_a_credential_and_nothing_else_does_so() {
    let upstream = of_version("0.99.1");
    let gateway = Gateway::start(&upstream.url());
    for headers in ["", "Host: 10.1.2.3:8080\r\n", "Host: evil.example\r\n", "Host: a\r\nHost: b\r\n"] {
        for (path, body) in [
            ("/healthz", json!({ "status": "ok" })),
            ("/readyz", json!({ "status": "ok", "upstream": "ok", "database": "ok" })),
            ("/readyz?verbose=1", json!({ "status": "ok", "upstream": "ok", "database": "ok" })),
        ] {
            let answer = ask(&gateway, "GET", path, headers);
            assert_eq!((answer.status, answer.json()), (200, body), "{path} {headers:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/api/version"),
            ("POST", "/healthz"),
            ("GET", "/healthz/"),
            ("GET", "/api/healthz"),
            ("GET", "/login"),
        ] {
            let answer = ask(&gateway, method, path, headers);
            assert!([400, 403].contains(&answer.status), "{method} {path} {headers:?}: {}", answer.status);
        }
    }
    assert_eq!(gateway.ask("HEAD", "/readyz", &[], "").status, 200);
    assert_eq!(gateway.ask("POST", "/healthz", &[], "").status, 405);
}

#[test]
fn health_is_found_with_and_without_the_base_path() {
    let upstream = of_version("0.99.1");
    let gateway = Gateway::start_with(&upstream.url(), &["--public-url", "http://127.0.0.1:9/prefix"]);
    for path in ["/healthz", "/prefix/healthz", "/readyz", "/prefix/readyz"] {
        assert_eq!(ask(&gateway, "GET", path, "Host: 10.1.2.3\r\n").status, 200, "{path}");
    }
    assert_eq!(gateway.ask("GET", "/prefixed/healthz", &[], "").status, 404);
}

/// Nothing is said to run that does not; the stock client's heartbeat, which comes before every command of it, is still answered, since
/// signing in needs no upstream server, and what it asks next gets the reason in words.
#[test]
fn an_unreachable_upstream_is_not_said_to_run() {
    let url = nowhere();
    let gateway = Gateway::start(&url);
    assert_eq!(ask(&gateway, "GET", "/healthz", "").status, 200);
    let ready = ask(&gateway, "GET", "/readyz", "");
    assert_eq!(
        (ready.status, ready.json()),
        (503, json!({ "status": "unavailable", "upstream": "unavailable", "database": "ok" }))
    );
    let root = gateway.ask("GET", "/", &[], "");
    assert_eq!(
        (root.status, root.text()),
        (503, "The gateway is running, but the upstream Ollama server does not respond")
    );
    assert_eq!(gateway.ask("HEAD", "/", &[], "").status, 200);
    let version = gateway.ask("GET", "/api/version", &[], "");
    assert_eq!(version.status, 502, "{}", version.text());
    assert!(version.json()["error"].as_str().unwrap().contains("is Ollama running there?"), "{}", version.text());
    for answer in [ready, root, version] {
        assert!(!answer.text().contains("127.0.0.1"), "where it is is not for strangers: {}", answer.text());
    }

    // Soon after it is there, it is said.
    let listener = TcpListener::bind(url.strip_prefix("http://").unwrap()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read as _, Write as _};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"version":"0.99.2"}"#;
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        }
    });
    let begin = Instant::now();
    while ask(&gateway, "GET", "/readyz", "").status != 200 {
        assert!(begin.elapsed() < DEADLINE, "it is not noticed");
        std::thread::yield_now();
    }
    assert_eq!(gateway.ask("GET", "/", &[], "").text(), "Ollama is running");
    assert_eq!(gateway.ask("GET", "/api/version", &[], "").json(), json!({ "version": "0.99.2" }));
}

#[test]
fn the_version_is_that_of_the_upstream_server() {
    for (reply, version) in [
        (Reply::json(200, r#"{"version":"0.99.1-rc2"}"#), "0.99.1-rc2"),
        // It answers, but says no version, as servers do that are not Ollama: what the gateway speaks is said instead.
        (Reply::json(200, "{}"), "0.33.0"),
        (Reply::json(404, r#"{"error":"not found"}"#), "0.33.0"),
        (Reply::json(200, r#"{"version":"1\u0007"}"#), "0.33.0"),
        (Reply::json(200, "x".repeat(1 << 20)), "0.33.0"),
    ] {
        let upstream = Server::start(move |_| reply.clone());
        let gateway = Gateway::start(&upstream.url());
        assert_eq!(gateway.ask("GET", "/api/version", &[], "").json(), json!({ "version": version }));
        assert_eq!(gateway.ask("HEAD", "/api/version", &[], "").status, 200);
        let asked = upstream.requests();
        assert!(asked.iter().all(|request| request.method == "GET" && request.target == "/api/version"));
        assert!(asked.iter().all(|request| request.authorization().is_none()));
    }
    // A balancer in front of a server that is down.
    let upstream = Server::start(|_| Reply::json(502, "{}"));
    let gateway = Gateway::start(&upstream.url());
    assert_eq!(
        (gateway.ask("GET", "/api/version", &[], "").status, ask(&gateway, "GET", "/readyz", "").status),
        (502, 503)
    );
}

/// Strangers cannot use the gateway to keep the upstream server busy.
#[test]
fn many_questions_at_once_are_one_question_upstream() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Server::start(move |_| Reply::json(200, r#"{"version":"0.99.1"}"#).after(&held));
    let gateway = Gateway::start(&upstream.url());
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..24)
            .map(|number| {
                let path = ["/readyz", "/api/version", "/"][number % 3];
                let gateway = &gateway;
                scope.spawn(move || gateway.ask("GET", path, &[], "").status)
            })
            .collect();
        upstream.wait_requests(1);
        gate.open();
        assert!(asked.into_iter().all(|asked| asked.join().unwrap() == 200));
    });
    for _ in 0..50 {
        assert_eq!(ask(&gateway, "GET", "/readyz", "").status, 200);
    }
    // Kept for five seconds each time.
    assert!(upstream.requests().len() <= 3, "{}", upstream.requests().len());
}

#[test]
fn a_silent_upstream_is_not_waited_for() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Server::start(move |_| Reply::json(200, "{}").after(&held));
    let gateway = Gateway::start(&upstream.url());
    assert_eq!(ask(&gateway, "GET", "/readyz", "").status, 503);
    assert_eq!(ask(&gateway, "GET", "/healthz", "").status, 200);
    upstream.wait_disconnects(1);
    gate.open();
}
