//! Requests per minute, under a clock that stands still: so many are accepted and not one more.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use super::upstream::{Mode, Upstream};
use super::{Limited, ROUTES, code, read_some};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

/// A gateway whose clock stands still once its keys are made.
fn given(upstream: &Upstream, tables: &str) -> (Limited, SetClock) {
    let clock = SetClock::at(Timestamp::now().as_second());
    let limited = Limited::start_within(upstream.url(), tables, &[], Some(&clock));
    (limited, clock)
}

/// How many of the requests of so many callers at once are accepted.
fn accepted(limited: &Limited, keys: &[String], callers: usize, each: usize) -> usize {
    let accepted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let (key, accepted) = (&keys[caller % keys.len()], &accepted);
            scope.spawn(move || {
                for _ in 0..each {
                    match limited.run("/api/chat", key).status {
                        200 => accepted.fetch_add(1, Ordering::SeqCst),
                        429 => 0,
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    accepted.into_inner()
}

#[test]
fn callers_that_share_a_limit_get_no_more_than_it_together() {
    let upstream = Upstream::start();
    let (limited, clock) = given(&upstream, "[roles.member.limits]\nrequests-per-minute = 60\nburst = 20\n");
    let keys = [limited.key(&[]), limited.key(&[]), limited.key(&[])];
    clock.set(clock.now());
    assert_eq!(accepted(&limited, &keys, 8, 5), 20, "the burst");
    let mut all = 20;
    for seconds in [1, 5, 9] {
        clock.pass(seconds);
        let more = accepted(&limited, &keys, 8, 2);
        assert_eq!(more, usize::try_from(seconds).unwrap(), "one a second");
        all += more;
    }
    // What is not used is not saved up beyond the burst.
    clock.pass(3600);
    assert_eq!(accepted(&limited, &keys, 8, 5), 20);
    assert_eq!(upstream.arrived(), all + 20);
}

#[test]
fn a_refusal_says_when_to_come_again_and_that_is_so() {
    let upstream = Upstream::start();
    let (limited, clock) = given(&upstream, "[limits]\nrequests-per-minute = 600\n");
    let key = limited.key(&["--limit", "rpm=5,burst=1"]);
    clock.set(clock.now());
    for route in ROUTES {
        assert_eq!(limited.run(route, &key).status, 200, "{route}");
        let answer = limited.run(route, &key);
        assert_eq!((answer.status, code(&answer).as_str()), (429, "rate"), "{route}");
        let message = "the limit of this key, 5 requests per minute, is used up; try again in 12 s";
        assert!(answer.text().contains(message), "{route}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("12"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=5;w=60"));
        assert_eq!(answer.header("ratelimit"), Some("\"key\";r=0;t=12"));
        // Pages of other origins can read them.
        let exposed = limited.gateway.ask("POST", route, &[&key, "Origin: http://localhost:3000"], "{}");
        let names = exposed.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
        assert!(names.contains("ratelimit-policy") && names.contains("retry-after"), "{names}");
        clock.pass(11);
        assert_eq!(limited.run(route, &key).header("retry-after"), Some("1"));
        clock.pass(1);
    }
    // Nothing of it is in an answer that is not refused.
    assert_eq!(limited.run("/api/chat", &key).header("ratelimit"), None);
}

#[test]
fn what_one_limit_refuses_uses_up_nothing_of_the_others() {
    let upstream = Upstream::start();
    let tables = "[limits]\nrequests-per-minute = 6\n[roles.member.limits]\nstreams = 1\nrequest-size = 1000\n";
    let (limited, clock) = given(&upstream, tables);
    let (key, slow) = (limited.key(&[]), limited.key(&["--limit", "rpm=1"]));
    clock.set(clock.now());
    upstream.set(Mode::Held);
    let mut held = limited.begin("/api/chat", &key);
    read_some(&mut held);
    // By the limit of the person: none of these counts for the gateway or for the key.
    for number in 0..20 {
        let answer = limited.run("/api/chat", if number % 2 == 0 { &key } else { &slow });
        assert_eq!(code(&answer), "concurrency");
    }
    let large = limited.gateway.ask("POST", "/api/chat", &[&key], &"x".repeat(1001));
    assert_eq!((large.status, code(&large).as_str()), (413, "size"));
    let message = "the request body is larger than 1000 bytes, the limit of your account";
    assert_eq!(large.json()["error"], message);
    upstream.set(Mode::Complete);
    upstream.release();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut held, &mut rest).unwrap();
    assert_eq!(limited.run("/api/chat", &slow).status, 200);
    // By the limit of the key, whose one request is used up.
    for _ in 0..20 {
        assert_eq!(limited.run("/api/chat", &slow).header("ratelimit-policy"), Some("\"key\";q=1;w=60"));
    }
    // Of the gateway's six a minute, two are used.
    let statuses: Vec<u16> = (0..5).map(|_| limited.run("/api/chat", &key).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
    assert_eq!(limited.run("/api/chat", &key).header("ratelimit-policy"), Some("\"gateway\";q=6;w=60"));
    // Of several, the one that takes longest is told.
    assert_eq!(limited.run("/api/chat", &slow).header("retry-after"), Some("60"));
}

#[test]
fn refusals_are_in_the_event_log_and_do_not_fill_it() {
    let upstream = Upstream::start();
    let tables = "[roles.member.limits]\nrequests-per-minute = 1\nrequest-size = 100\n";
    let limited = Limited::start(upstream.url(), tables);
    let key = limited.key(&[]);
    for _ in 0..200 {
        limited.run("/api/chat", &key);
    }
    // One that does not say how long it is.
    let head =
        format!("POST /api/generate HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\n", limited.gateway.address());
    assert_eq!(limited.run("/api/generate", &key).status, 429);
    limited.reload("[roles.member.limits]\nrequest-size = 100\n");
    let body = format!("Transfer-Encoding: chunked\r\n\r\nc8\r\n{}\r\n0\r\n\r\n", "x".repeat(200));
    let answer = crate::harness::gateway::Answer::parse(&limited.gateway.raw(format!("{head}{body}"))).unwrap();
    assert_eq!((answer.status, code(&answer).as_str()), (413, "size"), "{}", answer.text());
    let events = |code: &str| -> Vec<Value> {
        let audit = limited.gateway.admin(&["audit", "--code", code, "--json"]).expect_code(0).json();
        audit["events"].as_array().unwrap().clone()
    };
    let size = poll("the event of a large request", || events("size").pop());
    assert_eq!((&size["action"], &size["subject"]), (&"request.denied".into(), &"/api/generate".into()), "{size:#}");
    assert_eq!(size["account"], "ada");
    // The first of each route; the others are counted when the minute is over.
    let rate = events("rate");
    let chats = rate.iter().filter(|event| event["subject"] == "/api/chat").count();
    assert!((1..=3).contains(&chats) && rate.len() <= 6, "{rate:#?}");
}
