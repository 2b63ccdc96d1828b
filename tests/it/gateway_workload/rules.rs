//! Which rule accepts a token, how it may be sent, and what the event log and `/api/me` say of it.

use serde_json::{Value, json};

use super::{AUDIENCE, CLAIMS, Given, bearer, rule};
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::set_clock::SetClock;

#[test]
fn a_token_of_the_rule_is_accepted_and_named() {
    let given = Given::usual("");
    let token = given.token(&json!({}));
    let me = given.me(&token);
    assert_eq!(me.status, 200, "{}", me.text());
    let me = me.json();
    assert_eq!(me["workload"], json!({ "rule": "deploy", "subject": "project:app", "run": "42" }));
    assert_eq!((&me["name"], &me["role"]), (&"workload:deploy".into(), &"workload:deploy".into()));
    assert!(me["id"].as_str().unwrap().len() == 36 && me["email"] == "");
    assert_eq!(given.chat(&token, "llama3").status, 200);

    let users = given.gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let accounts = users["users"].as_array().unwrap();
    let account = accounts.iter().find(|user| user["name"] == "workload:deploy").unwrap();
    assert_eq!((&account["id"], &account["role"]), (&me["id"], &"workload:deploy".into()));
    let made = given.event(["--action", "workload.account_created"]);
    assert_eq!((&made["subject"], &made["account_id"]), (&"workload:deploy".into(), &me["id"]));
}

#[test]
fn a_token_may_be_sent_as_a_key_is() {
    let given = Given::usual("");
    let token = given.token(&json!({ "pad": "x".repeat(5000) }));
    let basic = {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(format!("x:{token}"))
    };
    for header in [bearer(&token), format!("X-API-Key: {token}"), format!("Authorization: Basic {basic}")] {
        assert_eq!(given.gateway.ask("GET", "/api/tags", &[&header], "").status, 200, "{}", &header[..30]);
    }
    // Programs ask these to find out whether a key is good.
    assert_eq!(given.ask(&token, "GET", "/", &Value::Null).status, 200);
    let other = given.token(&json!({ "project": "other" }));
    assert_eq!(given.ask(&other, "GET", "/", &Value::Null).status, 401);
    // Beside another credential it is refused, whichever is good.
    for header in ["X-API-Key: olauth_abc", "X-Ollama-Auth-Signature: 1:a:b"] {
        assert_eq!(given.gateway.ask("GET", "/api/tags", &[&bearer(&token), header], "").status, 400, "{header}");
    }
    // Account endpoints are not for what browsers send unasked.
    let header = format!("Authorization: Basic {basic}");
    assert_eq!(given.gateway.ask("POST", "/api/me", &[&header], "").status, 401);
}

#[test]
fn a_token_does_not_come_to_another_rule_by_its_age() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let rules = |issuer: &HostileIssuer| {
        rule(
            "low",
            issuer,
            "{ project = \"app\", stage = \"pr\" }",
            "scopes = [\"models:read\"]\nmax-token-lifetime = \"1m\"",
        ) + &rule("high", issuer, CLAIMS, "")
    };
    let given = Given::start_within(rules, Some(&clock));
    let token = given.token(&json!({ "stage": "pr", "iat": clock.now() - 50, "exp": clock.now() + 600 }));
    assert_eq!((given.status(&token), given.chat(&token, "llama3").status), (200, 403));
    clock.pass(11);
    let refused = given.me(&token);
    assert_eq!((refused.status, &refused.json()["code"]), (401, &"expired_token".into()), "{}", refused.text());
    assert_eq!(given.chat(&token, "llama3").status, 401);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let given = Given::start(|issuer| {
        rule("special", issuer, "{ project = \"app\", stage = [\"prod\", \"test-*\"] }", "")
            + &rule("usual", issuer, CLAIMS, "")
            + &rule("late", issuer, CLAIMS, "")
    });
    let of = |claims: Value| given.me(&given.token(&claims)).json()["workload"]["rule"].clone();
    assert_eq!(of(json!({ "stage": "prod" })), "special");
    assert_eq!(of(json!({ "stage": "test-1" })), "special");
    assert_eq!(of(json!({ "stage": "other" })), "usual");
    assert_eq!(of(json!({})), "usual");
}

#[test]
fn claims_in_objects_and_lists_are_compared() {
    let claims = "{ groups = \"gpu\", level = 3, admin = true, \"kubernetes.io\" = { namespace = \"ci\", serviceaccount = { name = \"runner-*\" } } }";
    let given = Given::start(|issuer| rule("pods", issuer, claims, ""));
    let pod = |namespace: &str, account: &str| json!({ "namespace": namespace, "serviceaccount": { "name": account }, "pod": { "name": "pod-7" } });
    let good = json!({
        "groups": ["a", "gpu"], "level": 3, "admin": true, "kubernetes.io": pod("ci", "runner-1"), "run_id": null,
    });
    let me = given.me(&given.token(&good));
    assert_eq!(me.json()["workload"]["run"], "pod-7", "{}", me.text());
    for (member, value) in [
        ("groups", json!(["a", "b"])),
        ("groups", json!([["gpu"]])),
        ("groups", json!({ "gpu": true })),
        ("level", json!(4)),
        ("level", json!([])),
        ("admin", json!(false)),
        ("admin", json!(null)),
        ("kubernetes.io", pod("prod", "runner-1")),
        ("kubernetes.io", pod("ci", "runner")),
        ("kubernetes.io", json!("ci")),
        ("kubernetes.io", json!([pod("ci", "runner-1")])),
    ] {
        let mut claims = good.clone();
        claims[member] = value;
        assert_eq!(given.status_with(&claims), 401, "{claims}");
    }
    assert_eq!(given.status_with(&good), 200);
}

#[test]
fn rules_of_the_known_providers_accept_their_tokens() {
    let given = Given::start(|issuer| {
        rule("hub", issuer, "{ repository_id = \"7\", environment = \"prod\" }", "provider = \"github\"")
            + &rule("lab", issuer, "{ project_id = \"9\", ref_protected = true }", "provider = \"gitlab\"")
    });
    let of = |claims: Value| given.me(&given.token(&claims)).json()["workload"].clone();
    let hub = json!({ "repository_id": "7", "environment": "prod", "event_name": "push", "run_id": "1", "sub": "repo:a/b:environment:prod" });
    assert_eq!(of(hub), json!({ "rule": "hub", "subject": "repo:a/b:environment:prod", "run": "1" }));
    let lab = json!({ "project_id": "9", "ref_protected": "true", "pipeline_id": "5", "job_id": "6", "run_id": null });
    assert_eq!(of(lab), json!({ "rule": "lab", "subject": "project:app", "run": "5/6" }));
}

#[test]
fn a_refused_token_is_explained_to_the_administrator_alone() {
    let given = Given::start(|issuer| {
        rule("far", issuer, "{ project = \"x\", stage = \"prod\", team = \"t\" }", "")
            + &rule("near", issuer, "{ project = \"app\", stage = \"prod\" }", "")
    });
    let token = given.token(&json!({ "stage": "dev" }));
    let answer = given.ask(&token, "GET", "/api/tags", &Value::Null);
    assert_eq!((answer.status, &answer.json()["code"]), (401, &"no_workload".into()));
    for secret in ["stage", "prod", "near", "project"] {
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
    let event = given.event(["--code", "no_workload"]);
    let details = &event["details"];
    assert_eq!((&details["rule"], &details["mismatch"]), (&"near".into(), &"claim stage".into()), "{event}");
    assert_eq!((&details["token_subject"], &details["issuer"]), (&"project:app".into(), &given.issuer.issuer().into()));
    assert_eq!((&event["actor"], &event["action"]), (&"gateway".into(), &"credential.refused".into()));

    // The same on the command line, with everything that differs.
    let explained = given.explain(&token);
    assert_eq!(explained.code(), 4);
    let explained = explained.json();
    assert_eq!(explained["accepted_by"], Value::Null);
    assert_eq!(explained["rules"][1], json!({ "rule": "near", "mismatches": ["stage is \"dev\", and must be prod"] }));
    assert_eq!(explained["rules"][0]["mismatches"].as_array().unwrap().len(), 3, "{explained}");
    let good = given.explain(&given.token(&json!({ "stage": "prod" }))).expect_code(0).json();
    assert_eq!((&good["accepted_by"], &good["run"], &good["problem"]), (&"near".into(), &"42".into(), &Value::Null));

    for (token, code, words) in [
        (HostileIssuer::start().token(json!({ "aud": AUDIENCE })), "unknown_issuer", "no workload rule is for tokens"),
        (given.token(&json!({ "aud": "https://other.example" })), "invalid_token", "another audience"),
        (given.token(&json!({ "exp": 1000, "iat": 900 })), "expired_token", "expired"),
        (format!("eyJh.{}.AAAA", "e30"), "invalid_token", "names its issuer"),
    ] {
        let answer = given.ask(&token, "GET", "/api/tags", &Value::Null);
        assert_eq!((answer.status, &answer.json()["code"]), (401, &code.into()), "{}", answer.text());
        given.event(["--code", code]);
        let explained = given.explain(&token);
        let problem = explained.json()["problem"].as_str().unwrap().to_owned();
        assert!(explained.code() == 4 && problem.contains(words), "{problem}");
    }
}

#[test]
fn what_a_workload_does_is_recorded_with_its_run() {
    let given = Given::usual("scopes = [\"models:read\"]");
    let token = given.token(&json!({ "sub": "a\"b\u{202e}", "run_id": "r-1" }));
    assert_eq!(given.chat(&token, "llama3").status, 403);
    let event = given.event(["--code", "scope"]);
    assert_eq!((&event["actor"], &event["account"]), (&"workload:deploy".into(), &"workload:deploy".into()));
    assert_eq!(event["details"]["run"], "r-1", "{event}");
    assert_eq!(event["details"]["workload_subject"], "a\"b\u{202e}");
    // It is found by the rule's name, too.
    let found = given.gateway.admin(&["audit", "--subject", "deploy", "--json"]).expect_code(0).json();
    assert!(!found["events"].as_array().unwrap().is_empty());
    let shown = given.gateway.admin(&["audit", "--code", "scope"]).expect_code(0).stdout().to_owned();
    assert!(shown.contains("workload:deploy") && !shown.contains('\u{202e}'), "{shown}");
}
