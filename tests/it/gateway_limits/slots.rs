//! Requests at a time: however one ends, its place is free afterwards, and there is never one more at the upstream server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::upstream::{Mode, Upstream};
use super::{Limited, ROUTES, code, read_some};
use crate::harness::DEADLINE;

const ROUNDS: usize = 20;
/// One thread gives a place back before it looks at the next request; with several, that could be the other way round.
const ONE_THREAD: [&str; 2] = ["--set", "threads=1"];

#[test]
fn a_place_is_free_again_however_a_request_ends() {
    let upstream = Upstream::start();
    let limited = Limited::start_within(upstream.url(), "", &ONE_THREAD, None);
    let key = limited.key(&["--limit", "streams=1"]);
    let follow_up = |route: &str, after: &str, round: usize| {
        upstream.set(Mode::Complete);
        let answer = limited.run(route, &key);
        assert_eq!(answer.status, 200, "{route} after {after}, round {round}: {}", answer.text());
    };
    for route in ROUTES {
        for round in 0..ROUNDS {
            follow_up(route, "nothing", round);
            follow_up(route, "a complete answer", round);

            upstream.set(Mode::Held);
            let mut aborted = limited.begin(route, &key);
            read_some(&mut aborted);
            assert_eq!(limited.run(route, &key).status, 429, "{route}: the place is not taken");
            let left = upstream.left();
            drop(aborted);
            upstream.wait_left(left + 1);
            follow_up(route, "an abort", round);

            upstream.set(Mode::Malformed);
            assert_eq!(limited.run(route, &key).status, 502, "{route}");
            follow_up(route, "a 502", round);

            upstream.set(Mode::Cut);
            let mut broken = limited.begin(route, &key);
            let mut answer = Vec::new();
            let _ = broken.read_to_end(&mut answer);
            assert!(!answer.ends_with(b"0\r\n\r\n"), "{route}: it looks complete");
            follow_up(route, "a cut", round);

            // A caller that waits no longer.
            upstream.set(Mode::Silent);
            let (left, arrived) = (upstream.left(), upstream.arrived());
            let impatient = limited.begin(route, &key);
            upstream.wait_arrived(arrived + 1);
            drop(impatient);
            upstream.wait_left(left + 1);
            follow_up(route, "a timeout", round);
        }
    }
    assert_eq!(upstream.most(), 1, "at a time");
}

/// Also where several threads serve: the next request comes as soon as the last byte of the answer before is there.
#[test]
fn a_request_never_meets_the_place_of_the_one_before() {
    let upstream = Upstream::start();
    let limited = Limited::start_within(upstream.url(), "", &["--set", "threads=4"], None);
    let key = limited.key(&["--limit", "streams=1"]);
    for mode in [Mode::Complete, Mode::Sized] {
        upstream.set(mode);
        for number in 0..200 {
            // Not the end of the connection is waited for, but that of the answer.
            let mut stream = limited.begin("/api/chat", &key);
            let mut answer = Vec::new();
            while !answer.ends_with(b"0\r\n\r\n") && !answer.ends_with(b"\r\n\r\n{}\n") {
                let mut some = [0; 1024];
                let count = stream.read(&mut some).unwrap();
                assert!(count > 0, "{:?}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&some[..count]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{mode:?} {number}: {}", String::from_utf8_lossy(&answer));
        }
    }
    assert_eq!(upstream.most(), 1);
}

/// The body is what is waited for.
#[test]
fn a_place_is_free_again_after_a_body_that_never_came() {
    let upstream = Upstream::start();
    let limited = Limited::start_within(upstream.url(), "", &["--set", "body-timeout=1s"], None);
    let key = limited.key(&["--limit", "streams=1"]);
    let mut slow = TcpStream::connect(limited.gateway.address()).unwrap();
    slow.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = limited.gateway.address();
    write!(slow, "POST /api/chat HTTP/1.1\r\nHost: {host}\r\n{key}\r\nContent-Length: 9\r\n\r\n{{").unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(limited.run("/api/chat", &key).status, 200);
    // And after one that is refused while it is read, as keys with models have it.
    let key = limited.key(&["--limit", "streams=1", "--model", "tiny"]);
    assert_eq!(limited.gateway.ask("POST", "/api/chat", &[&key], r#"{"model":"other"}"#).status, 403);
    assert_eq!(limited.gateway.ask("POST", "/api/chat", &[&key], r#"{"model":"tiny"}"#).status, 200);
    assert_eq!(upstream.most(), 1);
}

#[test]
fn many_callers_never_have_more_at_a_time_than_the_limit() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "[limits]\nstreams = 3\n");
    let keys = [limited.key(&[]), limited.key(&[])];
    upstream.set(Mode::Slow);
    let (done, refused) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..12 {
            let (limited, key, done, refused) = (&limited, &keys[caller % 2], &done, &refused);
            scope.spawn(move || {
                for _ in 0..25 {
                    let counter = match limited.run("/api/chat", key).status {
                        200 => done,
                        429 => refused,
                        other => panic!("{other}"),
                    };
                    counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
    assert!(upstream.most() <= 3, "{} at a time", upstream.most());
    assert_eq!(done.into_inner(), upstream.arrived());
    // Nothing has leaked.
    upstream.set(Mode::Held);
    let mut held: Vec<_> = (0..3).map(|_| limited.begin("/api/chat", &keys[0])).collect();
    held.iter_mut().for_each(read_some);
    assert_eq!(limited.run("/api/chat", &keys[1]).status, 429);
    upstream.release();
}

#[test]
fn a_refusal_has_the_form_of_the_api_that_was_called() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "[roles.member.limits]\nstreams = 2\n");
    let key = limited.key(&["--limit", "streams=1"]);
    upstream.set(Mode::Held);
    let mut held = limited.begin("/api/chat", &key);
    read_some(&mut held);
    let message = "the limit of this key, 1 request at a time, is reached; try again when one of them has ended";
    for route in ROUTES {
        let answer = limited.run(route, &key);
        assert_eq!((answer.status, code(&answer).as_str()), (429, "concurrency"), "{route}");
        let wanted = match route {
            "/api/chat" | "/api/generate" => json!({ "error": message, "code": "concurrency" }),
            "/v1/messages" => json!({
                "type": "error", "code": "concurrency", "error": { "type": "rate_limit_error", "message": message },
            }),
            _ => json!({ "error": {
                "message": message, "type": "rate_limit_error", "param": null, "code": "concurrency",
            } }),
        };
        assert_eq!(answer.json(), wanted, "{route}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=1;qu=\"concurrent-requests\""));
        assert_eq!(answer.header("ratelimit"), Some("\"key\";r=0"));
        assert_eq!(answer.header("x-should-retry"), None);
    }
    // Another key of the same person has a place left; a third has none.
    let others = [limited.key(&[]), limited.key(&[])];
    let mut second = limited.begin("/api/chat", &others[0]);
    read_some(&mut second);
    let answer = limited.run("/api/chat", &others[1]);
    let message = "the limit of your account, 2 requests at a time, is reached; try again when one of them has ended";
    assert_eq!((answer.status, &answer.json()["error"]), (429, &json!(message)));
    // Account endpoints and public ones have no such limit.
    assert_eq!(limited.gateway.ask("POST", "/api/me", &[&key], "").status, 200);
    assert_eq!(limited.gateway.ask("GET", "/api/tags", &[&key], "").status, 429);
    upstream.release();
}
