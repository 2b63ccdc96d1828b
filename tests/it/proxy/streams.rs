//! Streaming in both directions: chunks are forwarded at once, truncation is visible, and a disconnected client cancels the request.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::{Proxy, with_upstream};
use crate::harness::cmd::{Child, Sandbox};
use crate::harness::gateway::Answer;
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::recorded;
use crate::harness::tool;

/// A request whose answer is shown as it comes.
fn curl(sandbox: &Sandbox, proxy: &Proxy, path: &str, more: &[&str]) -> Child {
    let url = format!("{}{path}", proxy.url());
    let args = ["--no-buffer", "--silent", "--show-error", "--noproxy", "*", "--data", "{}", &url];
    sandbox.program(tool("curl"), args).args(more).spawn()
}

#[test]
fn each_chunk_arrives_before_the_next_is_sent() {
    let events = ["data: {\"a\":1}\n\n", "data: {\"a\":2}\n\n", "data: [DONE]\n\n"].map(str::to_owned);
    for (path, chunks) in [("/api/generate", &recorded("generate").chunks[..]), ("/v1/chat/completions", &events)] {
        let gates: Vec<Gate> = chunks.iter().map(|_| Gate::new()).collect();
        let steps: Vec<Step> = chunks
            .iter()
            .zip(&gates)
            .flat_map(|(chunk, gate)| [Step::send(chunk.as_str()), Step::WaitFor(gate.clone())])
            .collect();
        let reply = move || Reply::script(200, steps.clone()).header("Content-Type", "text/event-stream");
        let (_upstream, proxy, sandbox) = with_upstream(reply, &[]);
        let child = curl(&sandbox, &proxy, path, &[]);
        let mut seen = String::new();
        for (chunk, gate) in chunks.iter().zip(&gates) {
            seen += chunk;
            child.wait_stdout(|text| text == seen);
            gate.open();
        }
        child.finish().expect_code(0);
    }
}

#[test]
fn a_host_that_dies_mid_stream_ends_the_response_with_an_error() {
    for (step, version) in
        [(Step::Cut, "--http1.1"), (Step::Reset, "--http1.1"), (Step::Cut, "--http1.0"), (Step::Reset, "--http1.0")]
    {
        let said = format!("{step:?} {version}");
        let steps = [Step::send("{\"response\":\"a\"}\n"), step];
        let (_upstream, proxy, sandbox) = with_upstream(move || Reply::ndjson(steps.clone()), &[]);
        let output = curl(&sandbox, &proxy, "/api/generate", &[version]).finish();
        assert!([18, 56].contains(&output.code()), "{said}: curl ended with {}", output.code());
    }
    let (_upstream, proxy, _sandbox) =
        with_upstream(|| Reply::sized(200, 100, [Step::send("only this"), Step::Cut]), &[]);
    let request = format!("GET /api/tags HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address());
    assert_eq!(Answer::parse(&proxy.raw(request)).unwrap_err(), "the body is cut");
    for reply in [Reply::drop_connection, Reply::reset_connection] {
        let (upstream, proxy, _sandbox) = with_upstream(reply, &[]);
        let answer = proxy.ask("POST", "/api/chat", &[], "{}");
        assert!(answer.status == 502 && answer.text().contains("ended before an answer"), "{}", answer.text());
        assert_eq!(upstream.requests().len(), 1, "it was repeated");
    }
}

/// Such an answer ends with the connection, which a program behind the proxy could not tell from its death.
#[test]
fn an_http_1_0_host_that_dies_ends_the_response_with_an_error() {
    for dies in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let (end, ends) = mpsc::channel();
        let serves = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nsome").unwrap();
            ends.recv().unwrap();
            if dies {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        let sandbox = Sandbox::new();
        let proxy = Proxy::start(&sandbox, &["--host", &host]);
        let child = curl(&sandbox, &proxy, "/api/generate", &[]);
        child.wait_stdout(|text| text == "some");
        end.send(()).unwrap();
        assert_eq!(child.finish().code(), if dies { 18 } else { 0 });
        serves.join().unwrap();
    }
}

#[test]
fn a_killed_client_cancels_the_request_to_the_host() {
    let (upstream, proxy, sandbox) = with_upstream(|| Reply::ndjson([Step::send("{}\n"), Step::Hang]), &[]);
    let child = curl(&sandbox, &proxy, "/api/generate", &[]);
    child.wait_stdout(|text| text == "{}\n");
    child.signal(Signal::KILL);
    upstream.wait_disconnects(1);

    // Nor before the first token.
    let gate = Gate::new();
    let held = gate.clone();
    let (upstream, proxy, sandbox) = with_upstream(move || Reply::ndjson([Step::send("{}\n")]).after(&held), &[]);
    let child = curl(&sandbox, &proxy, "/api/generate", &[]);
    upstream.wait_requests(1);
    child.signal(Signal::KILL);
    upstream.wait_disconnects(1);
    gate.open();
}

#[test]
fn request_bodies_are_forwarded_with_and_without_a_length() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let large = "x".repeat(8 << 20);
    assert_eq!(proxy.ask("POST", "/api/chat", &[], &large).status, 200);
    let request = format!(
        "POST /api/chat HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        proxy.address()
    );
    assert_eq!(Answer::parse(&proxy.raw(request)).unwrap().status, 200);
    assert_eq!(proxy.ask("POST", "/api/chat", &[], "").status, 200);
    let requests = upstream.requests();
    assert!(requests[0].body == large.as_bytes());
    assert_eq!(requests[0].header("content-length"), Some(&*large.len().to_string()));
    assert_eq!((requests[1].text(), requests[1].header("transfer-encoding")), ("abcdefg", Some("chunked")));
    assert_eq!((requests[2].text(), requests[2].header("content-length")), ("", Some("0")));
}

#[test]
fn expect_100_continue_is_answered() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let begin = |target: &str| {
        let mut stream = proxy.connect();
        let host = proxy.address();
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let mut stream = begin("/api/chat");
    let mut go = [0; 25];
    stream.read_exact(&mut go).unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().status, 200);
    assert_eq!((upstream.requests()[0].text(), upstream.requests()[0].header("expect")), ("{}", None));

    let mut answer = Vec::new();
    begin("/api/signout").read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn head_has_a_length_and_no_body() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::sized(200, 17, []), &[]);
    let request = format!("HEAD / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address());
    let answer = String::from_utf8(proxy.raw(request)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-length: 17\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(upstream.seen(), ["HEAD /"]);
}

/// A reader that reads nothing holds up the host and fills no memory here.
#[test]
fn a_slow_reader_applies_backpressure() {
    let piece = "x".repeat(1 << 20);
    let (count, gate) = (64, Gate::new());
    let mut steps: Vec<Step> = (0..count).map(|_| Step::send(piece.as_str())).collect();
    steps.push(Step::WaitFor(gate.clone()));
    gate.open();
    let (_upstream, proxy, _sandbox) = with_upstream(move || Reply::ndjson(steps.clone()), &[]);
    let mut stream = proxy.connect();
    write!(stream, "GET /api/tags HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address()).unwrap();
    let mut first = [0; 1024];
    stream.read_exact(&mut first).unwrap();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = peak();
    // Others are served meanwhile, which takes its time.
    for _ in 0..200 {
        assert_eq!(proxy.ask("GET", "/nowhere", &[], "").status, 404);
    }
    assert!(peak() < before + (16 << 10), "from {before} to {} KiB", peak());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > count * piece.len());
    assert!(peak() < before + (16 << 10), "from {before} to {} KiB", peak());
}
