//! The event log: what it holds, and that nobody can make it say what did not happen.

use serde_json::{Value, json};

use crate::given::with_store;
use crate::harness::gateway::Gateway;
use crate::harness::ollama::Ollama;

fn events(gateway: &Gateway, action: &str) -> Vec<Value> {
    let audit = gateway.admin(&["audit", "--limit", "10000", "--json"]).expect_code(0).json();
    let all = audit["events"].as_array().unwrap().iter();
    all.filter(|event| event["action"] == action).cloned().collect()
}

#[test]
fn a_device_name_cannot_imitate_the_words_of_the_gateway() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "admin").add_user("eve", "member");
    let device = with_store("plaintext");
    let link = device.command(["signin", "--host", &gateway.url(), "--no-wait"]).run().expect_code(4);
    let mut link = url::Url::parse(link.stdout().trim()).unwrap();
    let key = link.query_pairs().find(|(name, _)| name == "key").unwrap().1.into_owned();
    let name = "laptop\" asked_from=\"192.0.2.1\" by=\"ada\u{202e}";
    link.query_pairs_mut().clear().append_pair("name", name).append_pair("key", &key);
    gateway.admin(&["approve", link.as_str(), "--user", "eve"]).expect_code(0);

    let approved = events(&gateway, "device.approved").remove(0);
    assert_eq!(approved["details"], json!({ "name": name, "asked_from": "127.0.0.1" }), "{approved:#}");
    let detail = r#"name="laptop\" asked_from=\"192.0.2.1\" by=\"ada\u{202e}" asked_from="127.0.0.1""#;
    assert_eq!(approved["detail"], detail);
    assert_eq!(approved["account"], "eve");
    let shown = gateway.admin(&["audit"]).expect_code(0);
    assert!(shown.stdout().contains(detail), "{}", shown.stdout());
}

#[test]
fn an_event_names_the_account_the_address_and_its_details() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let device = gateway.device_of("bob");
    gateway.key(&device, &["nightly report", "--scope", "inference", "--model", "tiny"]);
    device.command(["keys", "revoke", "nightly report", "--yes"]).run().expect_code(0);
    let users = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let bob = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "bob").unwrap();
    for action in ["user.created", "device.approved", "key.created", "key.revoked"] {
        let event = events(&gateway, action).remove(0);
        assert_eq!((&event["account"], &event["account_id"]), (&json!("bob"), &bob["id"]), "{event:#}");
        assert_eq!((&event["count"], &event["last_at"]), (&json!(1), &Value::Null), "{event:#}");
    }
    let created = events(&gateway, "key.created").remove(0);
    let details = &created["details"];
    assert_eq!(
        (&details["name"], &details["scopes"]),
        (&json!("nightly report"), &json!(["inference"])),
        "{created:#}"
    );
    assert_eq!(details["models"], json!(["tiny:latest"]), "{created:#}");
    assert!(details["expires_at"].as_str().unwrap().ends_with('Z') && created["address"] == "127.0.0.1", "{created:#}");
}
