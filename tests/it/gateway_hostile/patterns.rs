//! Many model patterns: a new key has few, and a key from before that limit keeps working.

use rustix::process::Signal;

use super::*;
use crate::harness::tool;

fn create(gateway: &Gateway, key: &str, body: &Value) -> Answer {
    gateway.ask("POST", "/api/user/keys", &[&bearer(key)], &body.to_string())
}

#[test]
fn a_new_key_has_at_most_64_model_patterns() {
    let (_upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let parent = gateway.key(&device, &["parent", "--scope", "keys"]);
    let with = |count: usize| {
        let models: Vec<String> = (0..count).map(|n| format!("*{n}")).collect();
        create(&gateway, &parent, &json!({ "name": "k", "scopes": ["keys"], "models": models }))
    };
    assert_eq!(with(64).status, 201);
    for count in [65, 5000] {
        let answer = with(count);
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("at most 64 model patterns"), "{}", answer.text());
    }
    let long: Vec<String> = (0..50).map(|n| format!("*{}{n}", "a".repeat(90))).collect();
    let answer = create(&gateway, &parent, &json!({ "name": "k", "scopes": ["keys"], "models": long }));
    assert!(answer.status == 400 && answer.text().contains("4096 bytes"), "{}", answer.text());
}

/// Earlier versions accepted thousands of patterns.
#[test]
fn a_key_with_thousands_of_patterns_works_and_is_replaced() {
    let (_upstream, mut gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let key = gateway.key(&device, &["old", "--scope", "inference,keys", "--model", "tiny"]);
    gateway.end(Signal::TERM);
    let script = "import json, sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        models = ['*' + chr(97 + n % 26) for n in range(2047)]\n\
        db.execute('UPDATE api_keys SET models = ?', [json.dumps(models)])\n\
        db.commit()\n";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let done = std::process::Command::new(tool("python3"))
        .args(["-c", script])
        .arg(gateway.database())
        .env("PATH", path)
        .status();
    assert!(done.unwrap().success());
    gateway.restart();

    let run = |key: &str, model: &str| {
        gateway.ask("POST", "/api/generate", &[&bearer(key)], &json!({ "model": model }).to_string()).status
    };
    assert_eq!((run(&key, "qwen:8b"), run(&key, "tinyz"), run(&key, "x/yz")), (403, 200, 403));
    // What it creates needs a list of its own.
    let answer = create(&gateway, &key, &json!({ "name": "child", "scopes": ["inference"] }));
    assert!(answer.status == 400 && answer.text().contains("at most 64"), "{}", answer.text());
    let child = |models: &[&str]| {
        create(&gateway, &key, &json!({ "name": "child", "scopes": ["inference"], "models": models }))
    };
    assert_eq!(child(&["tiny*a", "*bz", "b"]).status, 201);
    assert_eq!(child(&["tiny*a", "b:1"]).status, 403);
    let id = gateway.ask("GET", "/api/user/keys", &[&bearer(&key)], "").json()["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["name"] == "old")
        .unwrap()["id"]
        .clone();
    let replaced = create(&gateway, &key, &json!({ "replaces": id }));
    assert_eq!(replaced.status, 201, "{}", replaced.text());
    let replaced = replaced.json();
    assert_eq!(replaced["models"].as_array().unwrap().len(), 2047);
    assert_eq!(run(replaced["key"].as_str().unwrap(), "tinyz"), 200);
}
