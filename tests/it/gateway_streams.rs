//! Streaming: chunks are forwarded at once, truncation is visible, and a disconnected caller cancels the upstream request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};

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

/// A response whose beginning has come, on a connection of its own.
struct OpenStream(TcpStream, Vec<u8>);

impl OpenStream {
    fn new(gateway: &Gateway, target: &str, key: &str) -> Self {
        let mut stream = Self(TcpStream::connect(gateway.address()).unwrap(), Vec::new());
        stream.0.set_read_timeout(Some(DEADLINE)).unwrap();
        let host = gateway.address();
        write!(
            stream.0,
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        )
        .unwrap();
        while !stream.1.ends_with(b"{}\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.0.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&stream.1));
            stream.1.push(byte[0]);
        }
        stream
    }

    /// Waits for the end. An error says how it is incomplete.
    fn finish(mut self) -> Result<Answer, String> {
        let ended = self.0.read_to_end(&mut self.1);
        assert!(
            ended.as_ref().err().is_none_or(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{ended:?}"
        );
        Answer::parse(&self.1)
    }
}

/// A server that sends a line and then nothing until the gate opens, and a gateway whose accounts are ada and bob.
fn with_silent_upstream(more: &[&str]) -> (Gate, Server, Gateway, Sandbox) {
    let gate = Gate::new();
    let held = gate.clone();
    let steps = move || [Step::send("{}\n"), Step::WaitFor(held.clone()), Step::send("{\"done\":true}\n")];
    let upstream = Server::start(move |request| match request.method.as_str() {
        "POST" => Reply::ndjson(steps()),
        _ => Reply::json(200, r#"{"models":[]}"#),
    });
    let gateway = Gateway::start_with(&upstream.url(), more);
    gateway.add_user("root", "admin").add_user("ada", "maintainer").add_user("bob", "maintainer");
    let device = gateway.device_of("ada");
    (gate, upstream, gateway, device)
}

const ALL: &str = "--scope=inference,models:read,models:write,keys";

/// The upstream server is silent all the while, so nothing but the change itself can end the streams.
#[test]
fn a_stream_is_cut_when_its_credential_is_no_longer_valid() {
    let (gate, upstream, gateway, device) = with_silent_upstream(&[]);
    let key = |name: &str| gateway.key(&device, &[name, ALL]);
    let (watch, stolen, other) = (key("watch"), key("stolen"), key("other"));
    let bobs = gateway.key(&gateway.device_of("bob"), &["bobs", ALL]);
    let kept = OpenStream::new(&gateway, "/api/generate", &watch);
    let bobs_chat = OpenStream::new(&gateway, "/api/chat", &bobs);
    let is_cut = |stream: OpenStream, what: &str| assert!(stream.finish().is_err(), "{what}: the response is complete");
    let mut gone = 0;
    let mut upstream_is_left = || {
        gone += 1;
        upstream.wait_disconnects(gone);
    };

    let stream = OpenStream::new(&gateway, "/api/generate", &stolen);
    device.command(["keys", "revoke", "stolen", "--yes"]).run().expect_code(0);
    is_cut(stream, "a revoked key");
    upstream_is_left();

    // An expiry that was brought forward, without a replacement.
    let stream = OpenStream::new(&gateway, "/v1/chat/completions", &other);
    let header = format!("Authorization: Bearer {other}");
    let list = gateway.ask("GET", "/api/user/keys", &[&header], "").json();
    let id = list["keys"].as_array().unwrap().iter().find(|key| key["name"] == "other").unwrap()["id"].clone();
    let path = format!("/api/user/keys/{}?expires_in=1", BASE64_URL_SAFE_NO_PAD.encode(id.as_str().unwrap()));
    assert_eq!(gateway.ask("PATCH", &path, &[&header], "").status, 200);
    is_cut(stream, "an expired key");
    upstream_is_left();

    // A role that shrinks: the pull is cut, the chat is not.
    let pull = OpenStream::new(&gateway, "/api/pull", &bobs);
    gateway.admin(&["user", "role", "bob", "admin"]).expect_code(0);
    gateway.admin(&["user", "role", "bob", "member"]).expect_code(0);
    is_cut(pull, "a role without the scope");
    upstream_is_left();

    // A disconnected device.
    let sent = device.command(["api", "/api/generate", "-d", "{}"]).spawn();
    sent.wait_stdout(|text| text == "{}\n");
    device.command(["signout"]).run().expect_code(0);
    assert_ne!(sent.finish().code(), 0, "a disconnected device");
    upstream_is_left();

    let other_chat = OpenStream::new(&gateway, "/api/chat", &bobs);
    gate.open();
    assert!(kept.finish().unwrap().text().contains("done"), "another key of the same account");
    assert!(
        bobs_chat.finish().unwrap().text().contains("done") && other_chat.finish().is_ok(),
        "a role that has the scope"
    );
}

#[test]
fn a_stream_is_cut_when_the_account_is_disabled_or_removed() {
    let (_gate, upstream, gateway, device) = with_silent_upstream(&[]);
    let key = gateway.key(&device, &["k", ALL]);
    let streams = ["/api/generate", "/v1/responses"].map(|path| OpenStream::new(&gateway, path, &key));
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    assert!(streams.into_iter().all(|stream| stream.finish().is_err()));
    upstream.wait_disconnects(2);

    let bobs = gateway.key(&gateway.device_of("bob"), &["bobs", ALL]);
    let stream = OpenStream::new(&gateway, "/api/generate", &bobs);
    gateway.admin(&["user", "remove", "bob", "--yes"]).expect_code(0);
    assert!(stream.finish().is_err());
    upstream.wait_disconnects(3);
}

#[test]
fn a_stream_is_cut_when_its_key_or_its_account_is_suspended() {
    let (gate, upstream, gateway, device) = with_silent_upstream(&[]);
    let parent = gateway.key(&device, &["parent", ALL]);
    let header = format!("Authorization: Bearer {parent}");
    let made = gateway.ask("POST", "/api/user/keys", &[&header], r#"{"name":"child"}"#).json();
    let child = OpenStream::new(&gateway, "/api/chat", made["key"].as_str().unwrap());
    let stream = OpenStream::new(&gateway, "/api/chat", &parent);
    gateway.admin(&["key", "suspend", "parent", "--user", "ada"]).expect_code(0);
    assert!(stream.finish().is_err(), "a suspended key");
    upstream.wait_disconnects(1);

    let bobs = gateway.key(&gateway.device_of("bob"), &["bobs", ALL]);
    let stream = OpenStream::new(&gateway, "/v1/responses", &bobs);
    gateway.admin(&["user", "suspend", "bob"]).expect_code(0);
    assert!(stream.finish().is_err(), "a suspended account");
    upstream.wait_disconnects(2);

    // A suspended device; what its account has otherwise continues.
    let sent = device.command(["api", "/api/generate", "-d", "{}"]).spawn();
    sent.wait_stdout(|text| text == "{}\n");
    let shown = device.command(["device", "show", "--json"]).run().expect_code(0).json();
    gateway.admin(&["device", "suspend", shown["fingerprint"].as_str().unwrap()]).expect_code(0);
    assert_ne!(sent.finish().code(), 0, "a suspended device");
    upstream.wait_disconnects(3);
    gate.open();
    assert!(child.finish().unwrap().text().contains("done"), "a key that a suspended one created");
}

/// A model that loads for minutes sends not even a head.
#[test]
fn a_request_without_a_response_is_refused_when_its_key_is_revoked() {
    let gate = Gate::new();
    let held = gate.clone();
    let (upstream, gateway, header) = with_upstream(move || Reply::ndjson([Step::send("{}\n")]).after(&held), &[]);
    let key = header.strip_prefix("Authorization: Bearer ").unwrap().to_owned();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| gateway.ask("POST", "/v1/chat/completions", &[&header], "{}"));
        upstream.wait_requests(1);
        let id = key.clone();
        gateway.admin(&["user", "disable", "ada"]).expect_code(0);
        let answer = waits.join().unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("no longer valid"), "{}", answer.text());
        assert!(!answer.text().contains(&id));
    });
    upstream.wait_disconnects(1);
    gate.open();
}

/// Who deploys a successor does not want to break what runs. The key beside it that expires for good shows that the gateway has looked.
#[test]
fn the_end_of_a_rotation_cuts_no_stream() {
    let (gate, _upstream, gateway, device) = with_silent_upstream(&[]);
    let [old, control] = ["old", "control"].map(|name| gateway.key(&device, &[name, ALL]));
    let header = |key: &str| format!("Authorization: Bearer {key}");
    let id = |name: &str, key: &str| -> Value {
        let list = gateway.ask("GET", "/api/user/keys", &[&header(key)], "").json();
        list["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap()["id"].clone()
    };
    let streams = [OpenStream::new(&gateway, "/api/chat", &old), OpenStream::new(&gateway, "/api/chat", &control)];
    let [old_id, control_id] = [id("old", &old), id("control", &control)];
    let made = gateway.ask("POST", "/api/user/keys", &[&header(&old)], &json!({ "replaces": old_id }).to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    for (key, id) in [(&old, old_id), (&control, control_id)] {
        let path = format!("/api/user/keys/{}?expires_in=1", BASE64_URL_SAFE_NO_PAD.encode(id.as_str().unwrap()));
        assert_eq!(gateway.ask("PATCH", &path, &[&header(key)], "").status, 200);
    }
    let [rotated, expired] = streams;
    assert!(expired.finish().is_err(), "the control");
    assert_eq!(gateway.ask("GET", "/api/tags", &[&header(&old)], "").status, 401);
    gate.open();
    assert!(rotated.finish().unwrap().text().contains("done"));
}

#[test]
fn streams_continue_if_the_setting_says_so() {
    let (gate, _upstream, gateway, device) = with_silent_upstream(&["--set", "cut-streams=false"]);
    let key = gateway.key(&device, &["k", ALL]);
    let stream = OpenStream::new(&gateway, "/api/generate", &key);
    device.command(["keys", "revoke", "k", "--yes"]).run().expect_code(0);
    assert_eq!(gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status, 401);
    gate.open();
    assert!(stream.finish().unwrap().text().contains("done"));
}
