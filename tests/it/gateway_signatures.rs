//! Which signatures the gateway accepts, how often, and from where, while time passes and while somebody sets a clock.

mod client;
mod new_keys;

use std::collections::BTreeSet;
use std::thread;

use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;
use crate::harness::signature::TestDevice;

/// When every test begins.
const START: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const TAGS: (&str, &str, &str) = ("GET", "/api/tags", "");
const CREATE: (&str, &str, &str) = ("POST", "/api/user/keys", r#"{"name":"once"}"#);
const DELETE: (&str, &str, &str) = ("DELETE", "/api/delete", r#"{"model":"a"}"#);

/// A gateway whose clock the test sets, and a device of ada's.
struct Given {
    clock: SetClock,
    gateway: Gateway,
    device: TestDevice,
    upstream: Server,
}

impl Given {
    fn new() -> Self {
        let given = Self::at(START);
        given.approve(&given.device);
        given
    }

    /// With a device that is not approved yet.
    fn at(start: i64) -> Self {
        let clock = SetClock::at(start);
        clock.set(start);
        let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
        // A first start waits for nothing, a later one for the next second: the clock must run while it does.
        let more = ["--set", "trusted-proxies=127.0.0.1"];
        let gateway = Gateway::start_with_within(&upstream.url(), &more, &clock.line());
        gateway.add_user("ada", "maintainer");
        Self { clock, gateway, device: TestDevice::new(7), upstream }
    }

    fn approve(&self, device: &TestDevice) {
        let me = format!("/api/me?ts={}", self.clock.now());
        let header = format!("Authorization: {}", device.sign(&format!("POST,{me}")));
        let link = self.gateway.ask("POST", &me, &[&header], "").json()["signin_url"].as_str().unwrap().to_owned();
        self.gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    }

    /// Sends a request as the device signed it at `ts`, from that address.
    fn send_from(&self, from: u8, (method, path, body): (&str, &str, &str), ts: i64) -> Answer {
        let target = format!("{path}?ts={ts}");
        let header = format!("Authorization: {}", self.device.sign(&format!("{method},{target}")));
        let from = format!("X-Forwarded-For: 192.0.2.{from}");
        // A TestDevice sends no length with DELETE unless there is a body.
        self.gateway.ask(method, &target, &[&header, &from], body)
    }

    #[track_caller]
    fn accepts(&self, request: (&str, &str, &str), ts: i64) {
        let answer = self.send_from(1, request, ts);
        assert!(answer.status < 300, "{request:?} of {ts} at {}: {}", self.clock.now(), answer.text());
    }

    #[track_caller]
    fn refuses(&self, request: (&str, &str, &str), ts: i64, why: &str) {
        let answer = self.send_from(1, request, ts);
        let told = answer.text().contains(why);
        assert!(answer.status == 401 && told, "{request:?} of {ts} at {}: {}", self.clock.now(), answer.text());
    }

    fn restart(&mut self, clock: i64) {
        self.gateway.end(Signal::KILL);
        self.clock.run_from(clock);
        self.gateway.restart();
    }

    /// Waits until the event log has replays from these addresses, and none else.
    fn wait_replays(&self, from: &[&str]) {
        // They are recorded when the gateway's own clock goes on.
        self.clock.pass(1);
        poll("the replays in the event log", || {
            let log = self.gateway.admin(&["audit", "--action", "signature", "--json"]).expect_code(0).json();
            let events = log["events"].as_array().unwrap();
            let places: BTreeSet<&str> = events.iter().map(|event| event["address"].as_str().unwrap()).collect();
            (places == BTreeSet::from_iter(from.iter().copied())).then_some(())
        });
    }
}

/// A phone behind a carrier's NAT and a machine with IPv4 and IPv6 send two equal requests from two addresses.
#[test]
fn reads_and_inference_are_accepted_from_another_address_for_two_seconds() {
    let given = Given::new();
    let chat = ("POST", "/api/chat", r#"{"model":"tiny"}"#);
    let ts = given.clock.now();
    for request in [TAGS, chat] {
        assert_eq!([1, 2, 1, 3].map(|from| given.send_from(from, request, ts).status), [200; 4], "{request:?}");
    }
    given.clock.pass(3);
    for request in [TAGS, chat] {
        assert_eq!([1, 2, 1, 3].map(|from| given.send_from(from, request, ts).status), [200, 401, 200, 401]);
    }
    // Parameters that are not signed do not make it a new signature.
    let header = format!("Authorization: {}", given.device.sign(&format!("GET,/api/tags?ts={ts}")));
    let answer = given.gateway.ask("GET", &format!("/api/tags?ts={ts}&x=1"), &[&header], "");
    assert_eq!(answer.status, 401);
    given.wait_replays(&["127.0.0.1", "192.0.2.2", "192.0.2.3"]);
    given.clock.pass(58);
    given.refuses(TAGS, ts, "behind this gateway's clock");
}

/// `ollama rm a b c` sends one signature three times, and so do two pulls that begin in the same second.
#[test]
fn a_change_of_models_is_repeated_from_its_address_within_two_seconds() {
    let given = Given::new();
    let ts = given.clock.now();
    let bodies = ["a", "b", "c"].map(|model| format!(r#"{{"model":"{model}"}}"#));
    for body in &bodies {
        given.accepts(("DELETE", "/api/delete", body), ts);
    }
    thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| given.accepts(("POST", "/api/pull", body), ts));
        }
    });
    assert_eq!(given.upstream.requests().len(), 6);
    let evil = r#"{"model":"victim"}"#;
    for (method, path) in [("DELETE", "/api/delete"), ("POST", "/api/pull")] {
        let answer = given.send_from(2, (method, path, evil), ts);
        assert!(answer.status == 401 && answer.text().contains("another address"), "{path}: {}", answer.text());
    }
    given.clock.pass(3);
    let blob = format!("/api/blobs/sha256:{}", "0a".repeat(32));
    for (method, path) in [("DELETE", "/api/delete"), ("POST", "/api/pull")] {
        given.refuses((method, path, evil), ts, "used already");
    }
    for path in ["/api/copy", "/api/create", "/api/push", &blob] {
        given.accepts(("POST", path, "{}"), ts);
        given.clock.pass(3);
        given.refuses(("POST", path, evil), ts, "used already");
    }
    assert_eq!(given.upstream.requests().len(), 10);
    given.wait_replays(&["192.0.2.2"]);
}

/// With a digest of the body, as our own client sends it.
#[test]
fn a_change_that_signs_its_body_is_accepted_once_and_with_that_body_alone() {
    let given = Given::new();
    let ts = given.clock.now();
    let ask = |method: &str, target: &str, signed: &str, body: &str| {
        let header = format!("Authorization: {}", given.device.sign(signed));
        given.gateway.ask(method, target, &[&header], body)
    };
    let target = |path: &str, body: &str, nonce: &str| {
        let digest = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{path}?body-sha256={digest}{nonce}&ts={ts}")
    };
    let (evil, good) = (r#"{"model":"victim"}"#, r#"{"model":"a"}"#);
    for (method, path) in [("DELETE", "/api/delete"), ("POST", "/api/pull"), ("POST", "/api/create")] {
        let before = given.upstream.requests().len();
        let refuses = |target: &str, signed: &str, body: &str, status: u16, why: &str| {
            let answer = ask(method, target, signed, body);
            assert!(answer.status == status && answer.text().contains(why), "{target}: {}", answer.text());
        };
        // Another body, also one in which the upstream server would find a value before the end.
        let other = target(path, good, ".n1");
        refuses(&other, &format!("{method},{other}"), evil, 401, "not the one whose digest");
        let padded = target(path, good, ".n2");
        let long = format!("{evil}{}", " ".repeat(100_000));
        refuses(&padded, &format!("{method},{padded}"), &long, 401, "not the one whose digest");
        let huge = target(path, good, ".n3");
        let longer = format!("{evil}{}", " ".repeat(1024 * 1024));
        refuses(&huge, &format!("{method},{huge}"), &longer, 413, "larger than 1 MiB");
        // A digest that is not signed, is replaced, is left out, is there twice, is malformed.
        let new = target(path, good, ".n4");
        refuses(&target(path, evil, ".n4"), &format!("{method},{new}"), evil, 401, "");
        refuses(&format!("{path}?ts={ts}"), &format!("{method},{new}"), evil, 401, "");
        refuses(&new, &format!("{method},{path}?ts={ts}"), good, 401, "");
        let with_other = format!("{new}&x=1");
        refuses(
            &with_other,
            &format!("{method},{path}?ts={ts}"),
            good,
            401,
            "does not cover the parameter body-sha256",
        );
        let twice = format!("{new}&body-sha256=0");
        refuses(&twice, &format!("{method},{twice}"), good, 400, "twice");
        let short = format!("{path}?body-sha256=0&ts={ts}");
        refuses(&short, &format!("{method},{short}"), good, 400, "64 lower-case hex digits");
        assert_eq!(given.upstream.requests().iter().skip(before).filter(|sent| !sent.text().is_empty()).count(), 0);
        let before = given.upstream.requests().len();
        // It comes through once, without the parameter; with another nonce it is another request.
        for nonce in [".n5", ".n6", ""] {
            let new = target(path, good, nonce);
            assert_eq!(ask(method, &new, &format!("{method},{new}"), good).status, 200, "{new}");
            refuses(&new, &format!("{method},{new}"), good, 401, "used already");
        }
        let sent = given.upstream.requests();
        assert_eq!(sent.len(), before + 3);
        for request in &sent[before..] {
            assert_eq!((request.target.as_str(), request.text()), (path, good));
        }
    }
    // A stock client's changes are not affected, and neither are reads.
    given.accepts(DELETE, ts);
    given.accepts(DELETE, ts);
    let chat = target("/api/chat", good, "");
    for _ in 0..2 {
        assert_eq!(ask("POST", &chat, &format!("POST,{chat}"), good).status, 200);
        assert_eq!(ask("POST", &chat, &format!("POST,{chat}"), evil).status, 401);
    }
}

/// The digest is checked whatever the credential, and wherever the request goes.
#[test]
fn a_body_with_a_digest_is_checked_for_account_endpoints_and_api_keys_too() {
    let given = Given::new();
    let ts = given.clock.now();
    let digest = |body: &str| Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (good, evil) = (r#"{"name":"good","scopes":["inference"]}"#, r#"{"name":"evil","scopes":["inference"]}"#);
    let create = |nonce: &str, body: &str| {
        let target = format!("/api/user/keys?body-sha256={}.{nonce}&ts={ts}", digest(good));
        let header = format!("Authorization: {}", given.device.sign(&format!("POST,{target}")));
        given.gateway.ask("POST", &target, &[&header], body)
    };
    assert_eq!(create("a", evil).status, 401);
    // Used up by that.
    assert_eq!(create("a", good).status, 401);
    let made = create("b", good);
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("good")), "{}", made.text());
    let bearer = format!("Authorization: Bearer {}", made.json()["key"].as_str().unwrap());
    let chat = r#"{"model":"tiny"}"#;
    let target = format!("/api/chat?body-sha256={}", digest(chat));
    assert_eq!(given.gateway.ask("POST", &target, &[&bearer], chat).status, 200);
    assert_eq!(given.gateway.ask("POST", &target, &[&bearer], r#"{"model":"other"}"#).status, 401);
    assert_eq!(given.gateway.ask("POST", &target, &[&bearer], "").status, 401);
    for other in ["Body-SHA256=", "body%2dsha256=", "x=1;body-sha256=", "body-sha256=0&body-sha256="] {
        let target = format!("/api/chat?{other}{}", digest(chat));
        let answer = given.gateway.ask("POST", &target, &[&bearer], chat);
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
    }
    // An upstream server acts on a value before the end of the body.
    let padded = format!("{}{}", r#"{"model":"other"}"#, " ".repeat(1024 * 1024));
    let long = given.gateway.ask("POST", &target, &[&bearer], &padded);
    assert_eq!(long.status, 413, "{}", long.text());
    assert_eq!(given.upstream.requests().len(), 1);
    // Nor where the body does not matter.
    let out = format!("/api/signout?body-sha256={}&ts={ts}", digest("{}"));
    let header = format!("Authorization: {}", given.device.sign(&format!("POST,{out}")));
    assert_eq!(given.gateway.ask("POST", &out, &[&header], "[]").status, 401);
    given.accepts(TAGS, ts);
}

/// As somebody behind the same NAT does who wants nobody else to be approved: each key asks again.
#[test]
fn keys_that_ask_later_push_out_no_device_that_waits_for_its_approval() {
    let given = Given::at(START);
    let ask = |device: &TestDevice, from: u8| {
        let me = format!("/api/me?ts={}", given.clock.now());
        let header = format!("Authorization: {}", device.sign(&format!("POST,{me}")));
        given.gateway.ask("POST", &me, &[&header, &format!("X-Forwarded-For: 192.0.2.{from}")], "")
    };
    let link = ask(&given.device, 1).json()["signin_url"].as_str().unwrap().to_owned();
    given.clock.pass(1);
    assert!(ask(&given.device, 1).json()["signin_url"].is_string());
    let flood: Vec<TestDevice> = (10..110).map(TestDevice::new).collect();
    let offers = |device, from| ask(device, from).json()["signin_url"].is_string();
    let offered = flood[..60].iter().filter(|device| offers(device, 1)).count();
    assert_eq!(offered, 48);
    let refused = ask(&flood[60], 1);
    assert_eq!((refused.status, refused.header("retry-after")), (401, Some("1")), "{}", refused.text());
    assert!(refused.text().contains("too many new devices"), "{}", refused.text());
    assert!(offers(&flood[0], 1), "one that is known already may ask");
    assert!(offers(&flood[61], 2), "and so may those from elsewhere");
    for pair in flood[61..].windows(2) {
        given.clock.pass(1);
        assert!(pair.iter().all(|device| offers(device, 1)));
    }
    given.gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    given.accepts(TAGS, given.clock.now());
}

#[test]
fn a_change_of_an_account_is_accepted_once() {
    let given = Given::new();
    let ts = given.clock.now();
    given.accepts(CREATE, ts);
    given.refuses(CREATE, ts, "used already");
    assert_eq!(given.send_from(2, CREATE, ts).status, 401);
    given.clock.pass(61);
    given.refuses(TAGS, ts - 1, "behind this gateway's clock");
    let out = ("POST", "/api/signout", "");
    given.accepts(out, given.clock.now());
    given.refuses(out, given.clock.now(), "approve this device");
}

/// It used to wait for that time, so that the client gave up.
#[test]
fn a_change_that_is_signed_ahead_of_the_clock_does_not_wait() {
    let mut given = Given::new();
    given.accepts(CREATE, START + 60);
    given.refuses(CREATE, START + 60, "used already");
    given.accepts(DELETE, START + 60);
    given.refuses(CREATE, START + 61, "ahead of this gateway's clock");
    // Killed and started again before that time, it knows.
    given.restart(START + 5);
    given.refuses(CREATE, START + 60, "used already");
    given.refuses(DELETE, START + 60, "used already");
    given.accepts(CREATE, START + 61);
}

#[test]
fn a_clock_that_stood_ahead_leaves_no_device_refused() {
    let given = Given::new();
    let ahead = START + HOUR;
    given.accepts(TAGS, START);
    given.clock.set(ahead);
    given.refuses(TAGS, START, "behind this gateway's clock");
    given.accepts(TAGS, ahead);
    given.accepts(CREATE, ahead);
    given.accepts(DELETE, ahead);
    given.clock.pass(30 * 60);
    given.accepts(CREATE, ahead + 30 * 60);
    // It is corrected: what is signed now is accepted, by this device and by others.
    given.clock.set(START + 30 * 60);
    given.accepts(TAGS, START + 30 * 60);
    given.accepts(CREATE, START + 30 * 60);
    given.approve(&TestDevice::new(8));
    // The time of the signatures of then comes: they were used.
    given.clock.pass(30 * 60);
    for request in [CREATE, DELETE] {
        given.refuses(request, ahead, "used already");
    }
    assert_eq!(given.send_from(2, TAGS, ahead).status, 401);
    given.accepts(CREATE, ahead + 1);
    given.clock.pass(30 * 60);
    given.refuses(CREATE, ahead + 30 * 60, "used already");
    given.accepts(CREATE, ahead + 30 * 60 + 1);
}

#[test]
fn no_signature_counts_twice_when_the_clock_is_set_back() {
    let given = Given::new();
    given.accepts(CREATE, START);
    given.accepts(DELETE, START);
    given.accepts(TAGS, START);
    for later in [HOUR, 3 * HOUR, 30 * HOUR] {
        given.clock.pass(later);
        given.accepts(CREATE, given.clock.now());
        let now = given.clock.now();
        given.clock.set(START);
        // Known or forgotten: it is not accepted.
        given.refuses(CREATE, START, "used already");
        given.refuses(DELETE, START, "used already");
        assert_eq!(given.send_from(2, TAGS, START).status, 401);
        given.clock.set(now);
    }
}

#[test]
fn no_signature_counts_twice_across_a_restart() {
    for (request, back) in [(CREATE, 0), (CREATE, 30), (DELETE, 30), (CREATE, HOUR), (DELETE, HOUR)] {
        let mut given = Given::new();
        given.clock.pass(HOUR);
        let ts = given.clock.now();
        given.accepts(request, ts);
        given.restart(ts + 2 - back);
        given.clock.set(ts);
        given.refuses(request, ts, "");
        // The clock is set while it runs, forth and back.
        given.clock.set(ts - HOUR);
        given.clock.set(ts + 59);
        given.refuses(request, ts, "");
        given.accepts(request, ts + 60);
    }
}

#[test]
fn a_gateway_that_started_with_a_clock_ahead_accepts_what_is_signed_after_the_correction() {
    let mut given = Given::new();
    given.clock.pass(HOUR);
    let real = given.clock.now();
    given.accepts(TAGS, real);
    given.restart(real + HOUR);
    given.clock.set(real + HOUR + 5);
    given.refuses(TAGS, real, "behind this gateway's clock");
    given.clock.set(real + 10);
    // From before its start, and new.
    given.refuses(("POST", "/api/me", ""), real - 1, "");
    given.accepts(TAGS, real + 10);
    given.accepts(CREATE, real + 10);
}

#[test]
fn a_gateway_that_started_with_a_clock_behind_refuses_what_was_signed_before_its_start() {
    let mut given = Given::new();
    given.clock.pass(HOUR);
    let real = given.clock.now();
    given.accepts(TAGS, real);
    given.restart(real - HOUR);
    // The clock is corrected: it started a moment ago.
    given.clock.set(real + 30);
    for from in [1, 2] {
        assert_eq!(given.send_from(from, TAGS, real).status, 401);
    }
    given.refuses(("POST", "/api/me", ""), real + 1, "before this gateway started");
    given.accepts(TAGS, real + 30);
}
