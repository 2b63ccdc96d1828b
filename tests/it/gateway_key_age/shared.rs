//! Unused keys where several gateways share a database: a use at one counts at all, and without the database a key is refused all the same.

use serde_json::Value;

use super::{DAY, IDLE};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::set_clock::SetClock;

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, r#"{"models":[]}"#))
}

/// A gateway on that database with that clock.
fn gateway(database: &str, upstream: &Server, clock: &SetClock) -> Gateway {
    let mut sandbox = Sandbox::new();
    clock.give_to(&mut sandbox);
    let file = sandbox.write("gateway.toml", IDLE);
    let args = ["--config", file.to_str().unwrap()];
    Gateway::start_replica_in(sandbox, database, &upstream.url(), "127.0.0.1:0", &args)
}

fn key(gateway: &Gateway) -> (String, String) {
    gateway.add_user("root", "admin").add_user("ada", "member");
    let device = gateway.device_added_to("ada");
    let made = device.command(["keys", "create", "ci", "--json"]).run().expect_code(0).json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("key"), text("id"))
}

fn listed(gateway: &Gateway, id: &str) -> Value {
    let all = gateway.admin(&["key", "list", "--json"]).expect_code(0).json();
    all["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).cloned().unwrap()
}

#[test]
fn a_use_at_another_gateway_counts() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let (one, other) = (gateway(&database, &upstream, &clock), gateway(&database, &upstream, &clock));
    let (secret, id) = key(&one);
    poll("the key at the other gateway", || (other.status_of(&secret) == 200).then_some(()));
    clock.run_from(clock.now() + 20 * DAY);
    let used_at = clock.now();
    assert_eq!(other.status_of(&secret), 200);
    poll("that the use is written", || {
        (listed(&other, &id)["last_used_at"].as_i64().unwrap_or_default() >= used_at).then_some(())
    });
    clock.run_from(clock.now() + 20 * DAY);
    assert_eq!(one.status_of(&secret), 200, "it was used 20 days ago");
    clock.run_from(clock.now() + 31 * DAY);
    assert_eq!(one.status_of(&secret), 403);
    poll("the suspension at the other gateway", || (listed(&other, &id)["state"] == "suspended").then_some(()));
    assert_eq!(other.status_of(&secret), 403);
    one.admin(&["key", "resume", &id]).expect_code(0);
    for gateway in [&one, &other] {
        poll("that it is lifted", || (gateway.status_of(&secret) == 200).then_some(()));
    }
    let events = one.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).json();
    let suspended = events["events"].as_array().unwrap().iter().filter(|event| event["action"] == "key.suspended");
    assert_eq!(suspended.count(), 1, "{events}");
}

#[test]
fn without_the_database_an_unused_key_is_refused_all_the_same() {
    let (upstream, server) = (upstream(), Postgres::start());
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let one = gateway(&server.database(), &upstream, &clock);
    let (secret, id) = key(&one);
    assert_eq!(one.status_of(&secret), 200);
    server.end("INT");
    clock.run_from(clock.now() + 31 * DAY);
    assert_eq!([one.status_of(&secret), one.status_of(&secret)], [403; 2]);
    server.start_again();
    poll("that it is suspended for good", || {
        assert_eq!(one.status_of(&secret), 403);
        (listed(&one, &id)["suspended_reason"] == "not used for 31 days").then_some(())
    });
}
