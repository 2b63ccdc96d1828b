//! The addresses of keys: given by who makes them, never more than that one has, and kept.

use serde_json::{Value, json};

use super::{Given, header, refused};
use crate::given::with_store;

const KEYS: &str = "/api/user/keys";

#[test]
fn the_addresses_of_a_key_are_shown_wherever_it_is_listed() {
    let given = Given::start("");
    let made = given.key(&["--from", "10.0.0.0/8,::ffff:127.0.0.1", "--from", "2001:DB8::/32"]);
    let wanted = json!(["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"]);
    assert_eq!(made["from"], wanted, "{made:#}");
    let said = given.device.command(["keys", "create", "other", "--from", "10.1.2.3"]).run().expect_code(0);
    assert!(said.stderr().contains("only from 10.1.2.3/32;"), "{}", said.stderr());
    let plain = given.device.command(["keys", "create", "plain", "--json"]).run().expect_code(0).json();
    assert_eq!(plain["from"], json!([]));
    let listed = given.device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    let of = |listed: &Value, id: &Value| {
        listed["keys"].as_array().unwrap().iter().find(|key| key["id"] == *id).unwrap()["from"].clone()
    };
    assert_eq!((of(&listed, &made["id"]), of(&listed, &plain["id"])), (wanted.clone(), json!([])));
    let table = given.device.command(["keys", "list"]).run().expect_code(0);
    assert!(table.stdout().contains("10.0.0.0/8") && table.stdout().contains("every address"), "{}", table.stdout());
    let admin = given.admin(&["key", "list"]);
    assert_eq!((of(&admin, &made["id"]), of(&admin, &plain["id"])), (wanted.clone(), json!([])));
    let created = given.admin(&["audit", "--action", "key.created"]);
    let of_event = |id: &Value| {
        created["events"].as_array().unwrap().iter().find(|event| event["subject"] == *id).unwrap()["details"]["from"]
            .clone()
    };
    assert_eq!((of_event(&made["id"]), of_event(&plain["id"])), (wanted, Value::Null));
}

#[test]
fn a_wrong_network_is_named_before_anything_is_asked() {
    let sandbox = with_store("plaintext");
    let many = (0..65).map(|at| format!("10.0.{at}.0/24")).collect::<Vec<_>>().join(",");
    for (from, says) in [
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set: use 10.0.0.0/8"),
        ("gpu.example.com", "is not a network such as 10.0.0.0/8 or an address"),
        ("10.0.0.0/33", "is not a network"),
        (&many, "--from: there are more than 64 networks"),
    ] {
        let wrong = sandbox.command(["keys", "create", "k", "--from", from]).run().expect_code(2);
        assert!(wrong.stderr().contains(says), "{from}: {}", wrong.stderr());
    }
}

#[test]
fn no_key_makes_one_for_more_addresses() {
    let given = Given::start("");
    let parent = given.key(&["--from", "10.0.0.0/8,127.0.0.1"]);
    let make = |by: &Value, body: Value| given.ask(by, "127.0.0.1", "POST", KEYS, &body);
    let parents = json!(["10.0.0.0/8", "127.0.0.1/32"]);
    for (asked, given) in [
        (Value::Null, parents.clone()),
        (json!([]), parents.clone()),
        (json!(["10.1.0.0/16"]), json!(["10.1.0.0/16"])),
        (json!(["::ffff:10.1.2.3", "10.1.2.3"]), json!(["10.1.2.3/32"])),
    ] {
        let made = make(&parent, json!({ "name": "child", "from": asked }));
        assert_eq!((made.status, &made.json()["from"]), (201, &given), "{asked}: {}", made.text());
    }
    let absent = make(&parent, json!({ "name": "child" }));
    assert_eq!((absent.status, &absent.json()["from"]), (201, &parents));
    for asked in [json!(["11.0.0.0/8"]), json!(["10.0.0.0/7"]), json!(["10.1.0.0/16", "::1"]), json!(["0.0.0.0/0"])] {
        let made = make(&parent, json!({ "name": "child", "from": asked }));
        let message = "your own credential is accepted from 10.0.0.0/8, 127.0.0.1/32 only";
        assert_eq!((made.status, &made.json()["error"]), (403, &json!(message)), "{asked}");
    }
    let many: Vec<String> = (0..65).map(|at| format!("10.0.{at}.0/24")).collect();
    for (asked, says) in [
        (json!(["10.0.0.1/8"]), "from: 10.0.0.1/8 has host bits set: use 10.0.0.0/8"),
        (json!(["x"]), "is not a network such as 10.0.0.0/8 or an address"),
        (json!("10.0.0.0/8"), "invalid type"),
        (json!(many), "from: there are more than 64 networks"),
    ] {
        let made = make(&parent, json!({ "name": "child", "from": asked }));
        assert!(made.status == 400 && made.text().contains(says), "{asked}: {}", made.text());
    }
    // Nor by a key that takes the place of another one.
    let other = given.key(&[]);
    let taken = make(&parent, json!({ "replaces": other["id"] }));
    assert_eq!(taken.status, 403, "{}", taken.text());
}

#[test]
fn a_replacement_is_accepted_from_the_same_addresses() {
    let given = Given::start("");
    let old = given.key(&["--from", "10.0.0.0/8"]);
    let ask = |key: &Value, from: &str, body: Value| given.ask(key, from, "POST", KEYS, &body);
    refused(&ask(&old, "11.0.0.1", json!({ "replaces": old["id"] })), "this API key is not accepted from 11.0.0.1");
    let asked = ask(&old, "10.0.0.1", json!({ "replaces": old["id"], "from": ["10.1.0.0/16"] }));
    assert!(asked.status == 400 && asked.text().contains("leave out"), "{}", asked.text());
    let new = ask(&old, "10.0.0.1", json!({ "replaces": old["id"] }));
    assert_eq!((new.status, &new.json()["from"]), (201, &json!(["10.0.0.0/8"])), "{}", new.text());
    assert_eq!(["10.0.0.1", "11.0.0.1"].map(|from| given.status(&new.json(), from)), [200, 403]);
}

#[test]
fn the_client_says_what_is_wrong() {
    let given = Given::start("");
    let key = given.key(&["--from", "10.0.0.0/8"]);
    let sandbox = with_store("plaintext");
    let output = sandbox
        .command(["keys", "list", "--host", &given.gateway.url()])
        .env("OLLAMA_API_KEY", key["key"].as_str().unwrap())
        .run()
        .expect_code(5);
    let says = "this API key is not accepted from 127.0.0.1";
    assert!(
        output.stderr().contains(says) && output.stderr().contains("only from other addresses"),
        "{}",
        output.stderr()
    );
    assert!(!header(&key).is_empty());
}
