//! Replacing a key: by whom, with which rights, and only once, even with repeated and concurrent requests.

use super::*;

/// Asks for a replacement of that id; without one the gateway chooses.
fn replace(gateway: &Gateway, who: &Value, what: &Value, id: &str) -> Answer {
    if id.is_empty() {
        return ask(gateway, who, "POST", KEYS, &json!({ "replaces": what["id"] }));
    }
    ask(gateway, who, "POST", &format!("{KEYS}?id={id}"), &json!({ "id": id, "replaces": what["id"] }))
}

fn end(gateway: &Gateway, key: &Value) -> Answer {
    ask(gateway, key, "PATCH", &format!("{}?expires_in=3600", path(key)), &Value::Null)
}

/// One that outlives whatever it replaces, as it must.
fn manager(device: &Sandbox) -> Value {
    create(device, &["manager", "--scope", "keys,inference,models:read", "--expires", "never"])
}

fn all(device: &Sandbox) -> usize {
    ids(&keys(device, &["list", "--json"]).expect_code(0).json()).len()
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap()
}

#[test]
fn a_manager_replaces_keys_within_its_own_rights() {
    let (gateway, device) = given();
    let manager = create(&device, &["manager", "--scope", "keys,inference", "--model", "tiny*", "--expires", "10d"]);
    let narrow = ["--scope", "inference", "--model", "tiny-1", "--expires", "9d"];
    let before = all(&device);
    for (args, word) in [
        (&["--scope", "inference,models:read", "--model", "tiny-1", "--expires", "9d"][..], "models:read"),
        (&["--scope", "inference", "--model", "other", "--expires", "9d"], "other"),
        (&["--scope", "inference", "--expires", "9d"], "models"),
        (&["--scope", "inference", "--model", "tiny-1", "--expires", "11d"], "expires earlier"),
        (&["--scope", "inference", "--model", "tiny-1", "--expires", "never"], "expires earlier"),
    ] {
        let wide = create(&device, &[&["wide"], args].concat());
        let answer = replace(&gateway, &manager, &wide, "");
        assert!(answer.status == 403 && answer.text().contains(word), "{word}: {}", answer.text());
    }
    assert_eq!(all(&device), before + 5, "none was made");

    let key = create(&device, &[&["ci", "--env", "staging"], &narrow[..]].concat());
    let answer = replace(&gateway, &manager, &key, "key_chosen1234");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let new = answer.json();
    for name in ["name", "environment", "scopes", "models", "replaceable"] {
        assert_eq!(new[name], key[name], "{name}");
    }
    assert_eq!((&new["replaces"], text(&new, "id")), (&key["id"], "key_chosen1234"));
    let time = |key: &Value, name: &str| text(key, name).parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time(&new, "expires_at") - time(&new, "created_at"), 9 * 86_400);
    assert!(is_live(&gateway, &new) && is_live(&gateway, &key));
    for who in [&manager, &key] {
        let second = replace(&gateway, who, &key, "");
        let said = second.json();
        assert_eq!((second.status, &said["code"], &said["by"]), (409, &json!("replaced"), &new["id"]), "{said}");
    }

    // A key that may not renew itself would do so by one that may.
    let fixed = create(&device, &["fixed", "--scope", "keys,inference", "--no-replace"]);
    let (open, shut) = (
        create(&device, &[&["open"], &narrow[..]].concat()),
        create(&device, &[&["shut", "--no-replace"], &narrow[..]].concat()),
    );
    assert_eq!(replace(&gateway, &fixed, &open, "").status, 403);
    assert_eq!(replace(&gateway, &fixed, &fixed, "").status, 403);
    let answer = replace(&gateway, &fixed, &shut, "");
    assert_eq!((answer.status, &answer.json()["replaceable"]), (201, &json!(false)));
}

#[test]
fn reasons_against_a_replacement_are_distinct() {
    let (gateway, device) = given();
    gateway.add_user("bob", "member");
    let manager = manager(&device);
    let bobs = create(&gateway.device_of("bob"), &["b"]);
    let (gone, over) = (create(&device, &["gone"]), create(&device, &["over", "--expires", "1s"]));
    keys(&device, &["revoke", "gone", "--yes"]).expect_code(0);
    let began = Instant::now();
    while is_live(&gateway, &over) {
        assert!(began.elapsed() < DEADLINE, "it lives on");
    }
    let before = all(&device);
    for (what, status, code) in [
        (&json!({ "id": "x" }), 400, Value::Null),
        (&json!({ "id": "key_00000000" }), 404, Value::Null),
        (&bobs, 404, Value::Null),
        (&gone, 409, json!("not_live")),
        (&over, 409, json!("not_live")),
    ] {
        let answer = replace(&gateway, &manager, what, "");
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code), "{}", answer.text());
    }
    assert_eq!(all(&device), before);
}

/// An answer is lost, and the same is asked for again: by then, or at the same time.
#[test]
fn repeated_requests_with_one_id_create_one_key() {
    let (gateway, device) = given();
    let manager = manager(&device);
    let old = create(&device, &["old"]);
    let new_key = json!({ "id": "key_onceonly1", "name": "n", "scopes": ["inference"] });
    let asks: [Box<dyn Fn() -> Answer + Sync>; 2] = [
        Box::new(|| replace(&gateway, &old, &old, "key_onceonly2")),
        Box::new(|| ask(&gateway, &manager, "POST", &format!("{KEYS}?id=key_onceonly1"), &new_key)),
    ];
    for ask in &asks {
        let before = all(&device);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 5));
        for answer in refused.into_iter().chain([&ask()]) {
            assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("id_taken")), "{}", answer.text());
            assert!(!answer.text().contains(text(&made[0].json(), "key")));
        }
        assert_eq!(all(&device), before + 1);
        assert!(is_live(&gateway, &made[0].json()));
    }
}

#[test]
fn concurrent_replacements_create_one_key() {
    let (gateway, device) = given();
    let manager = manager(&device);
    let old = create(&device, &["old"]);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let (gateway, manager, old) = (&gateway, &manager, &old);
        let ask = |n: usize| move || replace(gateway, [old, manager][n % 2], old, &format!("key_candidate{n}"));
        let running: Vec<_> = (0..6).map(|n| scope.spawn(ask(n))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).map(Answer::json).collect();
    assert_eq!(made.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let said = answer.json();
        assert_eq!((answer.status, &said["code"], &said["by"]), (409, &json!("replaced"), &made[0]["id"]), "{said}");
    }
    assert_eq!(all(&device), 3);
}

/// Otherwise a thief who found the old key in a log could expire the new one.
#[test]
fn a_replaced_key_cannot_undo_its_replacement() {
    let (gateway, device) = given();
    for scopes in ["inference", "keys,inference"] {
        let old = create(&device, &["old", "--scope", scopes]);
        let new = replace(&gateway, &old, &old, "").json();
        assert_eq!(end(&gateway, &old).status, 200);
        let refused = ask(&gateway, &old, "DELETE", &path(&new), &Value::Null);
        assert!(refused.status == 403 && is_live(&gateway, &new), "{}", refused.text());
        assert_eq!(ask(&gateway, &old, "DELETE", &path(&old), &Value::Null).status, 200, "but itself");
        assert!(is_live(&gateway, &new) && !is_live(&gateway, &old));
    }
    // A manager replaced one that may not be replaced by itself.
    let fixed = create(&device, &["fixed", "--no-replace"]);
    let manager = manager(&device);
    let new = replace(&gateway, &manager, &fixed, "").json();
    assert_eq!(ask(&gateway, &fixed, "DELETE", &path(&new), &Value::Null).status, 403);
    assert_eq!(ask(&gateway, &manager, "DELETE", &path(&new), &Value::Null).status, 200);
}

#[test]
fn a_key_sees_its_predecessor_and_successors() {
    let (gateway, device) = given();
    let old = create(&device, &["old"]);
    create(&device, &["other"]);
    let new = replace(&gateway, &old, &old, "").json();
    let last = replace(&gateway, &new, &new, "").json();
    let sees = |who: &Value, query: &str| {
        let list = ask(&gateway, who, "GET", &format!("{KEYS}{query}"), &Value::Null).json();
        assert_eq!((&list["next"], &list["keys"][0]["self"]), (&Value::Null, &json!(true)));
        ids(&list).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()
    };
    let [first, second, third] = [&old, &new, &last].map(|key| text(key, "id"));
    assert_eq!(sees(&old, ""), [first, second]);
    assert_eq!(sees(&new, ""), [second, third, first]);
    assert_eq!(sees(&last, ""), [third, second]);
    keys(&device, &["revoke", first, "--yes"]).expect_code(0);
    assert_eq!(sees(&new, ""), [second, third]);
    assert_eq!(sees(&new, "?revoked=true"), [second, third, first]);
}
