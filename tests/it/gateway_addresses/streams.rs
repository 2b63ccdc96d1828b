//! Responses and uploads under way when lists change.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::{Given, forwarded, header};
use crate::gateway_limits::upstream::Mode;
use crate::harness::DEADLINE;

/// Begins a request from that address, of which `body` is sent so far.
fn begin(given: &Given, key: &Value, from: &str, length: usize, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(given.gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (host, key, from) = (given.gateway.address(), header(key), forwarded(from));
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}\r\n{from}\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    stream
}

/// A response that has begun and does not end.
fn held(given: &Given, key: &Value, from: &str) -> TcpStream {
    let mut stream = begin(given, key, from, 2, "{}");
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // A time limit is no end.
    assert!(!read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the response does not end");
    String::from_utf8_lossy(&rest).into_owned()
}

fn is_whole(stream: TcpStream) -> bool {
    rest(stream).ends_with("0\r\n\r\n")
}

#[test]
fn responses_to_addresses_that_are_refused_now_are_cut_and_no_others() {
    let given = Given::start("");
    let key = given.key(&[]);
    given.upstream.set(Mode::Held);
    let mut left = 0;
    let mut narrow = |how: &dyn Fn(&str), back: &dyn Fn()| {
        let (near, far) = (held(&given, &key, "10.1.2.3"), held(&given, &key, "11.0.0.1"));
        // Lists that accept both cut nothing.
        how("10.0.0.0/7");
        assert_eq!(given.upstream.left(), left);
        how("10.0.0.0/8");
        assert!(!is_whole(far), "its address is not accepted any more");
        left += 1;
        given.upstream.wait_left(left);
        drop(near);
        left += 1;
        given.upstream.wait_left(left);
        back();
    };
    let person = |network: &str| {
        given.admin(&["user", "addresses", "ada", "--allow", network]);
    };
    narrow(&person, &|| {
        given.admin(&["user", "addresses", "ada", "--clear"]);
    });
    let role = |network: &str| {
        let log = given.reload(&format!("[roles.member.addresses]\nallow = [\"{network}\"]\n"));
        assert!(log.contains("configuration reloaded"), "{log}");
    };
    let back = || {
        given.reload("");
    };
    narrow(&role, &back);
    let gateway = |network: &str| {
        let log = given.reload(&format!("[addresses]\nallow = [\"{network}\", \"127.0.0.1\"]\n"));
        assert!(log.contains("configuration reloaded"), "{log}");
    };
    narrow(&gateway, &back);

    // The one that is still accepted ends as it should.
    let near = held(&given, &key, "10.1.2.3");
    person("10.0.0.0/8");
    given.upstream.release();
    assert!(is_whole(near));
}

#[test]
fn a_request_that_waits_or_uploads_is_refused_with_its_reason() {
    let given = Given::start("");
    let key = given.key(&[]);
    let deny = |network: &str| {
        given.admin(&["user", "addresses", "ada", "--deny", network]);
    };
    // The upstream server has not answered yet.
    given.upstream.set(Mode::Silent);
    let waits = begin(&given, &key, "11.0.0.1", 2, "{}");
    given.upstream.wait_arrived(1);
    deny("11.0.0.0/8");
    let answer = rest(waits);
    assert!(answer.contains("403") && answer.contains("this account is not accepted from 11.0.0.1"), "{answer}");

    // Half of the body has come. Other addresses may be denied meanwhile.
    given.admin(&["user", "addresses", "ada", "--clear"]);
    given.upstream.set(Mode::Complete);
    let (far, near) = (begin(&given, &key, "11.0.0.1", 4, "{ "), begin(&given, &key, "10.0.0.1", 4, "{ "));
    deny("11.0.0.0/8");
    expect_far_refused(far, near);

    // It is with the upstream server already, where bodies are not read for counting.
    given.admin(&["user", "addresses", "ada", "--clear"]);
    given.reload("usage = false\n");
    let arrived = given.upstream.arrived();
    let (far, near) = (begin(&given, &key, "11.0.0.1", 4, "{ "), begin(&given, &key, "10.0.0.1", 4, "{ "));
    given.upstream.wait_arrived(arrived + 2);
    deny("11.0.0.0/8");
    expect_far_refused(far, near);
}

/// Sends the rest of both bodies.
fn expect_far_refused(mut far: TcpStream, mut near: TcpStream) {
    far.write_all(b" }").unwrap();
    near.write_all(b" }").unwrap();
    let (far, near) = (rest(far), rest(near));
    assert!(near.contains("200 OK") && near.ends_with("0\r\n\r\n"), "{near}");
    assert!(far.contains("403") && far.contains("this account is not accepted from 11.0.0.1"), "{far}");
}
