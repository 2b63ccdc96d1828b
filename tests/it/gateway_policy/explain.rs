//! What `gateway policy explain` says is what becomes of the request.

use serde_json::{Value, json};

use super::Given;

const TABLES: &str = "[roles.member]\nmodels-by-scope = { inference = [\"llama3*\"] }\nmax-key-lifetime = \"90d\"\n\
                      [[caps]]\nroles = [\"member\"]\nnum-ctx = 4096\n";

const LIMITS: &str = "[limits]\nrequests-per-minute = 2\n[roles.member.limits]\nstreams = 3\n";

/// The explanation of a request, and whether the exit code fits it.
fn explain(given: &Given, who: [&str; 2], route: &str, more: &[&str]) -> Value {
    let args = [&["policy", "explain", who[0], who[1], "--route", route, "--json"], more].concat();
    let output = given.gateway.admin(&args);
    let explained = output.json();
    output.expect_code(if explained["allowed"] == json!(true) { 0 } else { 5 });
    explained
}

/// Makes the request, explains it, and compares: `Ok` or the code of the refusal.
fn compare(given: &Given, route: &str, model: &str, wanted: Result<(), &str>) {
    let (method, path) = route.split_once(' ').unwrap();
    let header = format!("Authorization: Bearer {}", given.secret);
    let body = json!({ "model": model }).to_string();
    let explained = explain(given, ["--key", &given.key], route, &["--model", model]);
    let answer = given.gateway.ask(method, path, &[&header, "Content-Type: application/json"], &body);
    assert_eq!(answer.status < 300, wanted.is_ok(), "{route} {model}: {} {}", answer.status, answer.text());
    let code = explained["decided_by"]["code"].as_str();
    assert_eq!(code, wanted.err(), "{route} {model}: {explained}");
    let Err(code) = wanted else { return };
    let events = || given.gateway.admin(&["audit", "--code", code, "--json"]).expect_code(0).json();
    crate::harness::poll(code, || (!events()["events"].as_array().unwrap().is_empty()).then_some(()));
}

#[test]
fn an_explanation_and_the_request_agree() {
    let given = Given::start(TABLES);
    compare(&given, "POST /api/chat", "llama3.2", Ok(()));
    compare(&given, "GET /api/tags", "any", Err("scope"));
    compare(&given, "POST /api/chat", "qwen3", Err("model"));
    compare(&given, "POST /v1/chat/completions", "qwen3", Err("model"));
    let admin = |args: &[&str]| given.gateway.admin(args).expect_code(0);
    admin(&["user", "role", "ada", "viewer"]);
    compare(&given, "POST /api/chat", "llama3.2", Err("scope"));
    admin(&["user", "role", "ada", "member"]);
    admin(&["key", "suspend", &given.key]);
    compare(&given, "POST /api/chat", "llama3.2", Err("suspended"));
    admin(&["key", "resume", &given.key]);
    admin(&["user", "suspend", "ada"]);
    compare(&given, "POST /api/chat", "qwen3", Err("suspended"));
    admin(&["user", "resume", "ada"]);
    admin(&["user", "disable", "ada"]);
    compare(&given, "POST /api/chat", "llama3.2", Err("disabled_account"));
    admin(&["user", "enable", "ada"]);
    compare(&given, "POST /api/chat", "llama3.2", Ok(()));
    admin(&["key", "revoke", &given.key, "--yes"]);
    compare(&given, "POST /api/chat", "llama3.2", Err("revoked_key"));
}

#[test]
fn every_rule_is_listed_with_its_place_and_nothing_is_used_up() {
    let given = Given::start(&format!("{TABLES}{LIMITS}"));
    let explained = explain(&given, ["--key", &given.key], "POST /api/chat", &["--model", "llama3.2"]);
    let rules: Vec<[&str; 3]> = explained["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| ["rule", "of", "verdict"].map(|member| step[member].as_str().unwrap()))
        .collect();
    let key = format!("key {}", given.key);
    for wanted in [
        ["validity", &key, "allows"],
        ["age", "[roles.member]", "allows"],
        ["state", "account ada", "allows"],
        ["scope", &key, "allows"],
        ["scope", "[roles.member]", "allows"],
        ["models", "[roles.member]", "allows"],
        ["limits", "account ada", "allows"],
        ["limits", "[limits]", "allows"],
        ["cap", "[[caps]]", "unknown"],
    ] {
        assert!(rules.contains(&wanted), "{wanted:?} is missing: {rules:?}");
    }
    // A device of a person, and what is left out.
    let device = explain(&given, ["--user", "ada"], "POST /api/chat", &[]);
    let says = "only llama3*; the model is not given";
    assert!(device["rules"].as_array().unwrap().iter().any(|step| step["detail"] == json!(says)), "{device}");
    let listed = given.gateway.admin(&["key", "list", "--json"]).expect_code(0).json();
    assert_eq!(listed["keys"][0]["last_used_at"], json!(null));
}

#[test]
fn what_is_used_of_a_limit_is_said() {
    let given = Given::start(LIMITS);
    for _ in 0..2 {
        compare(&given, "POST /api/chat", "llama3.2", Ok(()));
    }
    let refused = explain(&given, ["--key", &given.key], "POST /api/chat", &[]);
    let decided = &refused["decided_by"];
    assert_eq!((&decided["code"], &decided["of"]), (&json!("rate"), &json!("[limits]")), "{refused}");
    assert_eq!(decided["detail"], json!("2 requests per minute (2 requests of the burst used)"));
}

#[test]
fn maintenance_and_the_proofs_of_account_endpoints_are_explained() {
    let given = Given::start("");
    given.folder.write("gateway.toml", "[roles.member]\ntwo-proofs = [\"keys\"]\n");
    given.gateway.child().signal(rustix::process::Signal::HUP);
    given.gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    let who = ["--key", &*given.key];
    for route in ["GET /api/user/keys", "POST /api/user/keys"] {
        let explained = explain(&given, who, route, &[]);
        let demands = |step: &Value| step["rule"] == "two proofs" && step["of"] == "[roles.member]";
        assert!(explained["rules"].as_array().unwrap().iter().any(demands), "{explained}");
    }
    given.gateway.admin(&["maintenance", "on", "--message", "new GPU"]).expect_code(0);
    compare(&given, "POST /api/chat", "llama3.2", Ok(()));
    given.gateway.admin(&["maintenance", "on", "--message", "new GPU", "--refuse"]).expect_code(0);
    compare(&given, "POST /api/chat", "llama3.2", Err("maintenance"));
    assert_eq!(explain(&given, who, "GET /api/user/keys", &[])["allowed"], json!(true));
}

#[test]
fn a_name_without_a_port_is_explained_by_the_scheme_of_the_gateway() {
    let given = Given::start("[environments.staging]\nhosts = [\"staging.test:80\"]\n");
    let ask = |host: &str| explain(&given, ["--key", &given.key], "POST /api/chat", &["--to-host", host]);
    for (host, allowed) in [("staging.test", false), ("staging.test:80", false), ("staging.test:443", true)] {
        assert_eq!(ask(host)["allowed"], json!(allowed), "{host}");
    }
}

#[test]
fn without_a_gateway_the_file_is_explained() {
    let mut given = Given::start(TABLES);
    given.gateway.end(rustix::process::Signal::TERM);
    let file = given.folder.path("gateway.toml");
    let config = ["--config", file.to_str().unwrap()];
    let ask = |model: &str| {
        explain(&given, ["--key", &given.key], "POST /api/chat", &[&["--model", model], &config[..]].concat())
    };
    assert_eq!(ask("llama3.2")["allowed"], json!(true));
    assert_eq!(ask("qwen3")["decided_by"]["code"], json!("model"));
}

#[test]
fn what_is_not_there_is_named() {
    let given = Given::start("");
    let key = ["policy", "explain", "--key", &given.key];
    for (args, code, says) in [
        (&["--route", "POST"][..], 2, "expected a method and a path such as 'POST /api/chat'"),
        (&["--route", "POST /api/nothing"], 1, "no such endpoint"),
        (&["--route", "PUT /api/chat"], 1, "method not allowed"),
        (&["--route", "POST /api/chat", "--from", "10.0.0"], 2, "--from"),
    ] {
        let refused = given.gateway.admin(&[&key[..], args].concat()).expect_code(code);
        assert!(refused.stderr().contains(says), "{args:?}: {}", refused.stderr());
    }
    let route = ["--route", "GET /api/tags"];
    let nobody = given.gateway.admin(&[&["policy", "explain", "--user", "eve"], &route[..]].concat()).expect_code(3);
    assert!(nobody.stderr().contains("there is no user \"eve\""), "{}", nobody.stderr());
    let shown = given.gateway.admin(&[&key[..], &route[..]].concat()).expect_code(5);
    assert!(shown.stdout().contains("refuses"), "{}", shown.stdout());
    assert!(
        shown.stderr().contains("Refused with the code scope: it does not have the scope models:read"),
        "{}",
        shown.stderr()
    );
}

#[test]
fn the_environment_of_key_and_name_is_explained() {
    let tables = "[environments.staging]\nhosts = [\"staging.test\"]\n[environments.prod]\nhosts = [\"prod.test\"]\n\
                  allow-unlabelled = true\n[environments.prod.limits]\nstreams = 7\n";
    let given = Given::start(tables);
    let ask = |host: &str| explain(&given, ["--key", &given.key], "POST /api/chat", &["--to-host", host]);
    let refused = ask("staging.test");
    assert_eq!(refused["decided_by"]["code"], json!("environment"), "{refused}");
    let allowed = ask("prod.test");
    let of_limits = |step: &Value| step["rule"] == json!("limits") && step["of"] == json!("[environments.prod]");
    assert!(allowed["rules"].as_array().unwrap().iter().any(of_limits), "{allowed}");
    let header = format!("Authorization: Bearer {}", given.secret);
    for (host, status) in [("staging.test", 403), ("prod.test", 200)] {
        let host_header = format!("Host: {host}");
        let body = r#"{"model":"llama3.2"}"#;
        let request = format!(
            "POST /api/chat HTTP/1.1\r\n{host_header}\r\n{header}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = given.gateway.raw(request);
        let wanted = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(wanted.as_bytes()), "{host}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn the_lists_of_addresses_are_explained() {
    let tables = "[addresses]\ndeny = [\"10.9.0.0/16\"]\n\
                  [roles.member.addresses]\nallow = [\"10.0.0.0/8\", \"127.0.0.1\"]\n";
    let given = Given::start(tables);
    given.gateway.admin(&["user", "addresses", "ada", "--deny", "10.8.0.0/16"]).expect_code(0);
    let ask = |more: &[&str]| explain(&given, ["--key", &given.key], "POST /api/chat", more);
    for (from, of) in [("10.9.0.1", "[addresses]"), ("::1", "[roles.member]"), ("::ffff:10.8.0.1", "account ada")] {
        let decided = &ask(&["--from", from])["decided_by"];
        assert_eq!((&decided["of"], &decided["code"]), (&json!(of), &json!("address")), "{from}: {decided}");
    }
    assert_eq!(ask(&["--from", "10.1.0.1"])["allowed"], json!(true));
    let open = ask(&[]);
    let unknown = |step: &&Value| step["rule"] == json!("address") && step["verdict"] == json!("unknown");
    assert_eq!(open["rules"].as_array().unwrap().iter().filter(unknown).count(), 3, "{open}");
}
