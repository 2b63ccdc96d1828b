//! `keys` and `device` against the real gateway: both sides agree on requests and responses, and no caller gets more rights.

mod expiry;
mod flood;
mod replacement;
mod stolen_keys;

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::given::{says, with_store};
use crate::harness::DEADLINE;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::ollama::Ollama;

const KEYS: &str = "/api/user/keys";

/// A gateway, and a device of ada's.
fn given() -> (Gateway, Sandbox) {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    (gateway, device)
}

fn keys(device: &Sandbox, args: &[&str]) -> Output {
    device.command(["keys"].iter().chain(args)).run()
}

/// Makes a key, and gives what is said of it.
fn create(device: &Sandbox, args: &[&str]) -> Value {
    keys(device, &[&["create", "--json"], args].concat()).expect_code(0).json()
}

/// The commands of a machine that has nothing but that key.
fn with_key(gateway: &Gateway, key: &Value, args: &[&str]) -> Output {
    let sandbox = with_store("plaintext");
    let key = key["key"].as_str().unwrap();
    let output = sandbox.command(args).args(["--host", &gateway.url()]).env("OLLAMA_API_KEY", key).run();
    sandbox.assert_no_secret(key, &[], &[]);
    output
}

fn ask(gateway: &Gateway, key: &Value, method: &str, target: &str, body: &Value) -> Answer {
    let header = format!("Authorization: Bearer {}", key["key"].as_str().unwrap());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    gateway.ask(method, target, &[&header, "Content-Type: application/json"], &body)
}

fn is_live(gateway: &Gateway, key: &Value) -> bool {
    ask(gateway, key, "POST", "/api/me", &Value::Null).status == 200
}

fn path(key: &Value) -> String {
    format!("{KEYS}/{}", BASE64_URL_SAFE_NO_PAD.encode(key["id"].as_str().unwrap()))
}

fn ids(list: &Value) -> Vec<&str> {
    list["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect()
}

#[test]
fn a_created_key_has_the_requested_properties() {
    let (gateway, device) = given();
    let args = ["ci", "--scope", "inference,keys", "--model", "Tiny", "--env", "staging", "--no-replace"];
    let made = create(&device, &args);
    for (name, value) in [
        ("name", json!("ci")),
        ("environment", json!("staging")),
        ("scopes", json!(["inference", "keys"])),
        ("models", json!(["tiny:latest"])),
        ("replaceable", json!(false)),
        ("host", json!(gateway.url())),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    let seconds = |name: &str| made[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(seconds("expires_at") - seconds("created_at"), 90 * 86_400);
    assert_eq!(create(&device, &["ever", "--expires", "never"])["expires_at"], Value::Null);
    let list = keys(&device, &["list", "--json"]).expect_code(0).json();
    assert_eq!(list["keys"].as_array().unwrap().len(), 2);
    let listed = list["keys"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap();
    assert_eq!((&listed["state"], &listed["hint"]), (&json!("valid"), &made["hint"]));
    assert_eq!(listed["self"], json!(false), "a device asked");
    let printed = keys(&device, &["create", "plain"]).expect_code(0);
    assert_eq!(printed.stdout().lines().count(), 1);
    says(&keys(&device, &["create", "too much", "--scope", "admin"]).expect_code(5), &["admin"]);
    gateway.sandbox().assert_no_secret(made["key"].as_str().unwrap(), &[], &[]);
}

#[test]
fn two_keys_can_be_created_within_one_second() {
    let (_gateway, device) = given();
    // So many that two of them fall into one second, on whatever machine.
    let many: Vec<_> = (0..6).map(|n| device.command(["keys", "create", &format!("k{n}")]).spawn()).collect();
    for child in many {
        child.finish().expect_code(0);
    }
    assert_eq!(keys(&device, &["list", "--json"]).json()["keys"].as_array().unwrap().len(), 6);
}

#[test]
fn a_key_creates_only_narrower_keys() {
    let (gateway, device) = given();
    let parent = create(&device, &["parent", "--scope", "keys,inference", "--model", "tiny*", "--expires", "10d"]);
    let make = |args: &[&str]| with_key(&gateway, &parent, &[&["keys", "create", "child", "--json"], args].concat());
    let narrow = ["--scope", "inference", "--model", "tiny-1"];
    for (more, word) in [
        (&["--scope", "usage:read", "--model", "tiny", "--expires", "1d"][..], "usage:read"),
        (&["--scope", "inference", "--model", "other", "--expires", "1d"], "other"),
        (&["--scope", "inference", "--expires", "1d"], "model"),
        (&["--scope", "inference", "--model", "tiny-1", "--expires", "11d"], "expire"),
        (&["--scope", "inference", "--model", "tiny-1", "--expires", "never"], "expire"),
    ] {
        let output = make(more).expect_code(5);
        says(&output, &[word]);
        assert_eq!(output.stdout(), "");
    }
    let child = make(&[&narrow[..], &["--expires", "9d"]].concat()).expect_code(0).json();
    assert!(is_live(&gateway, &child));
    // Nothing said is as much as there is, and no more.
    let body = json!({ "name": "rest", "scopes": ["inference"] });
    let rest = ask(&gateway, &parent, "POST", KEYS, &body).json();
    assert_eq!((&rest["models"], &rest["expires_at"]), (&parent["models"], &parent["expires_at"]));
    // So the command leaves out when the key ends, if it is not told.
    let until_then = make(&narrow).expect_code(0);
    assert!(!until_then.stderr().contains("other rights"), "{}", until_then.stderr());
    assert_eq!(until_then.json()["expires_at"], parent["expires_at"]);
    // Without the scope it makes none at all.
    with_key(&gateway, &child, &["keys", "create", "x", "--scope", "inference"]).expect_code(5);
    let list = keys(&device, &["list", "--json"]).json();
    assert_eq!(ids(&list).len(), 4);
}

#[test]
fn a_key_without_the_keys_scope_manages_only_itself() {
    let (gateway, device) = given();
    let (own, other) = (create(&device, &["own"]), create(&device, &["other"]));
    let list = ask(&gateway, &own, "GET", KEYS, &Value::Null).json();
    assert_eq!((ids(&list), &list["keys"][0]["self"]), (vec![own["id"].as_str().unwrap()], &json!(true)));
    assert_eq!(ask(&gateway, &own, "DELETE", &path(&other), &Value::Null).status, 403);
    assert!(is_live(&gateway, &other));

    let replace = |who: &Value, what: &Value, more: Value| {
        let mut body = json!({ "replaces": what["id"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&gateway, who, "POST", KEYS, &body)
    };
    assert_eq!(replace(&own, &other, json!({})).status, 403);
    assert_eq!(replace(&own, &own, json!({ "scopes": ["keys"] })).status, 400);
    assert_eq!(replace(&own, &own, json!({ "expires_in": 1 })).status, 400);
    let answer = replace(&own, &own, json!({}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let new = answer.json();
    assert_eq!((&new["replaces"], &new["name"], &new["scopes"]), (&own["id"], &own["name"], &own["scopes"]));
    assert!(is_live(&gateway, &new) && is_live(&gateway, &own));
    assert_eq!(ask(&gateway, &new, "DELETE", &path(&own), &Value::Null).status, 403, "it is another key");
    // One at a time: else a stolen key could make any number of others, which outlive it.
    let second = replace(&own, &own, json!({}));
    assert_eq!(second.status, 409);
    assert!(second.text().contains(new["id"].as_str().unwrap()), "{}", second.text());
    // The old key lists and revokes a successor whose creation was interrupted.
    let list = ask(&gateway, &own, "GET", KEYS, &Value::Null).json();
    assert_eq!(ids(&list), [own["id"].as_str().unwrap(), new["id"].as_str().unwrap()]);
    assert_eq!(ask(&gateway, &own, "DELETE", &path(&new), &Value::Null).status, 200);
    assert!(!is_live(&gateway, &new) && is_live(&gateway, &own));
    let new = replace(&own, &own, json!({})).json();
    assert_eq!(ask(&gateway, &own, "DELETE", &path(&own), &Value::Null).status, 200);
    assert!(!is_live(&gateway, &own) && is_live(&gateway, &new));
    assert_eq!(replace(&own, &own, json!({})).status, 401, "what is revoked replaces nothing");
    let events = gateway.admin(&["audit", "--json"]).json().to_string();
    assert!(events.contains("key.replaced"), "{events}");

    let fixed = create(&device, &["fixed", "--no-replace"]);
    assert_eq!(replace(&fixed, &fixed, json!({})).status, 403);
}

#[test]
fn a_key_expires_on_time() {
    let (gateway, device) = given();
    let key = create(&device, &["short", "--expires", "1s"]);
    let began = Instant::now();
    while is_live(&gateway, &key) {
        assert!(began.elapsed() < DEADLINE, "it lives on");
    }
    let refused = ask(&gateway, &key, "POST", "/api/me", &Value::Null);
    assert!(refused.status == 401 && refused.text().contains("expired"), "{}", refused.text());
    assert_eq!(keys(&device, &["list", "--json"]).json()["keys"][0]["state"], json!("expired"));
    with_key(&gateway, &key, &["keys", "list"]).expect_code(4);
}

#[test]
fn patterns_decide_which_models_a_key_runs() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let (fits, not) = (create(&device, &["a", "--model", "ti*"]), create(&device, &["b", "--model", "other"]));
    with_key(&gateway, &fits, &["run", "tiny", "hi"]).expect_code(0);
    let refused = with_key(&gateway, &not, &["run", "tiny", "hi"]);
    assert_ne!(refused.code(), 0);
    let body = json!({ "model": "tiny", "prompt": "hi" });
    assert_eq!(ask(&gateway, &not, "POST", "/api/generate", &body).status, 403);
}

#[test]
fn key_ids_are_unique() {
    let (gateway, device) = given();
    let parent = create(&device, &["p", "--scope", "keys,inference"]);
    let body = json!({ "id": parent["id"], "name": "again", "scopes": ["inference"] });
    let answer = ask(&gateway, &parent, "POST", KEYS, &body);
    assert!(answer.status == 409 && answer.text().contains("taken"), "{}", answer.text());
    // Of a revoked one too, and to somebody else.
    let gone = create(&device, &["gone"]);
    keys(&device, &["revoke", "gone", "--yes"]).expect_code(0);
    let body = json!({ "id": gone["id"], "name": "again", "scopes": ["inference"] });
    assert_eq!(ask(&gateway, &parent, "POST", KEYS, &body).status, 409);
    for id in ["", "key_", "key_short", "x", "key_\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"] {
        let body = json!({ "id": id, "name": "n", "scopes": ["inference"] });
        assert_eq!(ask(&gateway, &parent, "POST", KEYS, &body).status, 400, "{id}");
    }
    assert_eq!(ask(&gateway, &parent, "POST", &format!("{KEYS}?id=key_12345678"), &body).status, 400);
}

#[test]
fn keys_are_revoked_by_id_by_name_and_by_themselves_for_good() {
    let (mut gateway, device) = given();
    let (one, two) = (create(&device, &["one"]), create(&device, &["two"]));
    let (twin, other) = (create(&device, &["twin"]), create(&device, &["twin"]));
    keys(&device, &["revoke", one["id"].as_str().unwrap(), "--yes"]).expect_code(0);
    keys(&device, &["revoke", "two", "--yes"]).expect_code(0);
    says(&keys(&device, &["revoke", "two", "--yes"]).expect_code(0), &["already revoked"]);
    let output = keys(&device, &["revoke", "twin", "--yes"]).expect_code(2);
    says(&output, &["2 API keys", twin["id"].as_str().unwrap(), other["id"].as_str().unwrap()]);
    keys(&device, &["revoke", "nobody", "--yes"]).expect_code(3);
    keys(&device, &["revoke", "key_0000000000", "--yes"]).expect_code(3);

    let by_stdin = |key: &Value| {
        let args = ["keys", "revoke", "--key-stdin", "--yes", "--json", "--host", &gateway.url()];
        with_store("plaintext").command(args).stdin(format!("{}\n", key["key"].as_str().unwrap())).run()
    };
    let manager = create(&device, &["manager", "--scope", "keys"]);
    assert_eq!(by_stdin(&twin).expect_code(0).json()["id"], twin["id"]);
    // One that sees all the others as well finds itself.
    assert_eq!(by_stdin(&manager).expect_code(0).json()["id"], manager["id"]);
    by_stdin(&manager).expect_code(3);

    let gone = [&one, &two, &twin, &manager];
    assert!(gone.iter().all(|key| !is_live(&gateway, key)) && is_live(&gateway, &other));
    gateway.end(rustix::process::Signal::KILL);
    gateway.restart();
    assert!(gone.iter().all(|key| !is_live(&gateway, key)) && is_live(&gateway, &other));
    let list = keys(&device, &["list", "--json"]).expect_code(0).json();
    assert_eq!(ids(&list), [other["id"].as_str().unwrap()]);
}

#[test]
fn a_key_that_is_revoked_by_many_requests_at_once_has_one_event() {
    let (gateway, device) = given();
    let manager = create(&device, &["manager", "--scope", "keys"]);
    for number in 0..10 {
        let key = create(&device, &[&format!("key {number}"), "--scope", "inference"]);
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(ask(&gateway, &manager, "DELETE", &path(&key), &Value::Null).status, 200);
                });
            }
        });
    }
    let audit = gateway.admin(&["audit", "--action", "key.revoked", "--json"]).expect_code(0).json();
    let counts: Vec<_> = audit["events"].as_array().unwrap().iter().map(|event| &event["count"]).collect();
    assert_eq!(counts, [1; 10], "{audit:#}");
}

#[test]
fn a_long_list_comes_in_pages_without_gaps() {
    let (gateway, device) = given();
    let parent = create(&device, &["parent", "--scope", "keys,inference"]);
    for number in 0..30 {
        let body = json!({ "name": format!("n{number}"), "scopes": ["inference"] });
        assert_eq!(ask(&gateway, &parent, "POST", KEYS, &body).status, 201);
    }
    let (mut seen, mut after, mut pages, mut is_deleted) = (Vec::new(), String::new(), 0, false);
    loop {
        let list = ask(&gateway, &parent, "GET", &format!("{KEYS}?limit=7{after}"), &Value::Null).json();
        let items = list["keys"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(items.iter().cloned());
        pages += 1;
        let Some(next) = list["next"].as_str() else { break };
        assert_eq!(items.len(), 7);
        after = format!("&after={next}");
        // What goes meanwhile moves nothing: the place is named by what stood there.
        let last = &items[6];
        // Not the key that asks, which is anywhere among those of its second.
        if !is_deleted && last["self"] != json!(true) {
            is_deleted = true;
            assert_eq!(ask(&gateway, &parent, "DELETE", &path(last), &Value::Null).status, 200);
        }
    }
    // 31 keys and the device.
    assert_eq!((seen.len(), pages), (32, 5));
    let mut ids: Vec<&str> = seen.iter().map(|item| item["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 32);
    let own: Vec<&Value> = seen.iter().filter(|item| item["self"] == json!(true)).collect();
    assert_eq!((own.len(), &own[0]["id"]), (1, &parent["id"]));
    assert_eq!(keys(&device, &["list", "--json"]).json()["keys"].as_array().unwrap().len(), 30);
    for wrong in ["limit=0", "limit=1001", "limit=x", "revoked=1"] {
        assert_eq!(ask(&gateway, &parent, "GET", &format!("{KEYS}?{wrong}"), &Value::Null).status, 400, "{wrong}");
    }
}

#[test]
fn a_saved_key_is_used_until_it_is_revoked() {
    let (gateway, device) = given();
    let made = create(&device, &["mine", "--save", "--scope", "keys,inference,models:read"]);
    assert_eq!((&made["key"], &made["store"]), (&Value::Null, &json!("plaintext")));
    let list = keys(&device, &["list", "--json"]).expect_code(0).json();
    // The device beside it, which may do more, is who asked.
    assert_eq!((&list["keys"][0]["kept_here"], &list["keys"][0]["self"]), (&json!(true), &json!(false)));
    let revoked = keys(&device, &["revoke", "mine", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(revoked["forgotten"].as_array().unwrap().len(), 1);
    // The device is still there.
    let list = keys(&device, &["list", "--json"]).expect_code(0).json();
    assert_eq!(ids(&list), [""; 0]);
    assert_eq!(gateway.admin(&["user", "list", "--json"]).json()["users"][0]["devices"], json!(1));
}

#[test]
fn a_device_is_rotated_revoked_and_signed_out() {
    let (gateway, device) = given();
    let devices = || gateway.admin(&["user", "list", "--json"]).expect_code(0).json()["users"][0]["devices"].clone();
    let shown = || device.command(["device", "list"]).run().expect_code(0).stdout().to_owned();
    let before = shown();
    let rotate = ["device", "rotate", "--yes", "--no-browser", "--timeout", "100ms"];
    let output = device.command(rotate).run().expect_code(4);
    let link = output.stderr().lines().map(str::trim).find(|line| line.contains("/connect?")).unwrap();
    gateway.approve(link, "ada");
    device.command(rotate).run().expect_code(0);
    assert_ne!(shown(), before);
    assert_eq!(devices(), json!(1), "the old key is disconnected");
    keys(&device, &["list"]).expect_code(0);
    let second = gateway.device_of("ada");
    assert_eq!(devices(), json!(2));
    device.command(["signout"]).run().expect_code(0);
    assert_eq!(devices(), json!(1));
    keys(&device, &["list", "--host", &gateway.url()]).expect_code(4);
    keys(&second, &["list"]).expect_code(0);
    second.command(["device", "revoke", "--yes"]).run().expect_code(0);
    assert_eq!(devices(), json!(0));
    keys(&second, &["list"]).expect_code(4);
}

/// What remains valid is named with the command, and the page, that ends it.
#[test]
fn signing_out_says_how_to_revoke_the_api_key_that_stays_valid() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let sign_out: [&[&str]; 2] = [&["signout"], &["profile", "remove", "machine", "--yes"]];
    for args in sign_out {
        let machine = with_store("plaintext");
        let key = gateway.key(&device, &["nightly"]);
        let args_in = ["signin", "--with-api-key", "--host", &gateway.url(), "--profile", "machine"];
        machine.command(args_in).stdin(&key).run().expect_code(0);
        let output = machine.command(args).run().expect_code(0);
        let words = output.stderr().lines().find_map(|line| line.split_once("signed in: ")).expect("a command").1;
        assert!(output.stderr().contains(&format!("{}/settings/keys", gateway.url())), "{}", output.snapshot());
        let command: Vec<&str> = words.strip_prefix("ollama-auth ").expect("a command of ours").split(' ').collect();
        assert_eq!(command[..2], ["keys", "revoke"]);
        let ask = || gateway.ask("POST", "/api/me", &[&format!("Authorization: Bearer {key}")], "").status;
        assert_eq!(ask(), 200);
        device.command(command).run().expect_code(0);
        assert_eq!(ask(), 401);
    }
}
