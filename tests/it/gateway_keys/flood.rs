//! One account that changes and asks as fast as it can: the others' events stay where an administrator finds them.

use std::collections::BTreeSet;

use rustix::process::Signal;

use super::*;

fn audit(gateway: &Gateway, args: &[&str]) -> Vec<Value> {
    let output = gateway.admin(&[&["audit", "--json"], args].concat()).expect_code(0);
    output.json()["events"].as_array().unwrap().clone()
}

#[test]
fn every_change_of_a_flood_has_an_event_of_its_own() {
    let (gateway, device) = given();
    let key = create(&device, &["own", "--expires", "never"]);
    for number in 0..300 {
        let target = format!("{}?expires_in={}", path(&key), 100_000 - 10 * number);
        let answer = ask(&gateway, &key, "PATCH", &target, &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let endings = audit(&gateway, &["--action", "key.ending"]);
    assert_eq!(endings.len(), 100, "{endings:#?}");
    let all = audit(&gateway, &["--action", "key.ending", "--limit", "1000"]);
    let requests: BTreeSet<&str> = all.iter().map(|event| event["request"].as_str().unwrap()).collect();
    assert_eq!((all.len(), requests.len()), (300, 300));
}

#[test]
fn refused_credentials_and_requests_are_in_the_log_and_in_the_event_log() {
    let (mut gateway, device) = given();
    let key = create(&device, &["reader", "--scope", "models:read"]);
    for _ in 0..60 {
        let wrong = format!("Authorization: Bearer olauth_{}", "x".repeat(48));
        assert_eq!(gateway.ask("GET", "/api/tags", &[&wrong], "").status, 401);
    }
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &key, "POST", "/api/generate", &json!({ "model": "tiny" })).status, 403);
    }
    keys(&device, &["revoke", "reader", "--yes"]).expect_code(0);
    assert_eq!(ask(&gateway, &key, "GET", "/api/tags", &Value::Null).status, 401);
    let log = gateway.end(Signal::TERM);

    let total = |events: &[Value]| events.iter().map(|event| event["count"].as_i64().unwrap()).sum::<i64>();
    let refused = audit(&gateway, &["--action", "credential.refused"]);
    let (revoked, unknown): (Vec<_>, Vec<_>) = refused.into_iter().partition(|event| event["subject"] == key["id"]);
    assert_eq!((unknown.len(), total(&unknown), total(&revoked)), (2, 60, 1), "{unknown:#?}");
    let (rest, first) = (&unknown[0], &unknown[1]);
    assert_eq!((&first["count"], &rest["count"], &rest["first"]), (&json!(1), &json!(59), &first["id"]));
    for (event, code) in [(first, "unknown_key"), (rest, "unknown_key"), (&revoked[0], "revoked_key")] {
        assert_eq!((&event["address"], &event["code"]), (&json!("127.0.0.1"), &json!(code)), "{event:#}");
    }
    assert_eq!(first["account"], Value::Null);
    assert_eq!(revoked[0]["details"]["reason"], "was revoked");
    let denied = audit(&gateway, &["--action", "request.denied", "--subject", key["id"].as_str().unwrap()]);
    assert_eq!((denied.len(), total(&denied), &denied[0]["subject"]), (2, 20, &json!("/api/generate")), "{denied:#?}");
    assert_eq!((&denied[0]["code"], &denied[1]["code"]), (&json!("scope"), &json!("scope")));
    let of_code = audit(&gateway, &["--code", "scope"]);
    assert_eq!(of_code, denied);
    let of_request = audit(&gateway, &["--request", denied[1]["request"].as_str().unwrap()]);
    assert_eq!(of_request, denied[1..]);
    assert!(denied[0]["details"]["reason"].as_str().unwrap().contains("inference"), "{denied:#?}");
    assert!(log.stderr().contains("credential.refused") && log.stderr().contains("request.denied"), "{}", log.stderr());
}

#[test]
fn the_event_log_is_read_in_pages_and_by_filters() {
    let (gateway, device) = given();
    gateway.add_user("eve", "member");
    for number in 0..6 {
        let verb = if number % 2 == 0 { "disable" } else { "enable" };
        gateway.admin(&["user", verb, "eve"]).expect_code(0);
    }
    let key = create(&device, &["ci"]);
    let all = audit(&gateway, &[]);
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let mut args = vec!["audit", "--json", "--limit", "3"];
        if !next.is_empty() {
            args.extend(["--before", &next]);
        }
        let page = gateway.admin(&args).expect_code(0).json();
        let events = page["events"].as_array().unwrap();
        assert!((1..=3).contains(&events.len()), "{page:#}");
        paged.extend(events.iter().cloned());
        match page["next"].as_i64() {
            Some(id) => next = id.to_string(),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let shown = gateway.admin(&["audit", "--limit", "3"]).expect_code(0);
    let last = &all[2]["id"];
    assert!(shown.stderr().contains(&format!("--before {last}")), "{}", shown.stderr());

    let of_eve = audit(&gateway, &["--user", "eve"]);
    let id = of_eve[0]["account_id"].as_str().unwrap();
    assert_eq!((of_eve.len(), audit(&gateway, &["--user", id])), (7, of_eve.clone()));
    assert_eq!(audit(&gateway, &["--action", "user", "--user", "eve"]), of_eve);
    assert_eq!(audit(&gateway, &["--action", "user.disabled"]).len(), 3);
    assert!(audit(&gateway, &["--action", "use"]).is_empty());
    let of_key = audit(&gateway, &["--subject", key["id"].as_str().unwrap()]);
    assert_eq!((of_key.len(), &of_key[0]["action"]), (1, &json!("key.created")));
    assert_eq!(audit(&gateway, &["--address", "127.0.0.1"]), of_key);
    assert_eq!(audit(&gateway, &["--since", "1h"]), all);
    assert!(audit(&gateway, &["--until", "1h"]).is_empty());
    assert!(audit(&gateway, &["--since", "2100-01-01"]).is_empty());
    let none = gateway.admin(&["audit", "--user", "nobody"]).expect_code(0);
    assert!(none.stderr().contains("No event matches."), "{}", none.stderr());
    gateway.admin(&["audit", "--since", "yesterday"]).expect_code(2);
}
