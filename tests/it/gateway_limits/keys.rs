//! Limits of keys: given by who makes them, never more than that one has, and kept.

use serde_json::{Value, json};

use super::upstream::Upstream;
use super::{Limited, code};
use crate::given::with_store;
use crate::harness::gateway::Answer;

const LIMITS: &str = "rpm=60,burst=10,streams=2,size=1MiB";

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

/// Makes a key by another one.
fn make(limited: &Limited, by: &Value, body: &Value) -> Answer {
    let headers = [&*header(by), "Content-Type: application/json"];
    limited.gateway.ask("POST", "/api/user/keys", &headers, &body.to_string())
}

fn create(limited: &Limited, args: &[&str]) -> Value {
    let made = limited.device.command(["keys", "create", "--json"]).args(args).run();
    made.expect_code(0).json()
}

#[test]
fn the_limits_of_a_key_are_shown_wherever_it_is_listed() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "");
    let wanted = json!({ "requests_per_minute": 60, "burst": 10, "streams": 2, "request_size": 1 << 20 });
    let made = create(&limited, &["ci", "--limit", "rpm=60", "--limit", "burst=10", "--limit", "streams=2,size=1MiB"]);
    assert_eq!(made["limits"], wanted, "{made:#}");
    let plain = create(&limited, &["plain"]);
    assert_eq!(plain["limits"], Value::Null);
    let listed = limited.device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    let by_name =
        |name: &str| listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone();
    assert_eq!((&by_name("ci")["limits"], &by_name("plain")["limits"]), (&wanted, &Value::Null));
    let table = limited.device.command(["keys", "list"]).run().expect_code(0);
    assert!(table.stdout().contains(LIMITS) && table.stdout().to_lowercase().contains("limits"), "{}", table.stdout());
    let admin = limited.gateway.admin(&["key", "list", "--json"]).expect_code(0).json();
    let limits: Vec<&Value> = admin["keys"].as_array().unwrap().iter().map(|key| &key["limits"]).collect();
    assert!(limits.contains(&&wanted) && limits.contains(&&Value::Null), "{admin:#}");
    let created = limited.gateway.admin(&["audit", "--action", "key.created", "--json"]).expect_code(0).json();
    let details: Vec<&Value> = created["events"].as_array().unwrap().iter().map(|event| &event["details"]).collect();
    assert!(details.iter().any(|details| details["limits"] == wanted), "{details:#?}");
    // The gateway keeps to them after a restart, too.
    let mut limited = limited;
    limited.gateway.end(rustix::process::Signal::TERM);
    limited.gateway.restart();
    let listed = limited.device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    assert!(listed["keys"].as_array().unwrap().iter().any(|key| key["limits"] == wanted), "{listed:#}");
}

#[test]
fn a_key_can_have_budgets_of_tokens() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "");
    let key = limited.device.command(["keys", "create", "nightly", "--limit", "tokens-per-day=1M"]);
    let key = key.args(["--limit", "tokens-per-hour=50k,tokens-per-month=20M"]).run().expect_code(0);
    let says = "at most 50k tokens per hour, 1M tokens per day, 20M tokens per month;";
    assert!(key.stderr().replace('\n', " ").contains(says), "{}", key.stderr());
    let table = limited.device.command(["keys", "list"]).run().expect_code(0);
    let shown = "tokens-per-hour=50k,tokens-per-day=1M,tokens-per-month=20M";
    assert!(table.stdout().contains(shown), "{}", table.stdout());
    let listed = limited.device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    let wanted = json!({ "tokens_per_hour": 50_000, "tokens_per_day": 1_000_000, "tokens_per_month": 20_000_000 });
    assert!(listed["keys"].as_array().unwrap().iter().any(|key| key["limits"] == wanted), "{listed:#}");
    // A key that it makes has no more.
    let parent = create(&limited, &["parent", "--scope", "inference,models:read,keys", "--limit", "tokens-per-day=1M"]);
    let made = make(&limited, &parent, &json!({ "name": "child", "limits": { "tokens_per_day": 1_000_001 } }));
    let message = "your own credential is limited to 1M tokens per day";
    assert_eq!((made.status, &made.json()["error"]), (403, &json!(message)));
    let made = make(&limited, &parent, &json!({ "name": "child", "limits": { "tokens_per_hour": 5000 } }));
    let both = json!({ "tokens_per_hour": 5000, "tokens_per_day": 1_000_000 });
    assert_eq!((made.status, &made.json()["limits"]), (201, &both), "{}", made.text());
}

#[test]
fn a_wrong_limit_is_named_before_anything_is_asked() {
    let sandbox = with_store("plaintext");
    for (limit, says) in [
        ("rpm=0", "0 would refuse every request"),
        ("tokens-per-day=0", "0 would refuse every request"),
        ("tokens-per-day=1.5M", "tokens-per-day"),
        ("tokens-per-day=-1", "tokens-per-day"),
        ("tokens-per-day=99999999999G", "tokens-per-day"),
        ("tokens-per-week=1M", "unknown limit \"tokens-per-week\": use rpm"),
        ("rmp=60", "unknown limit \"rmp\": use rpm, burst, streams, size"),
        ("size=big", "a size such as 1MiB"),
        ("burst=5", "a burst needs a number of requests per minute"),
        ("rpm=1,rpm=2", "it is given twice"),
    ] {
        let wrong = sandbox.command(["keys", "create", "k", "--limit", limit]).run().expect_code(2);
        assert!(wrong.stderr().contains(says), "{limit}: {}", wrong.stderr());
    }
}

#[test]
fn no_key_makes_one_with_higher_limits() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "");
    let parent = create(&limited, &["parent", "--scope", "inference,models:read,keys", "--limit", LIMITS]);
    let parents = json!({ "requests_per_minute": 60, "burst": 10, "streams": 2, "request_size": 1 << 20 });
    // What is left out is the parent's.
    for (asked, given) in [
        (Value::Null, parents.clone()),
        (json!({}), parents.clone()),
        (
            json!({ "streams": 1 }),
            json!({ "requests_per_minute": 60, "burst": 10, "streams": 1, "request_size": 1 << 20 }),
        ),
        (
            json!({ "requests_per_minute": 5 }),
            json!({ "requests_per_minute": 5, "streams": 2, "request_size": 1 << 20 }),
        ),
        (
            json!({ "requests_per_minute": 30 }),
            json!({
                "requests_per_minute": 30, "burst": 10, "streams": 2, "request_size": 1 << 20,
            }),
        ),
    ] {
        let made = make(&limited, &parent, &json!({ "name": "child", "limits": asked }));
        assert_eq!((made.status, &made.json()["limits"]), (201, &given), "{asked}: {}", made.text());
    }
    for (asked, says) in [
        (json!({ "requests_per_minute": 61 }), "60 requests per minute"),
        (json!({ "burst": 11 }), "10 requests at once"),
        (json!({ "streams": 3 }), "2 requests at a time"),
        (json!({ "request_size": (1 << 20) + 1 }), "requests of 1 MiB"),
    ] {
        let made = make(&limited, &parent, &json!({ "name": "child", "limits": asked }));
        let message = format!("your own credential is limited to {says}");
        assert_eq!((made.status, &made.json()["error"]), (403, &json!(message)), "{asked}");
    }
    for (asked, says) in [
        (json!({ "streams": 0 }), "limits: streams: 0 would refuse every request"),
        (json!({ "requests_per_minute": 1_000_001 }), "limits: rpm: the largest value is 1000000"),
        (json!({ "tokens": 5 }), "unknown field `tokens`"),
        (json!({ "streams": -1 }), "invalid value"),
    ] {
        let made = make(&limited, &parent, &json!({ "name": "child", "limits": asked }));
        assert!(made.status == 400 && made.text().contains(says), "{asked}: {}", made.text());
    }
}

#[test]
fn a_replacement_has_the_same_limits_and_begins_with_what_is_used() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "");
    let old = create(&limited, &["k", "--limit", "rpm=2"]);
    let run = |key: &Value| limited.run("/api/chat", &header(key));
    let mut statuses = vec![run(&old).status];
    let new = make(&limited, &old, &json!({ "replaces": old["id"] }));
    assert_eq!(new.status, 201, "{}", new.text());
    let new = new.json();
    assert_eq!(new["limits"], json!({ "requests_per_minute": 2 }));
    statuses.extend([run(&new).status, run(&new).status, run(&old).status]);
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(code(&run(&new)), "rate");
    // It may not ask for others.
    let asked = make(&limited, &new, &json!({ "replaces": new["id"], "limits": { "streams": 9 } }));
    assert!(asked.status == 400 && asked.text().contains("leave out"), "{}", asked.text());
    // Another key has a limit of its own.
    assert_eq!(run(&create(&limited, &["other", "--limit", "rpm=2"])).status, 200);
}
