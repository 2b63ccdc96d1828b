//! Shortening the expiry of a key (`PATCH`): never later, only by its account, permanently, and only with an unmodified request.

use jiff::Timestamp;
use rustix::process::Signal;

use super::*;
use crate::gateway_hostile::StartedRequest;
use crate::harness::signature::TestDevice;

const HOUR: i64 = 3600;

fn set_expiry(gateway: &Gateway, who: &Value, what: &Value, seconds: i64) -> Answer {
    ask(gateway, who, "PATCH", &format!("{}?expires_in={seconds}", path(what)), &Value::Null)
}

fn at(entry: &Value) -> i64 {
    entry["expires_at"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}

/// What the device sees of a key.
fn listed(device: &Sandbox, key: &Value) -> Value {
    let list = keys(device, &["list", "--json"]).expect_code(0).json();
    list["keys"].as_array().unwrap().iter().find(|entry| entry["id"] == key["id"]).unwrap().clone()
}

fn expiry_events(gateway: &Gateway) -> Vec<Value> {
    let audit = gateway.admin(&["audit", "--json"]).expect_code(0).json();
    let events = audit["events"].as_array().unwrap().iter();
    events.filter(|event| event["action"] == "key.ending").cloned().collect()
}

#[test]
fn an_expiry_can_only_be_brought_forward() {
    let (gateway, device) = given();
    let key = create(&device, &["own", "--expires", "never"]);
    let before = Timestamp::now().as_second();
    let answer = set_expiry(&gateway, &key, &key, 2 * HOUR);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ended = answer.json();
    let after = Timestamp::now().as_second();
    assert!((before + 2 * HOUR..=after + 2 * HOUR).contains(&at(&ended)), "{ended}");
    assert_eq!((&ended["id"], &ended["replaceable"], &ended["self"]), (&key["id"], &json!(false), &json!(true)));
    assert_eq!(ended["key"], Value::Null);
    assert!(is_live(&gateway, &key), "it has its time of grace");
    // Asked again for as long or for longer, it stays as it is, and nothing happened.
    for seconds in [3 * HOUR, 315_360_000] {
        assert_eq!(set_expiry(&gateway, &key, &key, seconds).json(), ended);
    }
    assert_eq!(expiry_events(&gateway).len(), 1);
    let sooner = set_expiry(&gateway, &key, &key, HOUR).json();
    assert!(at(&sooner) < at(&ended), "{sooner}");
    assert_eq!(listed(&device, &key)["expires_at"], sooner["expires_at"]);
    let events = expiry_events(&gateway);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        (&events[0]["subject"], &events[0]["actor"]),
        (&key["id"], &json!(format!("key:{}", key["id"].as_str().unwrap())))
    );
    assert!(events[0]["detail"].as_str().unwrap().contains(sooner["expires_at"].as_str().unwrap()), "{events:?}");

    // From then on it makes no other, and says why.
    let refused = ask(&gateway, &key, "POST", KEYS, &json!({ "replaces": key["id"] }));
    assert!(refused.status == 403 && refused.text().contains("its expiry was brought forward"), "{}", refused.text());

    // One that ends sooner anyway keeps its end, and loses its replacement all the same.
    let short = create(&device, &["short", "--expires", "1h"]);
    let ended = set_expiry(&gateway, &device_key(&device), &short, 2 * HOUR).json();
    assert_eq!((&ended["expires_at"], &ended["replaceable"]), (&short["expires_at"], &json!(false)));
}

/// A key that manages the account's.
fn device_key(device: &Sandbox) -> Value {
    create(device, &["manager", "--scope", "keys"])
}

#[test]
fn invalid_expiry_requests_change_nothing() {
    let (gateway, device) = given();
    let key = create(&device, &["own"]);
    let at = |query: &str| format!("{}{query}", path(&key));
    let wrong = ["0", "-1", "x", "", "1.5", "315360001", "99999999999999999999", "1h", "%31"];
    let wrong = wrong.iter().map(|text| at(&format!("?expires_in={text}")));
    for target in wrong.chain([at(""), at("?expires=5")]) {
        let answer = ask(&gateway, &key, "PATCH", &target, &json!({ "expires_in": 5 }));
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
    }
    for target in [format!("{KEYS}/key_12345678?expires_in=5"), format!("{KEYS}/x?expires_in=5")] {
        assert_eq!(ask(&gateway, &key, "PATCH", &target, &Value::Null).status, 400, "{target}");
    }
    assert_eq!(ask(&gateway, &key, "PATCH", &format!("{KEYS}?expires_in=5"), &Value::Null).status, 405);
    assert_eq!(gateway.ask("PATCH", &at("?expires_in=5"), &[], "").status, 401);
    let now = listed(&device, &key);
    assert_eq!((&now["expires_at"], &now["replaceable"]), (&key["expires_at"], &json!(true)));
    assert_eq!(expiry_events(&gateway), [Value::Null; 0]);
}

#[test]
fn other_accounts_cannot_expire_a_key() {
    let (gateway, device) = given();
    gateway.add_user("bob", "member").add_user("root", "admin");
    let (old, other) = (create(&device, &["old"]), create(&device, &["other"]));
    let new = ask(&gateway, &old, "POST", KEYS, &json!({ "replaces": old["id"] })).json();
    let bobs = create(&gateway.device_of("bob"), &["b", "--scope", "keys"]);
    let roots = create(&gateway.device_of("root"), &["r", "--scope", "keys"]);
    let nobodys = json!({ "id": "key_00000000" });
    let manager = device_key(&device);
    for (who, what, status) in [
        (&other, &old, 403),
        (&other, &nobodys, 403),
        (&old, &new, 403),
        (&old, &other, 403),
        (&new, &other, 403),
        (&bobs, &old, 404),
        (&roots, &old, 404),
        (&manager, &nobodys, 404),
    ] {
        let answer = set_expiry(&gateway, who, what, 5);
        assert_eq!(answer.status, status, "{} {}: {}", who["name"], what["name"], answer.text());
    }
    assert_eq!(expiry_events(&gateway), [Value::Null; 0]);
    // Its successor can, and so can a manager of the account's keys.
    assert_eq!(set_expiry(&gateway, &new, &old, HOUR).status, 200);
    assert_eq!(set_expiry(&gateway, &manager, &other, HOUR).status, 200);
    assert!([&old, &other, &new].iter().all(|key| is_live(&gateway, key)));
    assert_eq!(set_expiry(&gateway, &new, &old, 1).status, 200);
    let began = Instant::now();
    while is_live(&gateway, &old) {
        assert!(began.elapsed() < DEADLINE, "it lives on");
    }
    assert!(is_live(&gateway, &new));
}

#[test]
fn expired_and_revoked_keys_stay_unchanged() {
    let (gateway, device) = given();
    let manager = device_key(&device);
    let (gone, over) = (create(&device, &["gone"]), create(&device, &["over", "--expires", "1s"]));
    keys(&device, &["revoke", "gone", "--yes"]).expect_code(0);
    let answer = set_expiry(&gateway, &manager, &gone, 5);
    let entry = answer.json();
    assert_eq!((answer.status, &entry["expires_at"]), (200, &gone["expires_at"]));
    assert_ne!(entry["revoked_at"], Value::Null);
    let began = Instant::now();
    while is_live(&gateway, &over) {
        assert!(began.elapsed() < DEADLINE, "it lives on");
    }
    assert_eq!(set_expiry(&gateway, &over, &over, HOUR).status, 401);
    let answer = set_expiry(&gateway, &manager, &over, HOUR);
    assert_eq!((answer.status, &answer.json()["expires_at"]), (200, &over["expires_at"]));
    assert!(!is_live(&gateway, &over));
    assert_eq!(expiry_events(&gateway), [Value::Null; 0]);
}

#[test]
fn an_expiry_signature_covers_the_time_and_works_once() {
    let (gateway, device) = given();
    let test = TestDevice::new(5);
    let header = |challenge: &str| format!("Authorization: {}", test.sign(challenge));
    let signed =
        |method: &str, target: &str| gateway.ask(method, target, &[&header(&format!("{method},{target}"))], "");
    let ts = Timestamp::now().as_second();
    let link = signed("POST", &format!("/api/me?ts={ts}")).json()["signin_url"].as_str().unwrap().to_owned();
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);

    let key = create(&device, &["own"]);
    let target = |seconds: i64| format!("{}?expires_in={seconds}&ts={ts}", path(&key));
    let refused = |sent: &str, challenge: &str| {
        let answer = gateway.ask("PATCH", sent, &[&header(challenge)], "");
        assert_eq!(answer.status, 401, "{sent} {challenge}: {}", answer.text());
    };
    // Another number than the signed one, or an unsigned one.
    refused(&target(5), &format!("PATCH,{}", target(HOUR)));
    refused(&target(5), &format!("PATCH,{}?ts={ts}", path(&key)));
    refused(&target(5), &format!("DELETE,{}", target(5)));
    let create_other = format!("{KEYS}?id=key_12345678&ts={ts}");
    let body = r#"{"id":"key_12345678","name":"n"}"#;
    let answer = gateway.ask("POST", &create_other, &[&header(&format!("POST,{KEYS}?ts={ts}"))], body);
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(listed(&device, &key)["expires_at"], key["expires_at"]);

    let ended = signed("PATCH", &target(HOUR));
    assert_eq!(ended.status, 200, "{}", ended.text());
    let again = signed("PATCH", &target(HOUR));
    assert!(again.status == 401 && again.text().contains("used already"), "{}", again.text());
    assert_eq!(listed(&device, &key)["expires_at"], ended.json()["expires_at"]);
}

#[test]
fn a_shortened_expiry_survives_a_restart() {
    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &["-vv"]);
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let (key, brief) = (create(&device, &["own", "--expires", "never"]), create(&device, &["brief"]));
    let ended = set_expiry(&gateway, &key, &key, HOUR).json();
    assert_eq!(set_expiry(&gateway, &brief, &brief, 1).status, 200);
    let first = gateway.end(Signal::KILL);
    gateway.restart();
    let after = listed(&device, &key);
    assert_eq!((&after["expires_at"], &after["replaceable"]), (&ended["expires_at"], &json!(false)));
    assert!(is_live(&gateway, &key));
    let began = Instant::now();
    while is_live(&gateway, &brief) {
        assert!(began.elapsed() < DEADLINE, "it lives on");
    }
    assert_eq!(expiry_events(&gateway).len(), 2);
    let refused = ask(&gateway, &key, "POST", KEYS, &json!({ "replaces": key["id"] }));
    assert_eq!(refused.status, 403);
    let second = gateway.end(Signal::TERM);
    for key in [&key, &brief] {
        gateway.sandbox().assert_no_secret(key["key"].as_str().unwrap(), &[&first, &second], &[]);
    }
}

/// The end comes while a request for more is on the way: what was allowed when it began is not allowed any more.
#[test]
fn a_key_expired_during_its_request_creates_no_key() {
    let (gateway, device) = given();
    let key = create(&device, &["own", "--scope", "keys"]);
    let bodies =
        [json!({ "replaces": key["id"] }), json!({ "name": "more", "scopes": ["keys"] })].map(|body| body.to_string());
    let begun = bodies.each_ref().map(|body| StartedRequest::new(&gateway, KEYS, key["key"].as_str().unwrap(), body));
    assert_eq!(set_expiry(&gateway, &key, &key, HOUR).status, 200);
    for (begun, body) in begun.into_iter().zip(bodies) {
        let answer = begun.finish(&body);
        assert_eq!(answer.status, 403, "{body}: {}", answer.text());
    }
    assert_eq!(ids(&keys(&device, &["list", "--json"]).json()), [key["id"].as_str().unwrap()]);
}
