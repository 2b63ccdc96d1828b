//! Suspending accounts, devices and API keys: what is refused meanwhile and how, that nothing is lost, and who can lift it.

mod client;
mod shared;

use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::poll;

/// The account's own words for what it may do.
const ALL: &str = "--scope=inference,models:read,keys";
const KEYS: &str = "/api/user/keys";
const LIFTED_BY: &str = "is suspended; an administrator of this gateway can lift that";

/// An upstream server, a gateway with the administrator root and the member ada, and a device of hers.
struct Given {
    gateway: Gateway,
    device: Sandbox,
    _upstream: Server,
}

impl Given {
    fn start() -> Self {
        Self::before(|| Reply::json(200, r#"{"models":[]}"#))
    }

    fn before(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Server::start(move |request| match request.method.as_str() {
            "POST" => answer(),
            _ => Reply::json(200, r#"{"models":[]}"#),
        });
        let gateway = Gateway::start(&upstream.url());
        gateway.add_user("root", "admin").add_user("ada", "member");
        let device = gateway.device_of("ada");
        Self { gateway, device, _upstream: upstream }
    }

    /// Makes a key, and gives what is said of it.
    fn key(&self, name: &str) -> Value {
        self.device.command(["keys", "create", name, ALL, "--json"]).run().expect_code(0).json()
    }

    fn ask(&self, key: &Value, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.gateway.ask(method, target, &[&header(key), "Content-Type: application/json"], &body)
    }

    fn status(&self, key: &Value) -> u16 {
        self.ask(key, "GET", "/api/tags", &Value::Null).status
    }

    fn admin(&self, args: &[&str]) -> Value {
        self.gateway.admin(&[args, &["--json"]].concat()).expect_code(0).json()
    }

    fn fingerprint(&self) -> String {
        let shown = self.device.command(["device", "show", "--json"]).run().expect_code(0).json();
        shown["fingerprint"].as_str().unwrap().to_owned()
    }
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

fn id(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

fn path(key: &Value) -> String {
    use base64::Engine as _;
    format!("{KEYS}/{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(id(key)))
}

#[track_caller]
fn refused(answer: &Answer, what: &str) {
    let body = answer.json();
    let error = [&body["error"], &body["error"]["message"]].into_iter().find_map(Value::as_str).unwrap_or_default();
    assert_eq!((answer.status, error), (403, format!("this {what} {LIFTED_BY}").as_str()), "{body}");
    assert_eq!(body["code"].as_str().or(body["error"]["code"].as_str()), Some("suspended"), "{body}");
}

#[test]
fn a_suspended_key_does_nothing_and_its_children_continue() {
    let given = Given::start();
    let key = given.key("ci");
    let other = given.key("other");
    let child = given.ask(&key, "POST", KEYS, &json!({ "name": "child" }));
    assert_eq!(child.status, 201, "{}", child.text());
    let child = child.json();
    let suspended = given.admin(&["key", "suspend", id(&key), "--reason", "seen in a log"]);
    assert_eq!((&suspended["state"], &suspended["suspended_reason"]), (&json!("suspended"), &json!("seen in a log")));
    assert!(suspended["suspended_at"].is_number() && suspended["revoked_at"].is_null(), "{suspended}");

    let replacement = json!({ "replaces": id(&key) });
    for (method, target, body) in [
        ("GET", "/api/tags", Value::Null),
        ("POST", "/api/chat", json!({})),
        ("POST", "/v1/chat/completions", json!({})),
        ("POST", "/v1/messages", json!({})),
        ("POST", "/api/me", Value::Null),
        ("GET", "/", Value::Null),
        ("GET", KEYS, Value::Null),
        ("POST", KEYS, json!({ "name": "more" })),
        ("POST", KEYS, replacement.clone()),
        ("DELETE", &path(&key), Value::Null),
        ("DELETE", &path(&child), Value::Null),
        ("DELETE", &path(&other), Value::Null),
        ("PATCH", &format!("{}?expires_in=60", path(&other)), Value::Null),
    ] {
        refused(&given.ask(&key, method, target, &body), "API key");
    }
    assert_eq!([given.status(&child), given.status(&other)], [200; 2]);
    // Nor does its owner get around it by a key that takes its place.
    refused(&given.ask(&other, "POST", KEYS, &replacement), "API key");

    // A refusal is recorded a little later.
    let events = poll("the refusal", || {
        let events = given.admin(&["audit", "--code", "suspended", "--action", "credential.refused"]);
        (!events["events"].as_array().unwrap().is_empty()).then_some(events)
    });
    let event = &events["events"][0];
    assert_eq!(
        (&event["action"], &event["subject"], &event["account"]),
        (&json!("credential.refused"), &key["id"], &json!("ada")),
        "{events}"
    );
    // Again it changes nothing, the reason among it, and is no second event.
    let again = given.admin(&["key", "suspend", "ci", "--user", "ada", "--reason", "other"]);
    assert_eq!(again["suspended_reason"], "seen in a log");
    let resumed = given.admin(&["key", "resume", id(&key)]);
    assert_eq!((&resumed["state"], &resumed["suspended_at"]), (&json!("valid"), &Value::Null));
    assert_eq!(resumed["expires_at"], suspended["expires_at"]);
    assert_eq!(given.status(&key), 200);
    assert_eq!(given.ask(&key, "POST", KEYS, &replacement).status, 201);
    given.gateway.admin(&["key", "resume", id(&key)]).expect_code(0);
    let all = given.admin(&["audit", "--subject", id(&key)]);
    let of_key = all["events"].as_array().unwrap().iter().filter(|event| event["subject"] == key["id"]);
    let actions: Vec<_> = of_key.map(|event| &event["action"]).collect();
    assert_eq!(actions, ["key.resumed", "credential.refused", "key.suspended", "key.created"], "{all}");
}

#[test]
fn a_suspended_device_is_refused_and_the_keys_that_it_made_continue() {
    let given = Given::start();
    let (key, fingerprint) = (given.key("ci"), given.fingerprint());
    let other = given.gateway.device_of("ada");
    given.admin(&["device", "suspend", &fingerprint, "--reason", "laptop lost"]);
    let listed = given.device.command(["keys", "list"]).run().expect_code(5);
    let stderr = listed.stderr();
    assert!(
        stderr.contains(&format!("this device {LIFTED_BY}")) && stderr.contains("ask the administrator"),
        "{stderr}"
    );
    assert_eq!(given.status(&key), 200);
    other.command(["keys", "list"]).run().expect_code(0);
    // An approval does not lift it.
    let shown = other.command(["device", "list", "--json"]).run().expect_code(0).json();
    let public_key = given.admin(&["device", "list"])["devices"].as_array().unwrap().clone();
    let public_key = public_key.iter().find(|device| device["suspended_at"].is_number()).unwrap();
    assert_eq!(public_key["suspended_reason"], "laptop lost", "{shown}");
    let line = public_key["public_key"].as_str().unwrap();
    given.gateway.admin(&["device", "add", line, "--user", "ada", "--name", "again"]).expect_code(0);
    given.device.command(["keys", "list"]).run().expect_code(5);
    let table = given.gateway.admin(&["device", "list"]).expect_code(0);
    assert!(table.stdout().contains("just now: laptop lost"), "{}", table.stdout());
    given.admin(&["device", "resume", &fingerprint]);
    given.device.command(["keys", "list"]).run().expect_code(0);
    let table = given.gateway.admin(&["device", "list"]).expect_code(0);
    assert!(!table.stdout().contains("laptop lost"), "{}", table.stdout());
}

#[test]
fn a_suspended_person_is_refused_everywhere_and_nothing_of_theirs_is_lost() {
    let given = Given::start();
    let key = given.key("ci");
    let page = format!("{}/settings/keys", given.gateway.url());
    let suspended = given.admin(&["user", "suspend", "ada", "--reason", "on leave"]);
    assert_eq!((&suspended["disabled"], &suspended["suspended_reason"]), (&json!(false), &json!("on leave")));
    refused(&given.ask(&key, "GET", "/api/tags", &Value::Null), "account");
    given.device.command(["status"]).run().expect_code(5);
    let shown = given.gateway.browse(&page, "ada", "Sign in");
    let said = [shown.stdout(), shown.stderr()].concat();
    assert!(said.contains("This account is suspended (on leave)"), "{said}");
    let table = given.gateway.admin(&["user", "list"]).expect_code(0);
    assert!(table.stdout().contains("just now: on leave"), "{}", table.stdout());
    // Nothing can be added for that account meanwhile.
    let mut new = Sandbox::new();
    new.set_env("OLLAMA_AUTH_STORE", "plaintext");
    let sign_in = ["signin", "--host", &given.gateway.url(), "--no-wait"];
    let link = new.command(sign_in).run().expect_code(4).stdout().trim().to_owned();
    let approved = given.gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(1);
    assert!(approved.stderr().contains("is suspended") && approved.stderr().contains("gateway user resume ada"));
    given.admin(&["user", "resume", "ada"]);
    assert_eq!(given.status(&key), 200);
    given.device.command(["status"]).run().expect_code(0);
}

#[test]
fn what_cannot_be_suspended_is_said() {
    let given = Given::start();
    let key = given.key("ci");
    let wrong = |args: &[&str], code: i32, says: &str| {
        let output = given.gateway.admin(args).expect_code(code);
        assert!(output.stderr().contains(says), "{args:?}: {}", output.stderr());
    };
    wrong(&["user", "suspend", "root"], 1, "\"root\" is the only active administrator");
    wrong(&["user", "suspend", "eve"], 3, "there is no user \"eve\"");
    wrong(&["key", "suspend", "nobody"], 3, "there is no API key");
    wrong(&["key", "suspend", id(&key), "--reason", "a\nb"], 2, "invalid reason");
    given.gateway.admin(&["key", "revoke", id(&key), "--yes"]).expect_code(0);
    wrong(&["key", "suspend", id(&key)], 1, "was revoked or has expired");
    // Nor can all administrators be suspended one after the other.
    given.gateway.add_user("eve", "admin");
    given.admin(&["user", "suspend", "root"]);
    wrong(&["user", "suspend", "eve"], 1, "\"eve\" is the only active administrator");
    wrong(&["user", "disable", "eve"], 1, "\"eve\" is the only active administrator");
}

#[test]
fn streams_are_cut_and_a_request_that_waits_is_refused_with_its_reason() {
    let gate = Gate::new();
    let held = gate.clone();
    let given = Given::before(move || Reply::ndjson([Step::send("{}\n")]).after(&held));
    for (kind, what) in [("key", "API key"), ("user", "account")] {
        let key = given.key(kind);
        let named = if kind == "key" { id(&key) } else { "ada" };
        std::thread::scope(|scope| {
            let sent = given._upstream.requests().len();
            let waits = scope.spawn(|| given.ask(&key, "POST", "/v1/chat/completions", &json!({})));
            given._upstream.wait_requests(sent + 1);
            given.gateway.admin(&[kind, "suspend", named]).expect_code(0);
            refused(&waits.join().unwrap(), what);
        });
        given.gateway.admin(&[kind, "resume", named]).expect_code(0);
    }
    gate.open();
}

#[test]
fn a_suspension_outlives_a_restart_and_is_copied_to_another_database() {
    let mut given = Given::start();
    let key = given.key("ci");
    let fingerprint = given.fingerprint();
    given.admin(&["key", "suspend", id(&key), "--reason", "why"]);
    given.admin(&["device", "suspend", &fingerprint]);
    given.gateway.end(rustix::process::Signal::TERM);
    // Without a gateway the command changes the file.
    given.admin(&["user", "suspend", "ada"]);
    given.gateway.restart();
    refused(&given.ask(&key, "GET", "/api/tags", &Value::Null), "account");
    given.admin(&["user", "resume", "ada"]);
    refused(&given.ask(&key, "GET", "/api/tags", &Value::Null), "API key");
    given.device.command(["keys", "list"]).run().expect_code(5);
    given.gateway.end(rustix::process::Signal::TERM);
    let copy = given.gateway.sandbox().path("copy.db");
    let sandbox = given.gateway.sandbox();
    let (from, to) = (given.gateway.database(), copy.to_str().unwrap());
    sandbox.command(["gateway", "db", "copy", from.to_str().unwrap(), to]).run().expect_code(0);
    let listed = sandbox.command(["gateway", "key", "list", "--json", "--database", to]).run().expect_code(0).json();
    assert_eq!(
        (&listed["keys"][0]["state"], &listed["keys"][0]["suspended_reason"]),
        (&json!("suspended"), &json!("why"))
    );
}
