//! Keys with a label: who makes them, and which rules they follow wherever they are used.

use jiff::Timestamp;
use serde_json::json;

use super::{BOTH, Given, PROD_HOST, STAGING_HOST, code, header};
use crate::harness::set_clock::SetClock;

#[test]
fn a_key_makes_keys_with_its_own_label_only() {
    let given = Given::start(BOTH);
    let [prod, staging, ci, plain] = ["prod", "staging", "ci", ""].map(|label| given.key(label));
    for (by, asked, wanted) in [
        (&prod, json!(null), Some("prod")),
        (&prod, json!("prod"), Some("prod")),
        (&prod, json!("staging"), None),
        (&prod, json!("ci"), None),
        (&staging, json!("prod"), None),
        (&ci, json!(null), Some("ci")),
        (&ci, json!("prod"), None),
        (&plain, json!(null), Some("")),
        (&plain, json!("prod"), None),
        // Otherwise it would have a key for the environment as soon as that is defined.
        (&plain, json!("canary"), None),
    ] {
        let made = given.make(by, &json!({ "name": "child", "environment": asked }));
        match wanted {
            Some(label) => {
                let label = if label.is_empty() { json!(null) } else { json!(label) };
                assert_eq!((made.status, &made.json()["environment"]), (201, &label), "{asked}: {}", made.text());
            }
            None => assert_eq!((made.status, &*code(&made)), (403, "environment"), "{asked}: {}", made.text()),
        }
    }
    // What replaces a key has its label; and only a key with the same one, or a person, replaces it.
    let replaced = given.make(&prod, &json!({ "replaces": prod["id"] }));
    assert_eq!((replaced.status, &replaced.json()["environment"]), (201, &json!("prod")), "{}", replaced.text());
    assert_eq!(given.run_at(PROD_HOST, &header(&replaced.json())).status, 200);
    for by in [&staging, &ci, &plain] {
        let other = given.make(by, &json!({ "replaces": replaced.json()["id"] }));
        assert_eq!((other.status, &*code(&other)), (403, "environment"), "{}", other.text());
    }
    // Nor does a key replace one that is accepted at more places than itself, which would free it of the rules of its environment.
    for (by, old, wanted) in [(&prod, &plain, 403), (&staging, &ci, 403), (&plain, &ci, 201)] {
        let other = given.make(by, &json!({ "replaces": old["id"] }));
        assert_eq!(other.status, wanted, "{} by {}: {}", old["environment"], by["environment"], other.text());
        assert_eq!(code(&other) == "environment", wanted == 403, "{}", other.text());
    }
    let device = ["keys", "rotate"];
    assert!(given.device.command(device).run().code() != 0, "it has no profile's key to rotate");
}

#[test]
fn a_role_that_does_not_allow_an_environment_makes_and_uses_no_key_for_it() {
    let tables = |names: &str| format!("[roles.member]\nenvironments = [{names}]\n{BOTH}");
    let given = Given::start(&tables("\"staging\", \"prod\""));
    let (prod, plain) = (given.key("prod"), given.key(""));
    let log = given.reload(&tables("\"staging\""));
    assert!(log.contains("rights lost") && log.contains(prod["id"].as_str().unwrap()), "{log}");
    assert!(!log.contains(plain["id"].as_str().unwrap()), "{log}");
    // Also where its environment has no name.
    for host in [PROD_HOST, &given.gateway.address()] {
        let refused = given.run_at(host, &header(&prod));
        assert_eq!((refused.status, &*code(&refused)), (403, "environment"), "{}", refused.text());
        assert!(refused.text().contains("your role does not allow the environment prod"), "{}", refused.text());
    }
    let made = given.device.command(["keys", "create", "k", "--env", "prod"]).run().expect_code(5);
    assert!(made.stderr().contains("does not allow the environment prod"), "{}", made.stderr());
    assert_eq!(given.run_at(STAGING_HOST, &header(&given.key("staging"))).status, 200);
    assert_eq!(given.run_at(&given.gateway.address(), &header(&plain)).status, 200);
    // Back again, it is as before.
    given.reload(BOTH);
    assert_eq!(given.run_at(PROD_HOST, &header(&prod)).status, 200);
}

#[test]
fn limits_of_an_environment_are_those_of_all_in_it_and_of_each_person() {
    let clock = SetClock::at(Timestamp::now().as_second());
    let tables = "[environments.prod]\nhosts = [\"prod.example\"]\nallow-unlabelled = true\n\
                  limits = { requests-per-minute = 60, burst = 4, request-size = \"50B\" }\n\
                  [environments.prod.role-limits.member]\nrequests-per-minute = 60\nburst = 3\n";
    let given = Given::start_within(tables, "member", Some(&clock));
    let (prod, plain) = (given.key("prod"), given.key(""));
    let root = given.gateway.key(&given.gateway.device_added_to("root"), &["k", "--env", "prod"]);
    let root = format!("Authorization: Bearer {root}");
    let public = given.gateway.address();
    clock.set(clock.now());
    // The key is in its environment at every name, the plain one at the name of the environment.
    let mut statuses = vec![
        given.run_at(PROD_HOST, &header(&prod)).status,
        given.run_at(&public, &header(&prod)).status,
        given.run_at(PROD_HOST, &header(&plain)).status,
    ];
    let refused = given.run_at(PROD_HOST, &header(&prod));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"person-in:prod\";q=60;w=60"), "{}", refused.text());
    assert!(refused.text().contains("your account in the environment prod"), "{}", refused.text());
    statuses.push(given.run_at(PROD_HOST, &root).status);
    let refused = given.run_at(&public, &root);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"environment:prod\";q=60;w=60"), "{}", refused.text());
    assert_eq!((statuses, code(&refused)), (vec![200; 4], "rate".to_owned()));
    // Outside of it nothing is used up.
    assert_eq!(given.run_at(&public, &header(&plain)).status, 200);
    clock.pass(60);
    let size = given.ask_at(&public, PROD_HOST, "POST", "/api/chat", &format!("{}\r\nX: {}", header(&prod), "y"));
    assert_eq!(size.status, 200);
}

#[test]
fn no_key_in_an_environment_is_older_than_that_allows() {
    let clock = SetClock::at(Timestamp::now().as_second());
    let tables = |days: &str| {
        format!(
            "{BOTH}[environments.old]\nallow-unlabelled = true\nhosts = [\"old.example\"]\nmax-key-age = \"{days}\"\n"
        )
    };
    let given = Given::start_within(&tables("30d"), "member", Some(&clock));
    let (old, plain) = (given.key_with(&["--env", "old", "--expires", "30d"]), given.key(""));
    let days = |key: &serde_json::Value| {
        let time = |name: &str| key[name].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
        (time("expires_at") - time("created_at")) / 86_400
    };
    assert_eq!((days(&old), days(&plain)), (30, 90));
    let long = given.device.command(["keys", "create", "k", "--env", "old", "--expires", "31d"]).run().expect_code(5);
    assert!(long.stderr().contains("the environment old allows keys of at most 30 days"), "{}", long.stderr());
    let log = given.reload(&tables("10d"));
    assert!(log.contains("it expires earlier") && log.contains(old["id"].as_str().unwrap()), "{log}");
    clock.pass(11 * 86_400);
    let public = given.gateway.address();
    for (host, key) in [("old.example", &old), (&*public, &old), ("old.example", &plain)] {
        let refused = given.run_at(host, &header(key));
        assert_eq!(refused.status, 401, "{host}: {}", refused.text());
        assert!(refused.text().contains("is older than the environment old allows"), "{}", refused.text());
    }
    assert_eq!(given.run_at(&public, &header(&plain)).status, 200);
    assert!(!given.events("key_age").is_empty());
    given.reload(&tables("30d"));
    assert_eq!(given.run_at("old.example", &header(&old)).status, 200);
    // What replaces it lives as long as the environment allows, and not longer.
    let new = given.make(&old, &json!({ "replaces": old["id"] })).json();
    assert_eq!(days(&new), 30);
}

#[test]
fn a_label_counts_once_it_is_defined_and_no_longer_than_that() {
    let given = Given::start("");
    let (prod, plain) = (given.key("prod"), given.key(""));
    let public = given.gateway.address();
    // Without environments a key makes keys with any label.
    assert_eq!(given.make(&plain, &json!({ "name": "child", "environment": "x" })).status, 201);
    assert_eq!(given.run_at(&public, &header(&prod)).status, 200);
    assert!(!given.reload(BOTH).contains("rights lost"));
    assert_eq!(given.run_at(PROD_HOST, &header(&prod)).status, 200);
    assert_eq!(code(&given.run_at(STAGING_HOST, &header(&prod))), "environment");
    let log = given.reload(&BOTH.replace("prod", "other"));
    assert!(log.contains("rights lost") && log.contains(prod["id"].as_str().unwrap()), "{log}");
    assert_eq!(code(&given.run_at("other.example", &header(&prod))), "environment");
    assert_eq!(given.run_at(&public, &header(&prod)).status, 200);
    // The upstream server is told of the environment, as the client is of the code.
    given.reload(BOTH);
    let client = given.device.command(["keys", "create", "k2"]).run().expect_code(0);
    assert!(client.stdout().starts_with("olauth_"));
}

#[test]
fn a_command_says_what_to_do_about_the_wrong_environment() {
    let given = Given::start(BOTH);
    let prod = given.key("prod");
    given.reload(&format!("{BOTH}[roles.member]\nenvironments = [\"staging\"]\n"));
    let url = given.gateway.url();
    let list = given.device.command(["list", "--host", &url]).env("OLLAMA_API_KEY", prod["key"].as_str().unwrap());
    let refused = list.run().expect_code(5);
    let stderr = refused.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains("your role does not allow the environment prod"), "{stderr}");
    assert!(stderr.contains("use an API key with the label of that environment"), "{stderr}");
    let create = given.device.command(["keys", "create", "k", "--env", "prod", "--host", &url]).run().expect_code(5);
    let stderr = create.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains("if your role does not allow the environment, ask the administrator"), "{stderr}");
}
