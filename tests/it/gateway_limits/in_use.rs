//! How much of a key's limits is used, in the lists of keys.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::upstream::{Mode, Upstream};
use super::{Limited, read_some};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

fn key(listed: &Value, name: &str) -> Value {
    listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone()
}

#[test]
fn lists_show_what_is_used_of_each_key_s_limits() {
    let upstream = Upstream::start();
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let mut limited = Limited::start_within(upstream.url(), "", &[], Some(&clock));
    clock.give_to(&mut limited.device);
    // No request of the burst is free again while this test runs.
    let create =
        |args: &[&str]| limited.device.command(["keys", "create", "--json"]).args(args).run().expect_code(0).json();
    let busy = create(&["busy", "--limit", "rpm=1,burst=5,streams=3"]);
    create(&["idle", "--limit", "rpm=60"]);
    create(&["sized", "--limit", "size=1MiB"]);
    create(&["plain"]);
    upstream.set(Mode::Held);
    let header = format!("Authorization: Bearer {}", busy["key"].as_str().unwrap());
    let mut streams: Vec<_> = (0..2).map(|_| limited.begin("/api/chat", &header)).collect();
    streams.iter_mut().for_each(read_some);
    let list = || limited.device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    let listed = list();
    assert_eq!(key(&listed, "busy")["use"], json!({ "requests": 2, "streams": 2 }), "{listed:#}");
    assert_eq!(key(&listed, "idle")["use"], json!({ "requests": 0 }));
    assert_eq!((&key(&listed, "sized")["use"], &key(&listed, "plain")["use"]), (&Value::Null, &Value::Null));
    let table = limited.device.command(["keys", "list"]).env("COLUMNS", "300").run().expect_code(0);
    assert!(table.stdout().contains("rpm=1,burst=5 (2 used),streams=3 (2 used)"), "{}", table.stdout());
    // A key that replaces it uses up the same.
    let headers = [&*header, "Content-Type: application/json"];
    let body = json!({ "replaces": busy["id"] }).to_string();
    let made = limited.gateway.ask("POST", "/api/user/keys", &headers, &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let new = made.json();
    let own = limited.gateway.ask(
        "GET",
        "/api/user/keys",
        &[&format!("Authorization: Bearer {}", new["key"].as_str().unwrap())],
        "",
    );
    for shown in own.json()["keys"].as_array().unwrap() {
        if shown["limits"].is_object() && shown["name"] == "busy" {
            assert_eq!(shown["use"], json!({ "requests": 2, "streams": 2 }), "{shown}");
        }
    }
    upstream.release();
    drop(streams);
    let began = Instant::now();
    poll("the end of the streams", || (key(&list(), "busy")["use"]["streams"] == 0).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(60));
    clock.pass(3600);
    assert_eq!(key(&list(), "busy")["use"], json!({ "requests": 0, "streams": 0 }));
}
