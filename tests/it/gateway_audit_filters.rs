//! `gateway audit` with filters: what each finds, on both engines, and where the list continues.

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::ollama::Ollama;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// The actions, subjects and `next` of a list.
fn listed(gateway: &Gateway, filter: &[&str]) -> (Vec<(String, String)>, Value) {
    let shown = gateway.admin(&[&["audit", "--json"], filter].concat()).expect_code(0).json();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = shown["events"].as_array().unwrap().iter();
    (events.map(|event| (text(event, "action"), text(event, "subject"))).collect(), shown["next"].clone())
}

fn actions(gateway: &Gateway, filter: &[&str]) -> Vec<String> {
    listed(gateway, filter).0.into_iter().map(|(action, _)| action).collect()
}

fn finds_what_filters_ask_for(gateway: &Gateway) {
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let device = gateway.device_added_to("bob");
    gateway.key(&device, &["nightly", "--scope", "models:read,keys"]);
    gateway.key(&device, &["other", "--scope", "models:read"]);
    let keys = device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    let id = |name: &str| {
        let all = keys["keys"].as_array().unwrap();
        all.iter().find(|key| key["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (nightly, other) = (id("nightly"), id("other"));
    gateway.admin(&["key", "suspend", &nightly, "--reason", "lost"]).expect_code(0);
    gateway.admin(&["key", "resume", &nightly]).expect_code(0);

    let of_key = actions(gateway, &["--key", &nightly]);
    assert_eq!(of_key, ["key.resumed", "key.suspended", "key.created"]);
    assert_eq!(actions(gateway, &["--key", &other]), ["key.created"]);
    assert_eq!(actions(gateway, &["--key", &nightly, "--actor", "admin"]), ["key.resumed", "key.suspended"]);
    assert_eq!(actions(gateway, &["--actor", "admin", "--action", "user"]), ["user.created", "user.created"]);
    assert_eq!(actions(gateway, &["--actor", "admin", "--user", "bob", "--action", "user"]), ["user.created"]);
    // A person is found by the id, too, and a group of actions ends at its dot.
    let users = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let bob = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "bob").unwrap();
    let by_id = actions(gateway, &["--user", bob["id"].as_str().unwrap()]);
    assert_eq!(by_id, actions(gateway, &["--user", "bob"]));
    assert!(by_id.len() >= 6, "{by_id:?}");
    for nothing in [
        &["--action", "ke"][..],
        &["--action", "key."],
        &["--actor", "ada"],
        &["--key", "nightly"],
        &["--user", "bo"],
        &["--address", "192.0.2.1"],
        &["--code", "scope"],
        &["--request", "0123456789abcdef0123456789abcdef"],
        &["--actor", "admin", "--action", "device.added", "--key", &nightly],
        &["--until", "2001-01-01"],
        &["--since", "2001-01-01", "--until", "2001-01-02", "--user", "bob"],
    ] {
        assert_eq!(listed(gateway, nothing), (Vec::new(), Value::Null), "{nothing:?}");
    }
    // A page ends where the next one begins.
    let (all, _) = listed(gateway, &["--user", "bob", "--since", "1h"]);
    let (mut found, mut before) = (Vec::new(), None::<String>);
    loop {
        let from: Vec<&str> = before.iter().flat_map(|before| ["--before", before.as_str()]).collect();
        let (part, next) = listed(gateway, &[&["--user", "bob", "--since", "1h", "--limit", "2"], &*from].concat());
        assert!(part.len() <= 2);
        found.extend(part);
        match next.as_i64() {
            Some(next) => before = Some(next.to_string()),
            None => break,
        }
    }
    assert_eq!(found, all);
}

#[test]
fn each_filter_finds_its_events_in_sqlite() {
    let upstream = Ollama::start();
    finds_what_filters_ask_for(&Gateway::start(&upstream.url()));
}

#[test]
fn each_filter_finds_its_events_in_postgresql() {
    let upstream = Ollama::start();
    finds_what_filters_ask_for(&Gateway::start_on(&Postgres::shared().database(), &upstream.url(), &[]));
}

#[test]
fn refusals_are_found_by_code_address_request_and_key() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("bob", "member");
    let device = gateway.device_added_to("bob");
    let key = gateway.key(&device, &["reader", "--scope", "models:read"]);
    let header = format!("Authorization: Bearer {key}");
    assert_eq!(gateway.ask("POST", "/api/generate", &[&header], r#"{"model":"tiny"}"#).status, 403);
    let denied = poll("the refusal", || {
        let shown = gateway.admin(&["audit", "--code", "scope", "--json"]).expect_code(0).json();
        shown["events"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&denied["action"], &denied["address"]), (&json!("request.denied"), &json!("127.0.0.1")));
    let text = |name: &str| denied[name].as_str().unwrap();
    let id = text("actor").strip_prefix("key:").unwrap();
    for filter in [
        &["--request", text("request")][..],
        &["--key", id, "--action", "request"],
        &["--actor", text("actor")],
        &["--address", "127.0.0.1", "--code", "scope", "--user", "bob"],
        &["--address", "::ffff:127.0.0.1", "--code", "scope"],
    ] {
        assert_eq!(actions(&gateway, filter), ["request.denied"], "{filter:?}");
    }
}
