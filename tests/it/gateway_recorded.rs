//! What the unmodified stock client really sent, sent again to the real gateway at the time when it was signed: taken for as long as the
//! tolerance allows, and not a second or a letter beyond.

use serde_json::Value;

use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::set_clock::SetClock;

/// In seconds, as it is without a setting.
const TOLERANCE: i64 = 60;

/// A recorded request.
struct Recorded {
    method: String,
    target: String,
    authorization: String,
    body: String,
    ts: i64,
}

impl Recorded {
    /// All that want a credential, without and with a base path: whether it runs, the gateway tells everybody.
    fn all(base: &str) -> Vec<Self> {
        let file: Value = serde_json::from_str(include_str!("fixtures/vectors/signing.json")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let cases = file["cases"].as_array().unwrap().iter().map(|case| Self {
            method: text(&case["method"]),
            target: text(&case["target"]),
            authorization: text(&case["authorization"]),
            body: text(&case["body"]),
            ts: text(&case["target"]).rsplit_once("ts=").unwrap().1.parse().unwrap(),
        });
        let has_base = |case: &Self| case.target.starts_with("/prefix/") != base.is_empty();
        cases.filter(|case| case.method != "HEAD" && has_base(case)).collect()
    }

    fn send(&self, gateway: &Gateway) -> u16 {
        self.send_as(gateway, &self.method, &self.target, &self.authorization)
    }

    fn send_as(&self, gateway: &Gateway, method: &str, target: &str, authorization: &str) -> u16 {
        gateway.ask(method, target, &[&format!("Authorization: {authorization}")], &self.body).status
    }

    /// The first request of a device, which asks for a person's approval.
    fn request_and_approve(&self, gateway: &Gateway) {
        let header = format!("Authorization: {}", self.authorization);
        let answer = gateway.ask(&self.method, &self.target, &[&header], &self.body);
        assert_eq!(answer.status, 401, "{}", answer.text());
        let link = answer.json()["signin_url"].as_str().unwrap().to_owned();
        gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    }

    /// The same with one thing changed is not believed.
    fn assert_nothing_else_is_taken(&self, gateway: &Gateway) {
        let Self { method, target, authorization, .. } = self;
        for at in (0..authorization.len()).step_by(5) {
            let mut letters = authorization.clone().into_bytes();
            letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(letters).unwrap();
            let status = self.send_as(gateway, method, target, &forged);
            assert!(matches!(status, 400 | 401), "{target}: {status} with letter {at} changed");
        }
        let other = if method == "GET" { "HEAD" } else { "PATCH" };
        let (path, query) = target.split_once('?').unwrap();
        let elsewhere = match path {
            "/api/tags" => "/api/ps",
            "/api/me" | "/api/ps" => "/api/tags",
            _ => "/api/me",
        };
        let later = target.replace(&format!("ts={}", self.ts), &format!("ts={}", self.ts + 1));
        for (method, target) in [
            (other, target.clone()),
            (method, format!("{path}/?{query}")),
            (method, format!("/other{target}")),
            (method, format!("{elsewhere}?{query}")),
            (method, format!("{path}?{query}&ts={}", self.ts)),
            (method, later),
            (method, path.to_owned()),
        ] {
            let status = self.send_as(gateway, method, &target, authorization);
            let redirected = [301, 307].contains(&status) && target.contains("/?");
            assert!(redirected || (400..500).contains(&status), "{method} {target}: {status}");
        }
    }
}

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, "{}"))
}

#[test]
fn recorded_signatures_are_valid_only_at_their_time() {
    let (cloud, mut cli): (Vec<_>, Vec<_>) = Recorded::all("").into_iter().partition(|case| case.ts > 1_795_210_715);
    assert_eq!((cli.len(), cloud.len()), (6, 2));
    // It ends the device.
    cli.sort_by_key(|case| case.target.starts_with("/api/signout"));
    let ts = cli[0].ts;

    let clock = SetClock::at(ts - 3600);
    let upstream = upstream();
    let gateway = Gateway::start_with_within(&upstream.url(), &[], &clock.line());
    gateway.add_user("ada", "maintainer");

    clock.pass_to(ts - TOLERANCE - 1);
    for case in &cli {
        assert_eq!(case.send(&gateway), 401, "{}", case.target);
    }
    clock.pass_to(ts - TOLERANCE);
    cli[0].request_and_approve(&gateway);
    let (signout, others) = cli.split_last().unwrap();
    for now in [ts - TOLERANCE, ts, ts + TOLERANCE] {
        clock.pass_to(now);
        for case in others {
            assert_eq!(case.send(&gateway), 200, "{} at {now}", case.target);
        }
    }
    let seen = upstream.seen().len();
    for case in others {
        case.assert_nothing_else_is_taken(&gateway);
    }
    assert_eq!(upstream.seen().len(), seen, "nothing of it reached the server");
    assert_eq!(signout.send(&gateway), 200);
    assert_eq!(others[0].send(&gateway), 401, "the device is signed out");

    // The server's cloud proxy signed some seconds later.
    let later = cloud[0].ts;
    clock.set(later);
    cloud[0].request_and_approve(&gateway);
    for case in &cloud {
        assert_eq!(case.send(&gateway), 200, "{}", case.target);
        case.assert_nothing_else_is_taken(&gateway);
    }
    clock.pass_to(ts + TOLERANCE + 1);
    for case in &cli {
        assert_eq!(case.send(&gateway), 401, "{}", case.target);
    }
    for case in &cloud {
        assert_eq!(case.send(&gateway), 200, "{}", case.target);
    }
    clock.pass_to(later + TOLERANCE + 1);
    for case in &cloud {
        assert_eq!(case.send(&gateway), 401, "{}", case.target);
    }
}

#[test]
fn a_base_path_is_sent_but_not_signed() {
    let cases = Recorded::all("/prefix");
    let [me] = cases.as_slice() else { panic!("{} cases", cases.len()) };
    let clock = SetClock::at(me.ts - 3600);
    let upstream = upstream();
    let more = ["--public-url", "http://127.0.0.1:9/prefix"];
    let gateway = Gateway::start_with_within(&upstream.url(), &more, &clock.line());
    gateway.add_user("ada", "member");
    clock.pass_to(me.ts);
    me.request_and_approve(&gateway);
    assert_eq!(me.send(&gateway), 200);
    for target in
        [me.target.replace("/prefix", ""), me.target.replace("/prefix", "/prefixed"), format!("/prefix{}", me.target)]
    {
        assert_eq!(me.send_as(&gateway, &me.method, &target, &me.authorization), 404, "{target}");
    }
    clock.pass_to(me.ts + TOLERANCE + 1);
    assert_eq!(me.send(&gateway), 401);
}
