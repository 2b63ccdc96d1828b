//! A token becomes an API key that is valid for minutes, once.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CLAIMS, Given, key_of, rule};
use crate::harness::set_clock::SetClock;

#[test]
fn a_token_is_exchanged_for_a_key_within_the_rule() {
    let given = Given::usual("models = [\"llama3*\", \"qwen3\"]\nmax-key-lifetime = \"10m\"");
    let made = given.exchange(&given.token(&json!({})), &json!({}));
    let key = key_of(&made);
    let shown = made.json();
    assert_eq!(shown["name"], "deploy 42");
    assert_eq!(shown["scopes"], json!(["inference", "models:read"]));
    assert_eq!(shown["models"], json!(["llama3*", "qwen3:latest"]));
    assert_eq!((&shown["replaceable"], &shown["created_by"]), (&false.into(), &"workload:deploy".into()));
    let time = |member: &str| shown[member].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("expires_at") - time("created_at"), 600);
    assert_eq!((given.chat(&key, "llama3.2").status, given.chat(&key, "mistral").status), (200, 403));
    let me = given.me(&key).json();
    assert_eq!((&me["name"], &me["workload"]), (&"workload:deploy".into(), &Value::Null));
    let event = given.event(["--action", "key.created"]);
    assert_eq!((&event["actor"], &event["details"]["run"]), (&"workload:deploy".into(), &"42".into()));
    assert_eq!(given.event(["--action", "workload.token_exchanged"])["details"]["key"], shown["id"]);

    // It does nothing for itself but end.
    for body in [json!({ "name": "child" }), json!({ "replaces": shown["id"] })] {
        assert_eq!(given.exchange(&key, &body).status, 403, "{body}");
    }
    assert_eq!(given.ask(&key, "GET", "/api/user/keys", &Value::Null).json()["keys"].as_array().unwrap().len(), 1);
    let id = {
        use base64::Engine as _;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(shown["id"].as_str().unwrap())
    };
    assert_eq!(given.ask(&key, "DELETE", &format!("/api/user/keys/{id}"), &Value::Null).status, 200);
    assert_eq!(given.status(&key), 401);
}

#[test]
fn a_key_is_never_more_than_the_rule() {
    let given = Given::usual("scopes = [\"inference\"]\nmodels = [\"llama3*\"]");
    // What is refused uses up nothing.
    let token = given.token(&json!({}));
    for body in [
        json!({ "scopes": ["models:read"] }),
        json!({ "scopes": ["inference", "keys"] }),
        json!({ "scopes": ["admin"] }),
        json!({ "scopes": ["keys"] }),
        json!({ "models": ["*"], "scopes": ["inference"] }),
        json!({ "models": ["llama*"] }),
        json!({ "models": ["qwen3"] }),
        json!({ "expires_in": 901 }),
        json!({ "expires_in": null }),
        json!({ "expires_in": 86_400 }),
        json!({ "replaceable": true }),
        json!({ "replaces": "key_12345678" }),
    ] {
        let refused = given.exchange(&token, &body);
        assert_eq!(refused.status, 403, "{body}: {}", refused.text());
    }
    let refused = given.exchange(&token, &json!({ "expires_in": 901 }));
    assert!(refused.text().contains("at most 15 minutes"), "{}", refused.text());
    for body in [json!({ "scopes": [] }), json!({ "expires_in": 0 }), json!({ "id": "x" }), json!({ "unknown": 1 })] {
        assert_eq!(given.exchange(&token, &body).status, 400, "{body}");
    }
    let body = json!({ "id": "key_abcdefgh1234", "name": "job", "scopes": ["inference"], "models": ["llama3.2"], "expires_in": 60, "replaceable": false, "from": ["127.0.0.1/32"] });
    let made = given.exchange(&token, &body);
    let key = key_of(&made);
    assert_eq!((&made.json()["id"], &made.json()["name"]), (&"key_abcdefgh1234".into(), &"job".into()));
    assert_eq!((given.chat(&key, "llama3.2").status, given.chat(&key, "llama3.1").status), (200, 403));
}

#[test]
fn a_token_is_exchanged_once() {
    let mut given = Given::usual("");
    let token = given.token(&json!({ "jti": "one" }));
    // Several at a time: one of them.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| given.exchange(&token, &json!({})).status)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    let again = given.exchange(&token, &json!({}));
    assert_eq!((again.status, &again.json()["code"]), (409, &"exchanged_token".into()), "{}", again.text());
    given.event(["--code", "exchanged_token"]);
    // The same id in another token is the same.
    assert_eq!(given.exchange(&given.token(&json!({ "jti": "one", "x": 1 })), &json!({})).status, 409);
    // Without an id the claims count, and not the signature.
    let unnamed = given.token(&json!({ "jti": null, "iat": jiff::Timestamp::now().as_second() - 5, "exp": jiff::Timestamp::now().as_second() + 300 }));
    assert_eq!((given.exchange(&unnamed, &json!({})).status, given.exchange(&unnamed, &json!({})).status), (201, 409));
    // As a token it is still good.
    assert_eq!(given.status(&token), 200);

    // A restart forgets nothing.
    let unused = given.token(&json!({ "jti": "unused" }));
    // Its issuer's clock is ahead.
    let early = given.token(&json!({ "jti": "early", "iat": jiff::Timestamp::now().as_second() + 50 }));
    assert_eq!((given.exchange(&early, &json!({})).status, given.exchange(&early, &json!({})).status), (201, 409));
    given.gateway.end(Signal::TERM);
    given.gateway.restart();
    assert_eq!(given.exchange(&token, &json!({})).status, 409);
    assert_eq!(given.exchange(&unnamed, &json!({})).status, 409);
    assert_eq!(given.exchange(&early, &json!({})).status, 409);
    assert_eq!((given.exchange(&unused, &json!({})).status, given.exchange(&unused, &json!({})).status), (201, 409));
}

#[test]
fn a_key_lives_as_long_as_the_rule_says_now() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let given = Given::start_within(|issuer| rule("deploy", issuer, CLAIMS, "max-key-lifetime = \"2h\""), Some(&clock));
    let token = || given.token(&json!({ "iat": clock.now(), "exp": clock.now() + 300 }));
    let (one, other) = (
        key_of(&given.exchange(&token(), &json!({}))),
        key_of(&given.exchange(&token(), &json!({ "expires_in": 60 }))),
    );
    clock.pass(61);
    assert_eq!((given.status(&one), given.status(&other)), (200, 401));
    clock.pass(3600);
    assert_eq!(given.status(&one), 200, "longer than its token");
    let log = given.reload(&rule("deploy", &given.issuer, CLAIMS, "max-key-lifetime = \"15m\""));
    assert!(log.contains("rights lost"), "{log}");
    assert_eq!(given.status(&one), 401);
}

#[test]
fn the_client_exchanges_a_token_of_a_file() {
    let given = Given::usual("");
    let mut job = crate::harness::cmd::Sandbox::new();
    // The client sends a token only to the host that it is for.
    let url = given.gateway.url();
    given.reload(&rule("deploy", &given.issuer, CLAIMS, "").replace(super::AUDIENCE, &url));
    let end = jiff::Timestamp::now().as_second() + 600;
    let file = job.write("token", given.token(&json!({ "aud": url, "exp": end })));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    job.set_env("OLLAMA_AUTH_OIDC_TOKEN_FILE", &file);
    job.set_env("OLLAMA_HOST", given.gateway.url());
    job.set_env("OLLAMA_AUTH_STORE", "plaintext");
    let key = job.command(["keys", "create", "build", "--from-oidc"]).run().expect_code(0).stdout().trim().to_owned();
    assert_eq!(given.status(&key), 200);
    let again = job.command(["keys", "create", "build", "--from-oidc"]).run();
    assert!(again.code() == 1 && again.stderr().contains("a token makes one key"), "{}", again.snapshot());
}
