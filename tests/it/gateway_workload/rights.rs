//! What a rule grants, and when that ends: with the token, by a reload, and by an administrator.

use serde_json::{Value, json};

use super::{CLAIMS, Given, bearer, is_whole, key_of, rule};
use crate::gateway_limits::upstream::Mode;
use crate::harness::set_clock::SetClock;

#[test]
fn a_workload_may_do_what_its_rule_says_and_nothing_else() {
    let given = Given::usual(
        "scopes = [\"inference\"]\nmodels = [\"llama3*\"]\n[workload.limits]\nrequests-per-minute = 4\nburst = 4",
    );
    let token = given.token(&json!({}));
    let forbidden = given.ask(&token, "GET", "/api/tags", &Value::Null);
    assert_eq!((forbidden.status, forbidden.text().contains("models:read")), (403, true), "{}", forbidden.text());
    assert_eq!(given.ask(&token, "POST", "/api/pull", &json!({ "model": "llama3" })).status, 403);
    assert_eq!((given.chat(&token, "qwen3").status, given.chat(&token, "LLAMA3:latest").status), (403, 200));
    // The limits are the account's: another run has no others.
    let codes: Vec<u16> = (0..6).map(|_| given.chat(&given.token(&json!({})), "llama3").status).collect();
    assert!(codes.contains(&429), "{codes:?}");
    let limited = given.chat(&token, "llama3");
    assert!(limited.status == 429 && limited.header("retry-after").is_some(), "{limited:?}");

    // Accounts are not for it.
    for (method, target) in [
        ("GET", "/api/user/keys"),
        ("POST", "/api/signout"),
        ("DELETE", "/api/user/keys/a2V5XzEyMzQ1Njc4"),
        ("PATCH", "/api/user/keys/a2V5XzEyMzQ1Njc4?expires_in=1"),
    ] {
        let answer = given.ask(&token, method, target, &Value::Null);
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    assert_eq!(given.exchange(&token, &json!({ "replaces": "key_12345678" })).status, 403);
}

#[test]
fn a_token_ends_and_its_responses_go_on() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let given =
        Given::start_within(|issuer| rule("deploy", issuer, CLAIMS, "max-token-lifetime = \"10m\""), Some(&clock));
    let at = |iat: i64, exp: i64| given.token(&json!({ "iat": clock.now() + iat, "exp": clock.now() + exp }));
    let (short, long, old) = (at(0, 300), at(0, 6000), at(-900, 6000));
    let too_old = given.ask(&old, "GET", "/api/tags", &Value::Null);
    assert_eq!((too_old.status, &too_old.json()["code"]), (401, &"expired_token".into()));
    assert_eq!((given.status(&short), given.status(&long)), (200, 200));
    given.upstream.set(Mode::Held);
    let stream = given.begin(&short, "llama3");
    clock.pass(301);
    // No leeway at the end.
    assert_eq!((given.status(&short), given.status(&long)), (401, 200));
    clock.pass(300);
    assert_eq!(given.status(&long), 401, "older than the rule allows");
    given.upstream.release();
    assert!(is_whole(stream), "a response that was begun goes on");
}

#[test]
fn a_reload_that_narrows_or_removes_a_rule_ends_its_tokens_and_responses() {
    let given = Given::start(|issuer| rule("deploy", issuer, "{ project = \"app\", ref = \"refs/heads/*\" }", ""));
    let (main, dev) =
        (given.token(&json!({ "ref": "refs/heads/main" })), given.token(&json!({ "ref": "refs/heads/dev" })));
    assert_eq!((given.status(&main), given.status(&dev)), (200, 200));
    given.upstream.set(Mode::Held);
    let (of_main, of_dev) = (given.begin(&main, "llama3"), given.begin(&dev, "llama3"));
    let narrowed = |more: &str| rule("deploy", &given.issuer, "{ project = \"app\", ref = \"refs/heads/main\" }", more);
    given.reload(&narrowed(""));
    assert_eq!((given.status(&main), given.status(&dev)), (200, 401));
    assert!(!is_whole(of_dev), "its claims are not accepted any more");
    given.upstream.wait_left(1);
    // Other rules and limits end nothing.
    given.reload(&(rule("first", &given.issuer, CLAIMS, "") + &narrowed("[workload.limits]\nstreams = 9")));
    assert_eq!(given.upstream.left(), 1);
    let log = given.reload(&narrowed("models = [\"qwen*\"]"));
    assert!(log.contains("rights lost") && log.contains("workload:deploy"), "{log}");
    assert!(!is_whole(of_main), "its model is not allowed any more");

    let second = given.begin(&main, "qwen3");
    let key = key_of(&given.exchange(&main, &json!({ "models": ["qwen3"] })));
    let with_key = given.begin(&key, "qwen3");
    given.reload("");
    assert!(!is_whole(second) && !is_whole(with_key), "the rule is gone");
    assert_eq!((given.status(&main), given.status(&key)), (401, 403));
    given.event(["--code", "undefined_role"]);
    // It is there again, with the same account.
    given.upstream.release();
    given.reload(&narrowed(""));
    assert_eq!((given.status(&main), given.status(&key)), (200, 200));
    // A rule of another audience or issuer is another one.
    let other = narrowed("").replace("https://gpu.example.com", "https://other.example.com");
    given.reload(&other);
    assert_eq!(given.status(&main), 401);
}

#[test]
fn an_administrator_suspends_and_disables_a_service_account() {
    let given = Given::usual("");
    let token = given.token(&json!({}));
    assert_eq!(given.status(&token), 200);
    let key = key_of(&given.exchange(&given.token(&json!({})), &json!({})));
    given.upstream.set(Mode::Held);
    let (stream, of_key) = (given.begin(&token, "llama3"), given.begin(&key, "llama3"));
    given.gateway.admin(&["user", "suspend", "workload:deploy", "--reason", "leak"]).expect_code(0);
    assert!(!is_whole(stream) && !is_whole(of_key));
    for credential in [&token, &key] {
        let answer = given.ask(credential, "GET", "/api/tags", &Value::Null);
        assert_eq!((answer.status, &answer.json()["code"]), (403, &"suspended".into()));
    }
    given.gateway.admin(&["user", "resume", "workload:deploy"]).expect_code(0);
    assert_eq!(given.status(&token), 200);
    given.gateway.admin(&["user", "disable", "workload:deploy"]).expect_code(0);
    assert_eq!((given.status(&token), given.status(&key)), (403, 403));
    // A reload does not enable it.
    given.reload(&rule("deploy", &given.issuer, CLAIMS, "models = [\"*\"]"));
    assert_eq!(given.status(&token), 403);
    given.gateway.admin(&["user", "enable", "workload:deploy"]).expect_code(0);
    assert_eq!(given.status(&token), 200);
    given.gateway.admin(&["user", "addresses", "workload:deploy", "--deny", "127.0.0.0/8"]).expect_code(0);
    assert_eq!(given.status(&token), 403);
    // Its rule could make it again, and it would be active.
    given.gateway.admin(&["user", "disable", "workload:deploy"]).expect_code(0);
    given.reload("");
    let remove = ["user", "remove", "workload:deploy", "--yes"];
    let refused = given.gateway.admin(&remove);
    assert!(refused.code() != 0 && refused.stderr().contains("would be made again"), "{}", refused.snapshot());
    given.gateway.admin(&["user", "enable", "workload:deploy"]).expect_code(0);
    given.gateway.admin(&remove).expect_code(0);
}

#[test]
fn a_service_account_is_not_one_of_a_person() {
    let given = Given::usual("");
    let refused = |args: &[&str], words: &str| {
        let output = given.gateway.admin_with(args, "correct horse battery\n");
        assert_ne!(output.code(), 0, "{args:?}");
        assert!(output.stderr().contains(words), "{args:?}: {}", output.stderr());
    };
    let name = "workload:deploy";
    refused(&["user", "role", name, "admin"], "service account");
    refused(&["user", "passwd", name], "service account");
    refused(&["user", "remove", name, "--yes"], "workload rule that is in effect");
    refused(&["user", "role", "root", name], "invalid role");
    refused(&["user", "add", "workload:x", "--role", "member"], "invalid user name");
    refused(&["user", "add", "eve", "--role", name], "invalid role");
    let key = given.gateway.device_of("root");
    let shown = key.command(["device", "show", "--host", &given.gateway.url(), "--json"]).run().expect_code(0).json();
    let other = shown["public_key"].as_str().unwrap();
    given.gateway.admin(&["device", "disconnect", shown["fingerprint"].as_str().unwrap(), "--yes"]).expect_code(0);
    refused(&["device", "add", other, "--user", name, "--name", "x"], "service account");
    // Once the rule is gone, the account can go.
    given.reload("");
    given.gateway.admin(&["user", "remove", name, "--yes"]).expect_code(0);
    given.reload(&rule("deploy", &given.issuer, CLAIMS, ""));
    assert_eq!(given.status_with(&json!({})), 200);
}

#[test]
fn a_gateway_without_people_offers_to_make_the_first_administrator() {
    let issuer = crate::harness::hostile_issuer::HostileIssuer::start();
    let folder = crate::harness::cmd::Sandbox::new();
    let file = folder.write("gateway.toml", rule("deploy", &issuer, CLAIMS, ""));
    let upstream = crate::gateway_limits::upstream::Upstream::start();
    let mut gateway =
        crate::harness::gateway::Gateway::start_with(upstream.url(), &["--config", file.to_str().unwrap()]);
    assert!(gateway.listening()["setup_url"].is_string());
    // Also at the next start, where the service account is there, and without its rule.
    std::fs::write(&file, "").unwrap();
    gateway.end(rustix::process::Signal::TERM);
    gateway.restart();
    assert!(gateway.listening()["setup_url"].is_string());
}

#[test]
fn the_environment_of_a_rule_is_that_of_its_tokens_and_keys() {
    let environments = "[environments.ci]\nhosts = [\"ci.example\"]\n[environments.prod]\nhosts = [\"prod.example\"]\ntwo-proofs = [\"inference\"]\n\
                        [environments.open]\nhosts = [\"open.example\"]\nallow-unlabelled = true\n";
    let given = Given::start(|issuer| {
        environments.to_owned()
            + &rule("labelled", issuer, "{ project = \"app\", ci = true }", "environment = \"ci\"")
            + &rule("other", issuer, CLAIMS, "")
    });
    let at = |credential: &str, host: &str| {
        let head =
            format!("GET /api/tags HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n\r\n", bearer(credential));
        let answer = given.gateway.raw(head);
        String::from_utf8_lossy(&answer)[9..12].parse::<u16>().unwrap()
    };
    let own = given.gateway.address();
    let (labelled, other) = (given.token(&json!({ "ci": true })), given.token(&json!({})));
    let statuses =
        |credential: &str| [&*own, "ci.example", "prod.example", "open.example"].map(|host| at(credential, host));
    assert_eq!(statuses(&labelled), [200, 200, 403, 403]);
    assert_eq!(statuses(&other), [200, 403, 403, 200]);
    for (token, asked) in [(&labelled, "prod"), (&labelled, "none"), (&other, "ci")] {
        let refused = given.exchange(token, &json!({ "environment": asked }));
        assert_eq!((refused.status, &refused.json()["code"]), (403, &"environment".into()), "{}", refused.text());
    }
    let (of_labelled, of_other) =
        (key_of(&given.exchange(&labelled, &json!({}))), key_of(&given.exchange(&other, &json!({}))));
    assert_eq!(statuses(&of_labelled), [200, 200, 403, 403]);
    assert_eq!(statuses(&of_other), [200, 403, 403, 200]);
    // The rule moves to another environment, and its keys do not open the old one any more.
    given.reload(
        &(environments.to_owned()
            + &rule("labelled", &given.issuer, "{ project = \"app\", ci = true }", "environment = \"prod\"")),
    );
    assert_eq!(statuses(&labelled), [200, 403, 200, 403]);
    assert_eq!(statuses(&of_labelled), [403, 403, 403, 403]);
    // A token is not two proofs.
    let chat = given.chat(&labelled, "llama3");
    assert_eq!(
        (chat.status, &chat.json()["code"], &chat.json()["missing"]),
        (403, &"second_proof".into(), &"api_key".into())
    );
}

#[test]
fn a_request_is_explained_and_a_response_shown() {
    let given = Given::usual("models = [\"llama3*\"]");
    let explain = |model: &str| {
        let args =
            ["policy", "explain", "--user", "workload:deploy", "--route", "POST /api/chat", "--model", model, "--json"];
        given.gateway.admin(&args)
    };
    assert_eq!((explain("llama3").code(), explain("qwen3").code()), (0, 5));
    assert!(explain("qwen3").stdout().contains("[[workload]] deploy"));
    given.upstream.set(Mode::Held);
    let token = given.token(&json!({}));
    let _stream = given.begin(&token, "llama3");
    let top = given.gateway.admin(&["top", "--json"]).expect_code(0).json();
    let row = &top["streams"][0];
    assert_eq!(
        (&row["user"], &row["credential"], &row["name"]),
        (&"workload:deploy".into(), &"workload:deploy".into(), &"42".into())
    );
    given.upstream.release();
}
