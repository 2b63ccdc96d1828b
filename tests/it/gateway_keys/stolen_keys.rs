//! Limits of stolen keys: one that was replaced, and one with few rights that sends many requests.

use super::*;

fn set_expiry(gateway: &Gateway, who: &Value, what: &Value, seconds: i64) -> Answer {
    ask(gateway, who, "PATCH", &format!("{}?expires_in={seconds}", path(what)), &Value::Null)
}

fn replace(gateway: &Gateway, key: &Value) -> Answer {
    ask(gateway, key, "POST", KEYS, &json!({ "replaces": key["id"] }))
}

/// To end the new key in a second would be to revoke it, which is not allowed either.
#[test]
fn a_replaced_key_cannot_expire_its_successor() {
    let (gateway, device) = given();
    let old = create(&device, &["old", "--scope", "keys,inference"]);
    let new = replace(&gateway, &old).json();
    assert_eq!(set_expiry(&gateway, &old, &old, 3600).status, 200);
    let refused = set_expiry(&gateway, &old, &new, 1);
    assert!(refused.status == 403 && refused.text().contains("replacement"), "{}", refused.text());
    let list = keys(&device, &["list", "--json"]).expect_code(0).json();
    let listed = list["keys"].as_array().unwrap().iter().find(|key| key["id"] == new["id"]).unwrap();
    assert_eq!((&listed["expires_at"], &listed["replaceable"]), (&new["expires_at"], &json!(true)));
}

/// Else it would use up what the account may have on record, for good, or fill the disk with what it did.
#[test]
fn a_key_cannot_use_up_its_accounts_keys() {
    let (gateway, device) = given();
    let key = create(&device, &["thief"]);
    let other = create(&device, &["other"]);
    let made = (0..2_000).scan(key, |last, _| {
        let answer = replace(&gateway, last);
        let is_made = answer.status == 201;
        if is_made {
            *last = answer.json();
        } else {
            assert_eq!(answer.status, 429, "{}", answer.text());
            assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        }
        is_made.then(|| last.clone())
    });
    let made: Vec<Value> = made.collect();
    assert!((500..1_500).contains(&made.len()), "{}", made.len());
    let last = made.last().unwrap();
    // What others do, and what its owner does, is not held up by it.
    assert_eq!(replace(&gateway, &other).status, 201);
    create(&device, &["more"]);
    // It can still come to its end, and be revoked; but not in a thousand steps.
    assert_eq!(set_expiry(&gateway, last, last, 5_000).status, 200);
    assert_eq!(set_expiry(&gateway, last, last, 4_000).status, 429);
    let revoked = ask(&gateway, last, "DELETE", &path(last), &Value::Null);
    assert_eq!(revoked.status, 200, "{}", revoked.text());
}

/// Revoking a leaked key names the keys that a thief may have created with it.
#[test]
fn revoking_a_key_names_its_successors() {
    let (gateway, device) = given();
    let key = create(&device, &["leaked"]);
    // A revoked successor does not hide the next one.
    let hidden = replace(&gateway, &key).json();
    let last = replace(&gateway, &hidden).json();
    assert_eq!(ask(&gateway, &hidden, "DELETE", &path(&hidden), &Value::Null).status, 200);
    let [id, last_id] = [&key, &last].map(|key| key["id"].as_str().unwrap());
    let output = keys(&device, &["revoke", id, "--yes", "--json"]).expect_code(0);
    assert_eq!(output.json()["replacements"], json!([last_id]));
    let output = keys(&device, &["revoke", id, "--yes"]).expect_code(0);
    says(&output, &[last_id, "stays valid", &format!("keys revoke {last_id} --yes")]);
    keys(&device, &["revoke", last_id, "--yes"]).expect_code(0);
    assert_eq!(keys(&device, &["revoke", id, "--yes", "--json"]).expect_code(0).json()["replacements"], json!([]));

    // By itself it sees its own replacement.
    let key = create(&device, &["leaked"]);
    let next = replace(&gateway, &key).json();
    let revoke = device.command(["keys", "revoke", "--key-stdin", "--yes", "--host", &gateway.url()]);
    let output = revoke.stdin(key["key"].as_str().unwrap()).run().expect_code(0);
    says(&output, &[next["id"].as_str().unwrap(), "stays valid"]);
}
