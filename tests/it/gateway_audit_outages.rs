//! The event log while its database cannot be written, and with a clock that somebody sets: changes are refused, inference goes on,
//! refusals are counted until they can be recorded, and the order is that of the indexes.

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::set_clock::SetClock;

const REFUSED: u64 = 7;

struct Given {
    gateway: Gateway,
    upstream: Server,
    manager: String,
    /// A key that was revoked.
    revoked: Value,
}

impl Given {
    fn new(start: impl Fn(&str) -> Gateway) -> Self {
        let upstream = Server::start(|_| Reply::json(200, json!({ "models": [], "done": true })));
        let gateway = start(&upstream.url());
        gateway.add_user("ada", "admin").add_user("bob", "member");
        let device = gateway.device_added_to("ada");
        let manager = gateway.key(&device, &["manager", "--scope", "inference,models:read,keys"]);
        let mut given = Self { gateway, upstream, manager, revoked: Value::Null };
        let made = given.create();
        assert_eq!(made.status, 201, "{}", made.text());
        given.revoked = made.json();
        let id = given.revoked["id"].as_str().unwrap();
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, id);
        assert_eq!(given.ask("DELETE", &format!("/api/user/keys/{encoded}"), &given.manager, "").status, 200);
        given
    }

    fn ask(&self, method: &str, target: &str, key: &str, body: &str) -> Answer {
        let json = "Content-Type: application/json";
        self.gateway.ask(method, target, &[&format!("Authorization: Bearer {key}"), json], body)
    }

    fn create(&self) -> Answer {
        self.ask("POST", "/api/user/keys", &self.manager, r#"{"name":"x","scopes":["models:read"]}"#)
    }

    fn events(&self) -> Vec<Value> {
        let audit = self.gateway.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).json();
        audit["events"].as_array().unwrap().clone()
    }

    /// How many refusals of the revoked key are recorded.
    fn recorded(&self) -> u64 {
        let events = self.events();
        let of_key = events.iter().filter(|event| event["subject"] == self.revoked["id"] && !event["code"].is_null());
        of_key.map(|event| event["count"].as_u64().unwrap()).sum()
    }

    /// While the database cannot be written.
    fn assert_serves_without_changes(&self) {
        let seen = self.upstream.seen().len();
        for _ in 0..REFUSED {
            let refused = self.create();
            assert_eq!(refused.status, 503, "{}", refused.text());
            let chat = self.ask("POST", "/api/chat", &self.manager, r#"{"model":"tiny","messages":[]}"#);
            assert_eq!(chat.status, 200, "{}", chat.text());
            let revoked = self.ask("GET", "/api/tags", self.revoked["key"].as_str().unwrap(), "");
            assert_eq!(revoked.status, 401, "{}", revoked.text());
        }
        assert!(self.upstream.seen().len() >= seen + REFUSED as usize);
        self.gateway.child().wait_stderr(|text| text.contains("refused requests could not be recorded"));
    }

    /// Once it can be written again.
    fn assert_goes_on(&mut self, created: usize) {
        poll("a change", || (self.create().status == 201).then_some(()));
        // The first of them is recorded now, and the number of the others when it ends.
        poll("the first refusal", || (self.recorded() >= 1).then_some(()));
        self.gateway.end(Signal::TERM);
        self.gateway.restart();
        assert_eq!(self.recorded(), REFUSED, "each is counted once");
        let all = self.events().iter().filter(|event| event["action"] == "key.created").count();
        assert_eq!(all, created, "what was refused is in no record");
        self.gateway.admin(&["audit", "verify"]).expect_code(0);
    }
}

#[test]
fn on_a_full_disk_nothing_changes_and_refusals_are_counted_until_there_is_room() {
    let mut given = Given::new(|upstream| Gateway::start_within(upstream, "trap '' XFSZ"));
    let pid = Pid::from_raw(given.gateway.child().pid().cast_signed());
    let limit = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    limit(Some(0));
    given.assert_serves_without_changes();
    assert_eq!(given.recorded(), 0);
    limit(None);
    given.assert_goes_on(3);
}

#[test]
fn on_a_database_that_is_read_only_nothing_changes_and_refusals_are_counted_until_it_is_not() {
    let server = Postgres::start();
    let database = server.database();
    let mut given = Given::new(|upstream| Gateway::start_on(&database, upstream, &[]));
    let set = |value: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    set("on");
    poll("a database that is read-only", || (given.create().status == 503).then_some(()));
    let count = |what: &str| -> usize {
        server.sql(&database, &format!("SELECT count(*) FROM events WHERE {what}")).parse().unwrap()
    };
    let created = count("action = 'key.created'");
    given.assert_serves_without_changes();
    assert_eq!(count("code IS NOT NULL"), 0);
    set("off");
    given.assert_goes_on(created + 1);
}

#[test]
fn a_clock_that_is_set_back_changes_nothing_of_the_order() {
    let now = jiff::Timestamp::now().as_second();
    let clock = SetClock::at(now);
    let gateway = Gateway::start_with_within("http://127.0.0.1:9", &[], &clock.line());
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let checkpoint = || {
        let output = gateway.admin(&["audit", "checkpoint", "--json"]);
        (output.code() == 0).then(|| output.json())
    };
    let first = poll("a checkpoint", checkpoint);
    for (days, role) in [(-1, "viewer"), (-30, "member"), (2, "maintainer"), (-400, "viewer")] {
        clock.run_from(now + days * 86_400);
        gateway.admin(&["user", "role", "bob", role]).expect_code(0);
    }
    let events = gateway.admin(&["audit", "--json", "--action", "user.role"]).expect_code(0).json();
    let of = |name: &str| -> Vec<i64> {
        events["events"].as_array().unwrap().iter().map(|event| event[name].as_i64().unwrap()).collect()
    };
    let (indexes, times) = (of("index"), of("at"));
    assert_eq!(indexes, (indexes[3]..indexes[3] + 4).rev().collect::<Vec<_>>());
    assert!(times[0] < times[2] && times[1] > times[3], "{times:?}");
    // A checkpoint is made although the last one is of a later time.
    let size = u64::try_from(indexes[0]).unwrap() + 1;
    let second = poll("a later checkpoint", || checkpoint().filter(|later| later["size"].as_u64() >= Some(size)));
    let kept = [&first, &second].map(|shown| shown["checkpoint"].as_str().unwrap().to_owned()).concat();
    let kept = gateway.sandbox().write("checkpoints.txt", kept);
    let found = gateway.admin(&["audit", "verify", "--json", "--checkpoints", kept.to_str().unwrap()]);
    assert_eq!(found.expect_code(0).json()["logs"][0]["proven_until"], second["size"]);
}
