//! The listener for Prometheus among hostile and clumsy callers: none of them keeps another scrape from its answer.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::{DEADLINE, poll};

/// How long a connection may last at the listener.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10);

fn started(more: &[&str]) -> Gateway {
    let metrics = ["--set", "metrics-listen=127.0.0.1:0"];
    Gateway::start_with("http://127.0.0.1:9", &[&metrics, more].concat())
}

fn address(gateway: &Gateway) -> String {
    let url = gateway.listening()["metrics_url"].as_str().unwrap();
    url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned()
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(address(gateway)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Everything that comes back.
fn raw(gateway: &Gateway, request: &str) -> Vec<u8> {
    let mut stream = connect(gateway);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

fn ask(gateway: &Gateway, line: &str, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", address(gateway)) };
    Answer::parse(&raw(gateway, &format!("{line}\r\n{host}{headers}Connection: close\r\n\r\n"))).unwrap()
}

#[test]
fn only_get_of_metrics_is_answered_and_only_to_a_name_that_no_web_page_has() {
    let gateway = started(&[]);
    for (line, headers, status) in [
        ("GET /metrics HTTP/1.1", &[][..], 200),
        ("HEAD /metrics HTTP/1.1", &[], 200),
        ("GET /metrics?debug=1 HTTP/1.1", &[], 200),
        ("GET /metrics HTTP/1.1", &["Host: localhost:1"], 200),
        ("GET /metrics HTTP/1.1", &["Host: evil.example"], 403),
        ("GET / HTTP/1.1", &[], 404),
        ("GET /metrics/ HTTP/1.1", &[], 404),
        ("GET /api/tags HTTP/1.1", &[], 404),
        ("POST /metrics HTTP/1.1", &["Content-Length: 0"], 405),
        ("DELETE /metrics HTTP/1.1", &[], 405),
    ] {
        let bytes = raw(&gateway, "");
        assert!(bytes.is_empty());
        if line.starts_with("HEAD") {
            let request = format!("{line}\r\nHost: {}\r\nConnection: close\r\n\r\n", address(&gateway));
            let text = String::from_utf8(raw(&gateway, &request)).unwrap();
            assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"), "{text}");
            continue;
        }
        assert_eq!(ask(&gateway, line, headers).status, status, "{line} {headers:?}");
    }
    // As old monitoring asks: without a host, and the connection ends.
    let text = String::from_utf8(raw(&gateway, "GET /metrics HTTP/1.0\r\n\r\n")).unwrap();
    assert!(text.starts_with("HTTP/1.0 200") && text.contains("ollama_auth_build_info"), "{text:.300}");
    // What is no request.
    for request in ["nonsense\r\n\r\n", &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000))] {
        let answer = raw(&gateway, request);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(gateway.ask("GET", "/metrics", &[], "").status, 404, "callers of the gateway do not reach it");
}

#[test]
fn a_token_is_demanded_if_there_is_one_and_read_at_each_request() {
    let folder = Sandbox::new();
    let file = folder.write("token", "first-token\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let gateway = started(&["--set", &format!("metrics-token-file={}", file.display())]);
    let status = |headers: &[&str]| ask(&gateway, "GET /metrics HTTP/1.1", headers).status;
    assert_eq!(status(&["Authorization: Bearer first-token"]), 200);
    // With the token any name is good: Prometheus may call it by one.
    assert_eq!(status(&["Authorization: Bearer first-token", "Host: metrics.internal:9464"]), 200);
    for headers in [
        &[][..],
        &["Authorization: Bearer first"],
        &["Authorization: Bearer first-token2"],
        &["Authorization: Basic first-token"],
    ] {
        let answer = ask(&gateway, "GET /metrics HTTP/1.1", headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{headers:?}");
        assert!(!answer.text().contains("ollama_auth"), "{}", answer.text());
        // Also whether a path exists is not told.
        assert_eq!(ask(&gateway, "GET /other HTTP/1.1", headers).status, 401);
    }
    fs::write(&file, "second-token").unwrap();
    assert_eq!(status(&["Authorization: Bearer first-token"]), 401);
    assert_eq!(status(&["Authorization: Bearer second-token"]), 200);
    for spoil in [
        (|file: &std::path::Path| fs::write(file, " \n").unwrap()) as fn(&std::path::Path),
        |file| fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap(),
        |file| fs::remove_file(file).unwrap(),
    ] {
        spoil(&file);
        assert_eq!(status(&["Authorization: Bearer second-token"]), 503);
        assert_eq!(status(&["Authorization: Bearer "]), 503);
    }
    let log = gateway.child().wait_stderr(|text| text.contains("metrics-token-file cannot be used"));
    assert!(!log.contains("second-token") && !log.contains("first-token"), "{log}");
}

/// The address changes at the next start only, and the token at once.
#[test]
fn a_reload_without_the_token_does_not_open_an_address_that_other_machines_reach() {
    let folder = Sandbox::new();
    let token = folder.write("token", "first-token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!("metrics-listen = \"0.0.0.0:0\"\nmetrics-token-file = \"{}\"\n", token.display());
    let file = folder.write("gateway.toml", &settings);
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--config", file.to_str().unwrap()]);
    let url = gateway.listening()["metrics_url"].as_str().unwrap().to_owned();
    let port = url.strip_prefix("http://0.0.0.0:").unwrap().strip_suffix("/metrics").unwrap();
    let status = |header: &str| {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}Connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!((&*status("Authorization: Bearer first-token\r\n"), &*status("")), ("200", "401"));
    for settings in ["", "metrics-listen = \"127.0.0.1:9464\"\n"] {
        let said = gateway.reload(&file, settings);
        assert!(said.contains("configuration reloaded") && said.contains("metrics-listen"), "{said}");
        assert_eq!((&*status("Authorization: Bearer first-token\r\n"), &*status("")), ("503", "503"));
    }
}

#[test]
fn scrapes_that_are_never_read_and_a_hundred_at_once_keep_no_other_from_its_answer() {
    let gateway = started(&[]);
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", address(&gateway));
    // They ask for more than the system keeps for them, and read nothing.
    let stuck: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut stream = connect(&gateway);
            stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let _ = stream.write_all(request.repeat(2000).as_bytes());
            stream
        })
        .collect();
    // And some that say nothing at all.
    let silent: Vec<TcpStream> = (0..2).map(|_| connect(&gateway)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let answer = ask(&gateway, "GET /metrics HTTP/1.1", &[]);
                assert!(answer.status == 200 && answer.text().contains("ollama_auth_build_info"));
            });
        }
    });
    assert!(began.elapsed() < DEADLINE);
    // The places of all of these are free again after a while, although none of them has gone.
    for mut stream in stuck.into_iter().chain(silent) {
        stream.set_read_timeout(Some(3 * LONGEST_CONNECTION)).unwrap();
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
    assert_eq!(ask(&gateway, "GET /metrics HTTP/1.1", &[]).status, 200);
}

#[test]
fn an_open_address_without_a_token_and_a_port_in_use_end_the_start_with_what_to_do() {
    let sandbox = Sandbox::new();
    let serve = |listen: &str| {
        let set = format!("metrics-listen={listen}");
        let database = sandbox.path("gateway.db");
        let args =
            ["gateway", "serve", "--listen", "127.0.0.1:0", "--set", &set, "--database", database.to_str().unwrap()];
        sandbox.command(args).run()
    };
    let output = serve("0.0.0.0:0");
    assert_eq!(output.code(), 2);
    let said = output.stderr();
    assert!(said.contains("metrics-token-file is not set") && said.contains("Or listen on 127.0.0.1"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = serve(&taken.local_addr().unwrap().to_string());
    assert_eq!(output.code(), 1);
    assert!(
        output.stderr().contains("for metrics") && output.stderr().contains("metrics-listen"),
        "{}",
        output.stderr()
    );
}

#[test]
fn the_state_is_there_soon_after_the_start() {
    let gateway = started(&[]);
    let text = poll("the state", || {
        let answer = ask(&gateway, "GET /metrics HTTP/1.1", &[]);
        let text = answer.text().to_owned();
        text.contains("ollama_auth_upstream_up").then_some(text)
    });
    for sample in [
        "ollama_auth_upstream_up 0",
        "ollama_auth_database_up 1",
        "ollama_auth_replicas 1",
        "ollama_auth_accounts 0",
        "ollama_auth_event_log_signing_problem{problem=\"wrong_key\"} 0",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(sample)), "{sample}: {text}");
    }
}
