//! The loopback HTTP server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    panic::catch_unwind,
    time::Duration,
};

use serde_json::json;

use super::{curl, drop_panics, start_curl};
use crate::harness::{
    cmd::Sandbox,
    http::{Expectation, Gate, Reply, Server, Step},
    tool,
};

#[test]
fn a_request_is_recorded_whole() {
    let server = Server::start(|_| Reply::json(200, json!({"ok": true})).header("X-One", 1));
    let url = format!("{}/a/b?x=1%202&ts=5", server.url());
    let output = curl(&["-i", "-X", "PUT", "-H", "A-B: c", "-d", "{\"k\":[1]}", &url]);
    assert!(output.stdout().contains("X-One: 1\r\n"), "{output:?}");
    assert!(output.stdout().ends_with("{\"ok\":true}"));
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!((&*request.method, request.path()), ("PUT", "/a/b"));
    assert_eq!(request.query("x").as_deref(), Some("1 2"));
    assert_eq!(request.header("a-b"), Some("c"));
    assert_eq!(request.json(), json!({"k": [1]}));
    assert_eq!(server.seen(), ["PUT /a/b"]);
}

#[test]
fn connections_are_kept_alive_and_heads_have_no_body() {
    let server = Server::start(|_| Reply::new(200, "text"));
    let (a, b) = (format!("{}/a", server.url()), format!("{}/b", server.url()));
    assert_eq!(curl(&[&a, &b]).stdout(), "texttext");
    assert_eq!(server.connections(), 1);
    let head = curl(&["--head", &a]);
    assert!(head.stdout().contains("Content-Length: 4\r\n"));
}

#[test]
fn big_and_chunked_bodies_arrive_after_a_continue() {
    let server = Server::start(|request| Reply::new(200, request.body.len().to_string()));
    let big = "x".repeat(5 << 20);
    for framing in ["Content-Type: text/plain", "Transfer-Encoding: chunked"] {
        let sandbox = Sandbox::new();
        let output = sandbox
            .program(tool("curl"), ["-sS", "--noproxy", "*", "--expect100-timeout", "60", "-H", "Expect: 100-continue"])
            .stdin(&big);
        let output = output.args(["-H", framing, "--data-binary", "@-", &server.url()]).run();
        assert_eq!(output.stdout(), (5 << 20).to_string(), "{framing}");
        assert!(output.duration < Duration::from_secs(30), "curl waited for the 100");
    }
}

#[test]
fn the_first_chunk_is_seen_before_the_second_is_sent() {
    let gate = Gate::new();
    let server = Server::start({
        let gate = gate.clone();
        move |_| Reply::ndjson([Step::send("one\n"), Step::WaitFor(gate.clone()), Step::send("two\n")])
    });
    let client = start_curl(&[&server.url()]);
    gate.wait_reached();
    assert_eq!(client.wait_stdout(|text| text.ends_with('\n')), "one\n");
    gate.open();
    assert_eq!(client.finish().expect_code(0).stdout(), "one\ntwo\n");
}

#[test]
fn answers_can_be_cut_reset_or_never_come() {
    let server = Server::start(|request| match request.path() {
        "/cut" => Reply::ndjson([Step::send("part"), Step::Cut]),
        "/short" => Reply::sized(200, 10, [Step::send("part")]),
        "/close" => Reply::until_close(200, [Step::send("part")]),
        "/reset" => Reply::ndjson([Step::send("part"), Step::Reset]),
        "/drop" => Reply::drop_connection(),
        "/reset-now" => Reply::reset_connection(),
        _ => Reply::redirect(307, "/close"),
    });
    let code = |path: &str| curl(&["-L", &format!("{}{path}", server.url())]).code();
    // curl: 18 is "partial file", 52 "empty reply", 56 "failure in receiving".
    assert_eq!(code("/cut"), 18);
    assert_eq!(code("/short"), 18);
    assert_eq!(code("/close"), 0);
    assert_eq!(code("/reset"), 56);
    assert_eq!(code("/drop"), 52);
    assert_eq!(code("/reset-now"), 56);
    assert_eq!(code("/elsewhere"), 0);
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let server = Server::start(|_| Reply::ndjson([Step::send("one\n"), Step::Hang]));
    let client = start_curl(&[&server.url()]);
    client.wait_stdout(|text| text == "one\n");
    // Not SIGINT: a shell that runs the tests in the background has it ignored, and curl leaves it so.
    client.signal(rustix::process::Signal::TERM);
    assert_eq!(client.finish().code(), 143);
    server.wait_disconnects(1);
}

#[test]
fn expectations_are_checked_at_drop() {
    let server = Server::strict();
    server.expect(Expectation::new("GET", "/a").times(1..=2).reply(|_| Reply::new(200, "a")));
    server.expect(Expectation::new("GET", "/never"));
    for path in ["/a", "/a", "/a", "/b"] {
        curl(&[&format!("{}{path}", server.url())]);
    }
    let text = drop_panics(server);
    assert!(text.contains("GET /a came too often"), "{text}");
    assert!(text.contains("GET /b was not expected"), "{text}");
    assert!(text.contains("GET /never was expected 1 times or more and came 0 times"), "{text}");

    let fine = Server::strict();
    fine.expect(Expectation::new("GET", "/a").reply(|_| Reply::new(200, "a")));
    assert_eq!(curl(&[&format!("{}/a", fine.url())]).stdout(), "a");
}

#[test]
fn a_failing_test_is_not_aborted_by_the_server() {
    let panic = catch_unwind(|| {
        let server = Server::strict();
        server.expect(Expectation::new("GET", "/never"));
        panic!("the test itself");
    });
    assert_eq!(panic.expect_err("a panic").downcast_ref(), Some(&"the test itself"));
}

#[test]
fn a_handler_that_panics_and_nonsense_are_complaints() {
    let server = Server::start(|_| panic!("wrong body"));
    assert!(curl(&["-i", &server.url()]).stdout().starts_with("HTTP/1.1 599"));
    let mut raw = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    raw.write_all(b"nonsense\r\n\r\n").expect("it is sent");
    raw.read_to_end(&mut Vec::new()).ok();
    let text = server.take_complaints().join("\n");
    assert!(text.contains("GET / made its handler panic: wrong body"), "{text}");
    assert!(text.contains("not a request line"), "{text}");
}
