//! Who is told what is used and what is left.

use serde_json::json;

use super::{Budgeted, CHAT, hundred};
use crate::harness::poll;

#[test]
fn at_80_and_100_percent_an_event_says_so_once() {
    let given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 500\n", hundred);
    let key = given.key(&["k"]);
    for _ in 0..3 {
        assert_eq!(given.run(&key), 200);
    }
    given.events("budget.low", 0);
    assert_eq!(given.run(&key), 200);
    let event = &given.events("budget.low", 1)[0];
    assert!(event["subject"].as_str().unwrap().starts_with("person:"), "{event}");
    let details = &event["details"];
    assert_eq!(
        (&details["budget"], &details["limit"], &details["used"], &details["renews_at"]),
        (&json!("tokens-per-day"), &json!(500), &json!(400), &json!("2030-11-21T00:00:00Z")),
        "{event}"
    );
    assert_eq!(given.run(&key), 200);
    given.events("budget.used-up", 1);
    given.events("budget.low", 1);
    assert_eq!(given.ask("/api/chat", &key, CHAT).status, 429);
    given.events("budget.used-up", 1);
}

#[test]
fn a_caller_sees_what_is_left_and_when_it_renews() {
    let given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 500\n", hundred);
    let key = given.key(&["job", "--limit", "tokens-per-hour=1k"]);
    assert_eq!(given.run(&key), 200);
    let balance = given.gateway.ask("GET", "/api/balance", &[&key], "").json();
    let of_key = json!({
        "name": "this key: tokens per hour", "limit": 1000, "used": 100, "remaining": 900, "unit": "tokens",
        "resets_at": "2030-11-20T13:00:00Z",
    });
    // What others use of the account's is not for this key.
    let of_account = json!({
        "name": "your account: tokens per day", "limit": 500, "unit": "tokens", "resets_at": "2030-11-21T00:00:00Z",
    });
    assert_eq!(balance["limits"], json!([of_key, of_account]));
    let shown = given.device.command(["usage", "--json"]).run().expect_code(0).json();
    let amount = &shown["balance"][0];
    assert_eq!(
        (&amount["used"], &amount["left"], &amount["limit"], &amount["unit"], &amount["resets_at"]),
        (&json!(100.0), &json!(400.0), &json!(500.0), &json!("tokens"), &json!("2030-11-21T00:00:00Z")),
        "{shown}"
    );
    let listed = given.device.command(["keys", "list"]).run().expect_code(0);
    assert!(listed.stdout().contains("tokens-per-hour=1k (100 used)"), "{}", listed.stdout());
}

#[test]
fn refusals_are_counted_and_recorded() {
    let given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 100\n", hundred);
    let key = given.key(&["k"]);
    assert_eq!([given.run(&key), given.run(&key)], [200, 429]);
    poll("the refusal beside the request", || {
        let shown = given.gateway.admin(&["usage", "--json"]).expect_code(0).json();
        let counts = ["refused", "requests", "total_tokens"].map(|member| shown["usage"][0][member].as_u64());
        (counts == [Some(1), Some(1), Some(100)]).then_some(())
    });
    poll("the event", || {
        let denied = given.gateway.admin(&["audit", "--code", "budget", "--json"]).expect_code(0).json();
        (denied["events"].as_array().unwrap().len() == 1).then_some(())
    });
}
