//! Two proofs that an environment demands: at its names, and for its keys everywhere.

use serde_json::json;

use super::{Given, header, now};
use crate::gateway_limits::upstream::Mode;
use crate::harness::gateway::Answer;

const CHAT: &str = "/api/chat";
const BODY: &str = r#"{"model":"tiny"}"#;
const OPEN: &str = "[environments.prod]\nhosts = [\"prod.example\"]\nallow-unlabelled = true\n";

fn rule(scopes: &str) -> String {
    format!("{OPEN}two-proofs = [{scopes}]\n")
}

/// A request at the name of the environment.
fn at_prod(given: &Given, target: &str, headers: &[&str]) -> Answer {
    let head = format!("POST {target} HTTP/1.1\r\nHost: prod.example\r\nConnection: close\r\n{}", headers.join("\r\n"));
    Answer::parse(&given.gateway.raw(format!("{head}\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()))).unwrap()
}

fn labelled(given: &Given) -> serde_json::Value {
    let program = given.gateway.device_added_to("ada");
    let args = ["keys", "create", "prod", "--env", "prod", "--scope=inference,models:read", "--json"];
    program.command(args).run().expect_code(0).json()
}

#[test]
fn an_environment_demands_two_proofs_at_its_names_and_of_its_keys() {
    let given = Given::start();
    given.reload(&rule("\"inference\""));
    let key = header(&given.key);
    let alone = at_prod(&given, CHAT, &[&key]);
    assert_eq!((alone.status, &alone.json()["code"]), (403, &json!("second_proof")), "{}", alone.text());
    assert_eq!((&alone.json()["missing"], &alone.json()["key"]), (&json!("device_signature"), &given.key["id"]));
    let target = format!("{CHAT}?ts={}", now());
    let signed = format!("Authorization: {}", given.device.sign(&format!("POST,{target}")));
    assert_eq!(at_prod(&given, &target, &[&signed]).json()["missing"], "api_key");
    assert_eq!(given.upstream.arrived(), 0);
    assert_eq!(at_prod(&given, CHAT, &[&key, &given.second("POST", CHAT)]).status, 200);
    // Elsewhere one is enough, and so it is for other scopes.
    assert_eq!(given.ask("POST", CHAT, &[], BODY).status, 200);
    let me = at_prod(&given, "/api/me", &[&key]);
    assert_eq!((me.status, &me.json()["two_proofs"]), (200, &json!(["inference"])), "{}", me.text());
    assert_eq!(given.ask("POST", "/api/me", &[], "").json()["two_proofs"], json!(null));
    // A key of the environment takes its rules with it.
    let prod = labelled(&given);
    let refused = given.gateway.ask("POST", CHAT, &[&header(&prod)], BODY);
    assert_eq!((refused.status, &refused.json()["missing"]), (403, &json!("device_signature")), "{}", refused.text());
}

#[test]
fn a_rule_that_comes_cuts_what_has_one_proof() {
    let given = Given::start();
    given.reload(OPEN);
    let prod = labelled(&given);
    given.upstream.set(Mode::Held);
    let one = super::attacks::begin_with(&given, &header(&prod), "");
    let log = given.reload(&rule("\"inference\", \"keys\""));
    let says = log.contains("rights lost") && log.contains("inference needs two proofs in the environment prod");
    assert!(says && log.contains(prod["id"].as_str().unwrap()), "{log}");
    assert!(!super::attacks::is_whole(one), "one proof is not enough any more");
    for wrong in ["\"admin\"", "\"infer\"", "1"] {
        let file = given.gateway.sandbox().write("wrong.toml", rule(wrong));
        let refused = given.gateway.admin(&["policy", "check", file.to_str().unwrap()]).expect_code(2);
        assert!(refused.stderr().contains("environments.prod.two-proofs"), "{}", refused.stderr());
    }
}
