//! Streaming: chunks are forwarded at once, truncation is visible, and a disconnected caller cancels the upstream request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::cmd::{Child, Sandbox};
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::ollama::recorded;
use crate::harness::{DEADLINE, tool};

/// A gateway in front of a server that always answers so, and a key for it.
fn with_upstream(reply: impl Fn() -> Reply + Send + Sync + 'static, more: &[&str]) -> (Server, Gateway, String) {
    let upstream = Server::start(move |_| reply());
    let gateway = Gateway::start_with(&upstream.url(), more);
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k", "--scope", "inference,models:read,models:write"]);
    (upstream, gateway, format!("Authorization: Bearer {key}"))
}

/// A request through the gateway whose answer is shown as it comes.
fn curl(sandbox: &Sandbox, gateway: &Gateway, header: &str, more: &[&str]) -> Child {
    let url = format!("{}/api/generate", gateway.url());
    let args = ["--no-buffer", "--silent", "--show-error", "--noproxy", "*", "--header", header, "--data", "{}", &url];
    sandbox.program(tool("curl"), args).args(more).spawn()
}

#[test]
fn each_recorded_chunk_arrives_before_the_next_is_sent() {
    let chunks = &recorded("generate").chunks;
    let gates: Vec<Gate> = chunks.iter().map(|_| Gate::new()).collect();
    let steps: Vec<Step> = chunks
        .iter()
        .zip(&gates)
        .flat_map(|(chunk, gate)| [Step::send(chunk.as_str()), Step::WaitFor(gate.clone())])
        .collect();
    let (_upstream, gateway, header) = with_upstream(move || Reply::ndjson(steps.clone()), &[]);
    let sandbox = Sandbox::new();
    let child = curl(&sandbox, &gateway, &header, &[]);
    let mut seen = String::new();
    for (chunk, gate) in chunks.iter().zip(&gates) {
        seen += chunk;
        child.wait_stdout(|text| text == seen);
        gate.open();
    }
    child.finish().expect_code(0);
}

#[test]
fn an_upstream_that_dies_mid_stream_ends_the_response_with_an_error() {
    for (step, version) in
        [(Step::Cut, "--http1.1"), (Step::Reset, "--http1.1"), (Step::Cut, "--http1.0"), (Step::Reset, "--http1.0")]
    {
        let said = format!("{step:?} {version}");
        let steps = [Step::send("{\"response\":\"a\"}\n"), step];
        let (_upstream, gateway, header) = with_upstream(move || Reply::ndjson(steps.clone()), &[]);
        let sandbox = Sandbox::new();
        let output = curl(&sandbox, &gateway, &header, &[version]).finish();
        assert!([18, 56].contains(&output.code()), "{said}: curl ended with {}", output.code());
        // What came before a close is passed on; a reset may take it along.
        assert!(
            said.starts_with("Reset") || said.ends_with("1.0") || output.stdout() == "{\"response\":\"a\"}\n",
            "{said}"
        );
        // And the gateway is none the worse for it.
        assert_eq!(gateway.ask("HEAD", "/", &[], "").status, 200);
    }
}

/// Such an answer ends with the connection, which callers could not tell from its death.
#[test]
fn an_http_1_0_upstream_that_dies_ends_the_response_with_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (end, ends) = mpsc::channel();
    let serves = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nsome").unwrap();
        ends.recv().unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let gateway = Gateway::start(&upstream);
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k"]);
    let sandbox = Sandbox::new();
    let child = curl(&sandbox, &gateway, &format!("Authorization: Bearer {key}"), &[]);
    child.wait_stdout(|text| text == "some");
    end.send(()).unwrap();
    assert_eq!(child.finish().code(), 18);
    serves.join().unwrap();
}

#[test]
fn a_response_shorter_than_its_length_ends_with_an_error() {
    let reply = || Reply::sized(200, 100, [Step::send("only this"), Step::Cut]);
    let (_upstream, gateway, header) = with_upstream(reply, &[]);
    let request = format!(
        "POST /api/generate HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{header}\r\nContent-Length: 2\r\n\r\n{{}}",
        gateway.address()
    );
    let answer = Answer::parse(&gateway.raw(request));
    assert_eq!(answer.unwrap_err(), "the body is cut");
}

#[test]
fn a_killed_client_cancels_the_upstream_request() {
    let (upstream, gateway, header) = with_upstream(|| Reply::ndjson([Step::send("{}\n"), Step::Hang]), &[]);
    let sandbox = Sandbox::new();
    let child = curl(&sandbox, &gateway, &header, &[]);
    child.wait_stdout(|text| text == "{}\n");
    child.signal(Signal::KILL);
    upstream.wait_disconnects(1);
}

#[test]
fn a_client_killed_before_the_first_token_cancels_the_upstream_request() {
    let gate = Gate::new();
    let held = gate.clone();
    let (upstream, gateway, header) = with_upstream(move || Reply::ndjson([Step::send("{}\n")]).after(&held), &[]);
    let sandbox = Sandbox::new();
    let child = curl(&sandbox, &gateway, &header, &[]);
    upstream.wait_requests(1);
    child.signal(Signal::KILL);
    upstream.wait_disconnects(1);
    gate.open();
}

#[test]
fn sigterm_finishes_open_requests_and_accepts_no_new_ones() {
    let gate = Gate::new();
    let held = gate.clone();
    let steps = move || [Step::send("{\"a\":1}\n"), Step::WaitFor(held.clone()), Step::send("{\"done\":true}\n")];
    let (_upstream, mut gateway, header) = with_upstream(move || Reply::ndjson(steps()), &[]);
    let sandbox = Sandbox::new();
    let child = curl(&sandbox, &gateway, &header, &[]);
    child.wait_stdout(|text| text.contains("\"a\""));
    // A connection that idles is closed at once.
    let mut idle = TcpStream::connect(gateway.address()).unwrap();
    idle.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(idle, "HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address()).unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();

    gateway.child().signal(Signal::TERM);
    gateway.child().wait_stderr(|text| text.contains("stopping: waiting for open requests"));
    assert!(TcpStream::connect(gateway.address()).is_err(), "a new connection was taken");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    gate.open();
    let output = child.finish();
    assert!(output.expect_code(0).stdout().ends_with("{\"done\":true}\n"));
    gateway.wait().expect_code(0);
}

#[test]
fn drain_timeout_or_a_second_signal_ends_open_requests() {
    for second in [false, true] {
        let limit = if second { "drain-timeout=1h" } else { "drain-timeout=1s" };
        let (_upstream, mut gateway, header) =
            with_upstream(|| Reply::ndjson([Step::send("{}\n"), Step::Hang]), &["--set", limit]);
        let sandbox = Sandbox::new();
        let child = curl(&sandbox, &gateway, &header, &[]);
        child.wait_stdout(|text| text == "{}\n");
        gateway.child().signal(Signal::TERM);
        gateway.child().wait_stderr(|text| text.contains("stopping: waiting for open requests"));
        if second {
            gateway.child().signal(Signal::TERM);
        }
        gateway.wait().expect_code(if second { 130 } else { 0 });
        assert_ne!(child.finish().code(), 0);
    }
}

#[test]
fn slow_and_silent_callers_time_out() {
    let (_upstream, gateway, _) = with_upstream(|| Reply::json(200, "{}"), &["--set", "header-timeout=1s"]);
    for begin in ["", "GET / HTTP/1.1\r\nHost: local", "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("after {begin:?}: {error}"));
    }
}

#[test]
fn bodies_have_limits_and_blobs_have_none() {
    let (upstream, gateway, header) = with_upstream(|| Reply::json(200, "{}"), &["--set", "max-body=1000"]);
    let large = format!(r#"{{"model":"tiny","prompt":"{}"}}"#, "x".repeat(2000));
    assert_eq!(gateway.ask("POST", "/api/generate", &[&header], &large).status, 413);
    // One that does not say how long it is.
    let chunk = "x".repeat(600);
    let request = format!(
        "POST /api/generate HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{header}\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n{chunk}\r\n258\r\n{chunk}\r\n0\r\n\r\n",
        gateway.address()
    );
    assert_eq!(Answer::parse(&gateway.raw(request)).unwrap().status, 413);
    let whole = |request: &crate::harness::http::Request| request.body.len() >= 1000;
    assert!(!upstream.requests().iter().any(whole), "more than the limit reached the upstream server");

    let blob = format!("/api/blobs/sha256:{}", "0a".repeat(32));
    assert_eq!(gateway.ask("POST", &blob, &[&header], &"b".repeat(1 << 20)).status, 200);
    assert_eq!(upstream.requests().last().unwrap().body.len(), 1 << 20);
}

#[test]
fn requests_that_smuggle_another_are_refused() {
    let (upstream, gateway, header) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let host = format!("Host: {}\r\n{header}\r\n", gateway.address());
    let hidden = "0\r\n\r\nPOST /api/pull HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", hidden.len()),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
    ] {
        let request = format!("POST /api/generate HTTP/1.1\r\n{host}{framing}\r\n{hidden}");
        let answer = String::from_utf8_lossy(&gateway.raw(request)).into_owned();
        let seen = upstream.seen();
        assert!(!seen.iter().any(|line| line.contains("pull")), "{framing:?} let {seen:?} through");
        // Where a length stands beside chunks only the chunks may count, and nothing after them is read (RFC 9112, section 6.3).
        let harmless =
            framing.contains("ength") && framing.contains("chunked") && answer.matches("HTTP/1.1").count() == 1;
        assert!(harmless || answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{framing:?}: {answer}");
    }
    for chunks in [
        "zz\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "2;x=\"\n\"\r\nab\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nab\r\n",
    ] {
        let request = format!("POST /api/generate HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = String::from_utf8_lossy(&gateway.raw(request)).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 200"), "{chunks:?}: {answer}");
    }
}

#[test]
fn callers_beyond_max_connections_wait() {
    let (_upstream, gateway, _) = with_upstream(|| Reply::json(200, "{}"), &["--set", "max-connections=2"]);
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(gateway.address()).unwrap()).collect();
    let mut third = TcpStream::connect(gateway.address()).unwrap();
    write!(third, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut answer = [0; 15];
    assert!(third.read_exact(&mut answer).is_err(), "it was served although two were");
    drop(idle);
    third.set_read_timeout(Some(DEADLINE)).unwrap();
    third.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}
