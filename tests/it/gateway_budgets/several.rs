//! Gateways that share budgets through their database: what they know of each other, what they do without it, and what a copy keeps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use super::{CHAT, done, hundred, token};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Gate, Reply, Request, Server, Step};
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// The header of a key of ada, whom the gateway does not know yet.
fn key_at(gateway: &Gateway) -> String {
    gateway.add_user("ada", "member");
    format!(
        "Authorization: Bearer {}",
        gateway.key(&gateway.device_added_to("ada"), &["k", "--scope", "inference,usage:read,keys"])
    )
}

fn run(gateway: &Gateway, key: &str) -> u16 {
    gateway.ask("POST", "/api/chat", &[key], CHAT).status
}

/// Waits until the gateway knows that so much is used.
fn wait_used(gateway: &Gateway, key: &str, tokens: u64) {
    poll("what is used", || {
        let answer = gateway.ask("GET", "/api/balance", &[key], "");
        let is_known = answer.status == 200 && {
            let balance = answer.json();
            let budget = balance["limits"].as_array().unwrap().iter().find(|limit| limit["unit"] == "tokens").unwrap();
            budget["used"] == tokens
        };
        if !is_known {
            // An account may ask so often in a minute: then it is refused for a moment.
            std::thread::sleep(Duration::from_millis(200));
        }
        is_known.then_some(())
    });
}

/// What the database has of the budgets by day.
fn stored(server: &Postgres, database: &str) -> String {
    server.sql(database, "SELECT coalesce(sum(tokens), 0) FROM budget_totals WHERE id LIKE 'day:%:person:%'")
}

fn wait_stored(server: &Postgres, database: &str, tokens: u64) {
    poll("what is stored", || (stored(server, database) == tokens.to_string()).then_some(()));
}

#[test]
fn what_one_gateway_has_used_is_refused_at_the_others_also_once_that_one_is_killed() {
    let upstream = Server::start(hundred);
    let (server, folder) = (Postgres::shared(), Sandbox::new());
    let database = server.database();
    let file = folder.write("gateway.toml", "[roles.member.limits]\ntokens-per-day = 200\n");
    let start = || Gateway::start_on(&database, &upstream.url(), &["--config", file.to_str().unwrap()]);
    let (mut one, two) = (start(), start());
    let key = key_at(&one);
    poll("the key", || (two.ask("POST", "/api/me", &[&key], "").status == 200).then_some(()));
    assert_eq!([run(&one, &key), run(&one, &key), run(&one, &key)], [200, 200, 429]);
    // A gateway asks every second, and each time reads all that is new.
    wait_stored(server, &database, 200);
    wait_used(&two, &key, 200);
    assert_eq!(run(&two, &key), 429);
    one.end(Signal::KILL);
    assert_eq!(run(&two, &key), 429);
    // One that starts knows before its first request.
    let three = start();
    assert_eq!(run(&three, &key), 429);
    one.restart();
    assert_eq!(run(&one, &key), 429);
    assert_eq!(upstream.count("POST", "/api/chat"), 2);
}

#[test]
fn what_a_stream_has_used_so_far_is_known_at_the_others_until_its_real_count_replaces_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Server::start(move |_: &Request| {
        let tokens = (0..10).map(|_| Step::send(token("a")));
        Reply::ndjson(tokens.chain([Step::WaitFor(held.clone()), Step::send(done(2, 3))]))
    });
    let (server, folder) = (Postgres::shared(), Sandbox::new());
    let database = server.database();
    let file = folder.write("gateway.toml", "[roles.member.limits]\ntokens-per-day = 10\n");
    let start = || Gateway::start_on(&database, &upstream.url(), &["--config", file.to_str().unwrap()]);
    let (one, two) = (start(), start());
    let key = key_at(&one);
    poll("the key", || (two.ask("POST", "/api/me", &[&key], "").status == 200).then_some(()));
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| run(&one, &key));
        // The prompt is estimated at two tokens.
        wait_used(&two, &key, 12);
        assert_eq!(run(&two, &key), 429);
        gate.open();
        assert_eq!(stream.join().unwrap(), 200);
    });
    wait_stored(server, &database, 5);
    wait_used(&two, &key, 5);
    assert_eq!(run(&two, &key), 200);
    wait_stored(server, &database, 10);
    wait_used(&one, &key, 10);
    assert_eq!(run(&one, &key), 429);
}

/// Waits until the gateway knows that it is one of two: it allows one stream at a time of two.
fn wait_for_two(gateway: &Gateway, key: &str, gate: &Mutex<Gate>, upstream: &Server) {
    poll("the second gateway", || {
        *gate.lock().unwrap() = Gate::new();
        let before = upstream.requests().len();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| gateway.ask("POST", "/api/generate", &[key], CHAT).status);
            poll("a running request", || (upstream.requests().len() > before).then_some(()));
            let second = gateway.ask("POST", "/api/embed", &[key], CHAT).status;
            gate.lock().unwrap().open();
            assert_eq!(first.join().unwrap(), 200);
            (second == 429).then_some(())
        })
    });
}

#[test]
fn without_the_database_each_gateway_may_use_its_part_of_what_was_left_and_nothing_is_lost() {
    // Requests of /api/generate take nothing, and wait for a gate of their own.
    let gate = Arc::new(Mutex::new(Gate::new()));
    let held = gate.clone();
    let upstream = Server::start(move |request: &Request| match request.path() {
        "/api/generate" => Reply::ndjson([
            Step::WaitFor(held.lock().unwrap().clone()),
            Step::send("{\"model\":\"tiny\",\"response\":\"\",\"done\":true}\n"),
        ]),
        "/api/embed" => Reply::json(200, r#"{"model":"tiny","embeddings":[],"prompt_eval_count":0}"#),
        _ => hundred(request),
    });
    let (server, folder) = (Postgres::start(), Sandbox::new());
    let database = server.database();
    let file = folder.write("gateway.toml", "[roles.member.limits]\ntokens-per-day = 1000\nstreams = 2\n");
    let start = || Gateway::start_on(&database, &upstream.url(), &["--config", file.to_str().unwrap()]);
    let (one, two) = (start(), start());
    let key = key_at(&one);
    poll("the key", || (two.ask("POST", "/api/me", &[&key], "").status == 200).then_some(()));
    for gateway in [&one, &two] {
        wait_for_two(gateway, &key, &gate, &upstream);
    }
    assert_eq!([run(&one, &key), run(&two, &key)], [200, 200]);
    wait_stored(&server, &database, 200);
    for gateway in [&one, &two] {
        wait_used(gateway, &key, 200);
    }

    server.end("INT");
    for gateway in [&one, &two] {
        gateway.child().wait_stderr(|text| text.contains("usage could not be written"));
    }
    for gateway in [&one, &two] {
        let statuses: Vec<u16> = (0..6).map(|_| run(gateway, &key)).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    }
    server.start_again();
    wait_stored(&server, &database, 1000);
    for gateway in [&one, &two] {
        wait_used(gateway, &key, 1000);
    }
    let three = start();
    assert_eq!([run(&three, &key), run(&one, &key), run(&two, &key)], [429; 3]);
    let records =
        server.sql(&database, "SELECT count(*), sum(input + output) FROM usage_records WHERE route = '/api/chat'");
    assert_eq!(records, "10|1000");
}

#[test]
fn a_copy_of_the_database_keeps_what_was_used() {
    let upstream = Server::start(hundred);
    let folder = Sandbox::new();
    let file = folder.write("gateway.toml", "[roles.member.limits]\ntokens-per-day = 200\n");
    let args = ["--config", file.to_str().unwrap()];
    let mut first = Gateway::start_with(&upstream.url(), &args);
    let key = key_at(&first);
    assert_eq!([run(&first, &key), run(&first, &key), run(&first, &key)], [200, 200, 429]);
    first.end(Signal::TERM).expect_code(0);
    let (server, from) = (Postgres::shared(), first.database());
    let database = server.database();
    first.sandbox().command(["gateway", "db", "copy", from.to_str().unwrap(), &database]).run().expect_code(0);
    assert_eq!(stored(server, &database), "200");
    let second = Gateway::start_on(&database, &upstream.url(), &args);
    assert_eq!(run(&second, &key), 429);
    wait_used(&second, &key, 200);
}
