//! The age of API keys: unused ones are suspended, and callers are told in time when their key ends.

mod expiry;
mod shared;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

const DAY: i64 = 86_400;
const IDLE: &str = "[roles.member]\nmax-key-idle = \"30d\"\n";
const SUSPENDED: &str = "this API key is suspended; an administrator of this gateway can lift that";

/// A gateway with a clock, the administrator root, the member ada, and a device of hers with the same clock.
struct Given {
    clock: SetClock,
    gateway: Gateway,
    device: Sandbox,
    file: PathBuf,
    _upstream: Server,
    _folder: Sandbox,
}

impl Given {
    fn start(tables: &str) -> Self {
        let clock = SetClock::at(jiff::Timestamp::now().as_second());
        let folder = Sandbox::new();
        let upstream = Server::start(|_| {
            Reply::json(200, r#"{"models":[]}"#).header("X-Ollama-Auth-Key-Expires", "2026-01-02T03:04:05Z")
        });
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = Gateway::start_with_within(&upstream.url(), &args, &clock.line());
        gateway.add_user("root", "admin").add_user("ada", "member");
        let mut device = gateway.device_added_to("ada");
        clock.give_to(&mut device);
        Self { clock, gateway, device, file, _upstream: upstream, _folder: folder }
    }

    /// A key of ada's with more arguments.
    fn key(&self, name: &str, args: &[&str]) -> Value {
        let scopes = "--scope=inference,models:read,keys";
        self.device.command(["keys", "create", name, scopes, "--json"]).args(args).run().expect_code(0).json()
    }

    fn ask(&self, key: &Value, method: &str, target: &str) -> Answer {
        self.gateway.ask(method, target, &[&header(key)], "")
    }

    fn status(&self, key: &Value) -> u16 {
        self.ask(key, "GET", "/api/tags").status
    }

    #[track_caller]
    fn is_refused(&self, key: &Value) {
        let refused = self.ask(key, "GET", "/api/tags");
        assert_eq!((refused.status, &refused.json()["error"]), (403, &json!(SUSPENDED)), "{}", refused.text());
        assert_eq!(refused.json()["code"], "suspended");
    }

    /// Days pass by the calendar alone.
    fn days_later(&self, days: i64) {
        self.clock.run_from(self.clock.now() + days * DAY);
    }

    fn listed(&self, key: &Value) -> Value {
        let all = self.gateway.admin(&["key", "list", "--json"]).expect_code(0).json();
        all["keys"].as_array().unwrap().iter().find(|other| other["id"] == key["id"]).cloned().unwrap()
    }

    fn resume(&self, key: &Value) {
        self.gateway.admin(&["key", "resume", key["id"].as_str().unwrap()]).expect_code(0);
    }

    fn events(&self, action: &str) -> Vec<Value> {
        let events = self.gateway.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).json();
        events["events"].as_array().unwrap().iter().filter(|event| event["action"] == action).cloned().collect()
    }

    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

#[test]
fn a_key_that_nobody_used_is_refused_and_suspended_until_that_is_lifted() {
    let given = Given::start(IDLE);
    let [key, never] = ["ci", "never"].map(|name| given.key(name, &["--expires", "never"]));
    for _ in 0..2 {
        assert_eq!(given.status(&key), 200);
        given.days_later(29);
    }
    assert_eq!(given.status(&key), 200);
    // Of one that was never used, the day on which it was made counts.
    given.is_refused(&never);
    given.days_later(30);
    given.is_refused(&key);
    given.is_refused(&key);
    let shown = given.listed(&key);
    let is = (&shown["state"], &shown["suspended_reason"]);
    assert_eq!(is, (&json!("suspended"), &json!("not used for 30 days")), "{shown}");
    let events = given.events("key.suspended");
    assert_eq!(events.len(), 2, "{events:?}");
    let event = events.iter().find(|event| event["subject"] == key["id"]).unwrap();
    assert_eq!((&event["actor"], &event["details"]["reason"]), (&json!("gateway"), &json!("not used for 30 days")));
    assert!(event["account"] == "ada" && event["address"] == "127.0.0.1", "{event}");
    poll("the refusal's event", || {
        let refused = given.events("credential.refused");
        refused.iter().any(|event| event["subject"] == key["id"] && event["code"] == "suspended").then_some(())
    });

    // That it is lifted counts as use.
    given.days_later(20);
    given.resume(&key);
    assert_eq!(given.status(&key), 200);
    given.days_later(29);
    assert_eq!(given.status(&key), 200);
    given.resume(&never);
    given.days_later(29);
    assert_eq!(given.status(&never), 200);
}

#[test]
fn keys_that_nobody_uses_are_suspended_without_a_request() {
    let given = Given::start(IDLE);
    let [idle, used] = ["idle", "used"].map(|name| given.key(name, &[]));
    given.days_later(20);
    assert_eq!(given.status(&used), 200);
    let is_suspended = |key: &Value| (given.listed(key)["state"] == "suspended").then_some(());
    given.clock.pass(11 * DAY);
    poll("the unused key", || is_suspended(&idle));
    assert_eq!(given.listed(&idle)["suspended_reason"], "not used for 31 days");
    assert_eq!((is_suspended(&used), given.events("key.suspended").len()), (None, 1));
    given.resume(&idle);
    // The next ones that are looked through: the other key is due, the resumed one is not.
    given.clock.pass(20 * DAY);
    poll("the other key", || is_suspended(&used));
    assert_eq!((is_suspended(&idle), given.status(&idle)), (None, 200));
}

#[test]
fn an_environment_limits_the_idle_time_of_what_is_used_in_it() {
    let tables = "[environments.prod]\nhosts = [\"prod.example\"]\nmax-key-idle = \"7d\"\nallow-unlabelled = true\n";
    let given = Given::start(tables);
    let (prod, plain) = (given.key("prod", &["--env", "prod"]), given.key("plain", &[]));
    given.days_later(8);
    given.is_refused(&prod);
    assert_eq!(given.status(&plain), 200);
    // The check of a key that needs no credential is one, too.
    let version = given.gateway.ask("GET", "/api/version", &[&header(&prod)], "");
    assert_eq!(version.status, 403, "{}", version.text());
    given.days_later(8);
    let at_prod = "Host: prod.example\r\nConnection: close";
    let head = format!("GET /api/tags HTTP/1.1\r\n{at_prod}\r\n{}\r\n\r\n", header(&plain));
    let refused = Answer::parse(&given.gateway.raw(head)).unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("suspended")));
}

#[test]
fn a_replacement_begins_anew() {
    let given = Given::start(IDLE);
    let old = given.key("ci", &[]);
    given.days_later(29);
    let body = json!({ "replaces": old["id"] }).to_string();
    let headers = [&*header(&old), "Content-Type: application/json"];
    let made = given.gateway.ask("POST", "/api/user/keys", &headers, &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let new = made.json();
    given.days_later(29);
    assert_eq!(given.status(&new), 200);
    given.days_later(1);
    given.is_refused(&old);
    assert_eq!(given.status(&new), 200);
}

#[test]
fn a_reload_says_which_keys_are_suspended_and_the_policy_shows_the_rule() {
    let given = Given::start("");
    let key = given.key("ci", &[]);
    given.days_later(40);
    let log = given.reload(IDLE);
    let says = "it is suspended: not used for 40 days";
    assert!(log.contains("rights lost") && log.contains(says) && log.contains(key["id"].as_str().unwrap()), "{log}");
    let shown = given.gateway.admin(&["policy", "show", "--config", given.file.to_str().unwrap()]).expect_code(0);
    assert!(shown.stdout().contains("max-key-idle = \"30d\""), "{}", shown.stdout());
    let log = given.reload(&format!("{IDLE}[environments.prod]\nmax-key-idle = \"10d\"\n"));
    assert!(!log.contains("rights lost"), "{log}");
    let explained = ["policy", "explain", "--key", key["id"].as_str().unwrap(), "--route", "GET /api/tags"];
    let explained = given.gateway.admin(&explained);
    assert!(explained.stdout().contains("keys may stay unused for 30 days"), "{}", explained.stdout());
    given.is_refused(&key);
    for wrong in ["0d", "soon", "4000d"] {
        let file = given.device.write("wrong.toml", format!("[roles.member]\nmax-key-idle = \"{wrong}\"\n"));
        let refused = given.device.command(["gateway", "policy", "check"]).args([file]).run();
        assert!(refused.code() != 0 && refused.stderr().contains("roles.member.max-key-idle"), "{}", refused.stderr());
    }
}
