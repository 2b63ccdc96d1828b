//! When requests are refused, and when they are accepted again.

use rustix::process::Signal;
use serde_json::json;

use super::{Budgeted, CHAT, NOON, at, hundred};
use crate::harness::poll;

#[test]
fn a_budget_is_used_up_by_what_was_used_and_the_refusal_says_when_it_renews_in_every_api() {
    let given = Budgeted::start("", hundred);
    let routes = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages", "/v1/responses"];
    for (name, renews, seconds) in [
        ("hour", "2030-11-20T13:00:00Z", "3600"),
        ("day", "2030-11-21T00:00:00Z", "43200"),
        ("month", "2030-12-01T00:00:00Z", "907200"),
    ] {
        for route in routes {
            given.clock.run_from(at(NOON));
            let key = given.key(&["k", "--limit", &format!("tokens-per-{name}=150")]);
            given.clock.set(at(NOON));
            let before = given.server.requests().len();
            // The second begins below its limit.
            for _ in 0..2 {
                assert_eq!(given.ask(route, &key, CHAT).status, 200, "{route}");
            }
            let answer = given.ask(route, &key, CHAT);
            assert_eq!(answer.status, 429, "{route}: {}", answer.text());
            let message = format!("the budget of this key, 150 tokens per {name}, is used up; it renews at {renews}");
            let body = answer.json();
            let code = body["code"].as_str().or(body["error"]["code"].as_str());
            assert!(answer.text().contains(&message), "{route}: {}", answer.text());
            assert_eq!((code, &body["renews_at"]), (Some("budget"), &json!(renews)), "{route}: {body}");
            assert_eq!(answer.header("retry-after"), Some(seconds));
            assert_eq!(answer.header("ratelimit"), Some(&*format!("\"key:{name}\";r=0;t={seconds}")));
            assert_eq!(given.server.requests().len(), before + 2, "it was forwarded");
        }
    }
}

#[test]
fn it_renews_with_the_next_window_and_a_clock_that_is_set_back_finds_what_was_used() {
    let given = Budgeted::start("[roles.member.limits]\ntokens-per-hour = 100\n", hundred);
    let key = given.key(&["k"]);
    given.clock.set(at("2030-11-20T12:59:59Z"));
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    given.clock.set(at("2030-11-20T13:00:00Z"));
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    given.clock.set(at("2030-11-20T12:30:00Z"));
    assert_eq!(given.run(&key), 429);
    given.clock.set(at("2030-11-20T13:59:59Z"));
    assert_eq!(given.run(&key), 429);
}

#[test]
fn days_and_months_begin_in_the_time_zone_of_the_gateway() {
    let tables = "time-zone = \"Europe/Berlin\"\n[roles.member.limits]\ntokens-per-day = 100\n";
    let given = Budgeted::start(tables, hundred);
    let key = given.key(&["k"]);
    // The day when summer time ended: it has 25 hours.
    given.clock.set(at("2030-10-26T22:00:00Z"));
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    given.clock.set(at("2030-10-27T22:59:59Z"));
    assert_eq!(given.run(&key), 429);
    given.clock.set(at("2030-10-27T23:00:00Z"));
    assert_eq!(given.run(&key), 200);
}

#[test]
fn a_restart_and_a_reload_forget_nothing() {
    let mut given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 250\n", hundred);
    let key = given.key(&["k"]);
    assert_eq!([given.run(&key), given.run(&key)], [200, 200]);
    given.gateway.end(Signal::TERM).expect_code(0);
    given.gateway.restart();
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    // Raised, then lowered below what is used.
    given.gateway.reload(&given.file, "[roles.member.limits]\ntokens-per-day = 301\n");
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    given.gateway.reload(&given.file, "[roles.member.limits]\ntokens-per-day = 1\n");
    assert_eq!(given.run(&key), 429);
    given.gateway.reload(&given.file, "");
    assert_eq!(given.run(&key), 200);
    // What was used counts for a budget of another time, too.
    given.gateway.reload(&given.file, "[roles.member.limits]\ntokens-per-month = 400\n");
    assert_eq!(given.run(&key), 429);
}

#[test]
fn of_several_budgets_the_one_that_renews_last_is_told_and_a_replacement_begins_no_other() {
    let tables = "[limits]\ntokens-per-day = 100\n[roles.member.limits]\ntokens-per-hour = 100\n[groups.lab.limits]\ntokens-per-month = 100\n";
    let given = Budgeted::start(tables, hundred);
    given.gateway.admin(&["user", "groups", "ada", "lab"]).expect_code(0);
    let key = given.key(&["k", "--limit", "tokens-per-hour=100"]);
    let id = given.device.command(["keys", "list", "--json"]).run().expect_code(0).json()["keys"][0]["id"].clone();
    assert_eq!(given.run(&key), 200);
    let answer = given.ask("/api/chat", &key, CHAT);
    assert!(answer.text().contains("the budget of your group lab, 100 tokens per month"), "{}", answer.text());
    given.gateway.reload(&given.file, "");
    let answer = given.ask("/api/chat", &key, CHAT);
    assert!(answer.text().contains("the budget of this key"), "{}", answer.text());
    let headers = [&*key, "Content-Type: application/json"];
    let replacement = json!({ "name": "new", "replaces": id }).to_string();
    let replacement = given.gateway.ask("POST", "/api/user/keys", &headers, &replacement);
    assert_eq!(replacement.status, 201, "{}", replacement.text());
    let replacement = format!("Authorization: Bearer {}", replacement.json()["key"].as_str().unwrap());
    assert_eq!(given.run(&replacement), 429);
}

#[test]
fn a_budget_of_models_counts_all_callers_and_no_other_model() {
    let given = Budgeted::start("[model-limits.\"tiny*\"]\ntokens-per-day = 100\n", hundred);
    let keys = [given.key(&["one"]), given.key(&["two"])];
    assert_eq!(given.run(&keys[0]), 200);
    let answer = given.ask("/api/chat", &keys[1], CHAT);
    let message = "the budget of the models tiny*, 100 tokens per day, is used up";
    assert!(answer.status == 429 && answer.text().contains(message), "{}", answer.text());
    // However it is written.
    for name in ["TINY", "tiny:latest", "registry.ollama.ai/library/tiny:8b"] {
        assert_eq!(given.ask("/api/chat", &keys[1], &CHAT.replace("tiny", name)).status, 429, "{name}");
    }
    assert_eq!(given.ask("/api/chat", &keys[1], &CHAT.replace("tiny", "big")).status, 200);
    // Ollama reads other names than the gateway does.
    for name in ["https://registry.ollama.ai/library/tiny", "tiny@sha256:00", &"a/".repeat(300)] {
        let answer = given.ask("/api/chat", &keys[1], &CHAT.replace("tiny", name));
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    let form = "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nsound\r\n--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nMODEL\r\n--X--\r\n";
    for (model, status) in [("tiny", 429), ("big", 200)] {
        let headers = [&*keys[0], "Content-Type: multipart/form-data; boundary=X"];
        let target = "/v1/audio/transcriptions?model=big";
        let answer = given.gateway.ask("POST", target, &headers, &form.replace("MODEL", model));
        assert_eq!(answer.status, status, "{model}: {}", answer.text());
    }
}

#[test]
fn a_budget_counts_also_when_usage_is_not_recorded() {
    let given = Budgeted::start("usage = false\n", hundred);
    let key = given.key(&["k", "--limit", "tokens-per-day=150"]);
    assert_eq!([given.run(&key), given.run(&key), given.run(&key)], [200, 200, 429]);
    let shown = given.gateway.admin(&["usage", "--json"]).expect_code(0).json();
    assert_eq!(shown["usage"], json!([]));
}

#[test]
fn what_runs_no_model_and_who_has_no_budget_is_not_refused() {
    let given = Budgeted::start("", hundred);
    let (key, other) = (given.key(&["k", "--limit", "tokens-per-day=1"]), given.key(&["other"]));
    assert_eq!([given.run(&key), given.run(&key), given.run(&other)], [200, 429, 200]);
    assert_eq!(given.gateway.ask("GET", "/api/tags", &[&key], "").status, 200);
}

#[test]
fn a_refused_request_uses_nothing_of_other_limits() {
    let given = Budgeted::start("[limits]\nrequests-per-minute = 2\n", hundred);
    let key = given.key(&["k", "--limit", "tokens-per-day=1"]);
    let other = given.key(&["other"]);
    assert_eq!([given.run(&key), given.run(&key), given.run(&key), given.run(&other)], [200, 429, 429, 200]);
}

#[test]
fn budgets_that_cannot_be_are_refused() {
    let given = Budgeted::start("", hundred);
    for (limit, wanted) in [
        ("tokens-per-day=0", "0 would refuse every request"),
        ("tokens-per-day=-1", "must be a number of tokens such as 1M"),
        ("tokens-per-week=1", "tokens-per-hour, tokens-per-day, tokens-per-month"),
    ] {
        let refused = given.device.command(["keys", "create", "k", "--limit", limit]).run().expect_code(2);
        assert!(refused.stderr().contains(wanted), "{limit}: {}", refused.stderr());
    }
    // A key's key has no more than it has itself.
    let key = given.gateway.key(&given.device, &["k", "--scope", "keys,inference", "--limit", "tokens-per-day=5k"]);
    let header = format!("Authorization: Bearer {key}");
    let create = |limits: &str| {
        let body = format!(r#"{{"name":"sub","scopes":["inference"],"limits":{limits}}}"#);
        given.gateway.ask("POST", "/api/user/keys", &[&header, "Content-Type: application/json"], &body)
    };
    let refused = create(r#"{"tokens_per_day":5001}"#);
    assert!(refused.status == 403 && refused.text().contains("5k tokens per day"), "{}", refused.text());
    let made = create("{}");
    assert_eq!(made.json()["limits"]["tokens_per_day"], 5000, "{}", made.text());
}

#[test]
fn what_is_used_is_in_the_database_before_long() {
    let mut given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 100\n", hundred);
    let key = given.key(&["k"]);
    assert_eq!(given.run(&key), 200);
    poll("the total in the database", || {
        let shown = given.gateway.admin(&["usage", "--json"]).expect_code(0).json();
        (!shown["usage"].as_array().unwrap().is_empty()).then_some(())
    });
    given.gateway.end(Signal::KILL);
    given.gateway.restart();
    assert_eq!(given.run(&key), 429);
}
