//! `keys list`: all pages, for people and for scripts, and invalid responses of the host.

use serde_json::{Value, json};

use super::{issue, keys, signed_in, signed_in_with};
use crate::given::says;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::{Expectation, Reply};

/// The cells of each row below the headers.
fn rows(output: &Output) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    output.stdout().lines().skip(1).map(cells).collect()
}

fn names(output: &Output) -> Vec<String> {
    rows(output).into_iter().map(|mut row| row.remove(0)).collect()
}

/// Keys of which each has one problem, in another order than that of their urgency.
fn keys_with_problems() -> (Sandbox, Cloud) {
    let (sandbox, cloud) = signed_in();
    for (name, change) in [
        ("fine", json!({ "environment": "ci" })),
        ("lasting", json!({ "expires_at": null })),
        ("idle", json!({ "created_at": -40, "last_used_at": -31 })),
        ("broad", json!({ "scopes": ["keys", "inference"] })),
        ("old", json!({ "created_at": -91, "environment": "ci" })),
        ("dead", json!({ "expires_at": -1 })),
        ("ending", json!({ "created_at": -50, "expires_at": 3 })),
        ("new", json!({ "created_at": 3, "last_used_at": null })),
    ] {
        issue(&cloud, name, &change);
    }
    (sandbox, cloud)
}

#[test]
fn keys_with_problems_are_listed_first() {
    let (sandbox, _cloud) = keys_with_problems();
    let output = keys(&sandbox, &["list"]).expect_code(0);
    let seen: Vec<(String, String)> =
        rows(&output).into_iter().map(|mut row| (row.remove(0), row.pop().unwrap())).collect();
    let expected = [
        ("dead", "expired"),
        ("old", "valid, stale"),
        ("idle", "valid, unused"),
        ("ending", "expires soon"),
        ("broad", "valid, over-broad"),
        ("lasting", "valid, no-expiry"),
        ("fine", "valid"),
        ("new", "valid"),
    ];
    assert_eq!(seen, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    says(&output, &["ollama-auth keys audit"]);
    let json = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    let all: Vec<_> = json["keys"].as_array().unwrap().iter().map(|key| &key["problems"]).collect();
    assert_eq!(all[0], &json!([]), "a script gets the host's order");
    assert_eq!(all[4], &json!(["stale"]));
    // Colour says nothing that the words do not.
    let colored = keys(&sandbox, &["list", "--color", "always"]).expect_code(0);
    let plain = ["\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"]
        .iter()
        .fold(colored.stdout().to_owned(), |text, sequence| text.replace(sequence, ""));
    assert!(colored.stdout().contains("\u{1b}[31mexpired"), "{}", colored.snapshot());
    // A second may have passed in between, which can make 60 days 59.
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(words(&plain), words(output.stdout()));
}

#[test]
fn max_age_sets_the_age_limit() {
    let (sandbox, _cloud) = keys_with_problems();
    let stale =
        |limit: &str| names(&keys(&sandbox, &["list", "--filter", "problem=stale", "--max-age", limit]).expect_code(0));
    assert!(stale("92d").is_empty() && stale("never").is_empty());
    assert_eq!(stale("45d"), ["ending", "old"]);
}

#[test]
fn filters_combine_and_orders_sort() {
    let (sandbox, _cloud) = keys_with_problems();
    let list = |args: &[&str]| names(&keys(&sandbox, &[&["list"], args].concat()).expect_code(0));
    assert_eq!(list(&["--filter", "env=ci"]), ["old", "fine"]);
    assert_eq!(list(&["--filter", "env=ci", "--filter", "problem="]), ["fine"]);
    assert_eq!(list(&["--filter", "env=", "--filter", "name=*d*"]), ["dead", "idle", "ending", "broad"]);
    assert_eq!(list(&["--filter", "scope=keys"]), ["broad"]);
    assert_eq!(list(&["--filter", "state=expired"]), ["dead"]);
    assert_eq!(list(&["--filter", "id=key_old*"]), ["old"]);
    assert_eq!(list(&["--sort", "name"])[..3], ["broad", "dead", "ending"]);
    assert_eq!(list(&["--sort", "age"])[..3], ["old", "ending", "idle"]);
    assert_eq!(list(&["--sort", "last-used"])[..2], ["new", "idle"]);
    assert_eq!(list(&["--sort", "expires"])[..2], ["dead", "ending"]);
    assert_eq!(list(&["--sort", "expires"])[7], "lasting");
    let json = keys(&sandbox, &["list", "--json", "--sort", "name", "--filter", "env=ci"]).expect_code(0).json();
    assert_eq!((&json["keys"][0]["name"], &json["keys"][1]["name"]), (&json!("fine"), &json!("old")));
    let none = keys(&sandbox, &["list", "--filter", "name=nobody"]).expect_code(0);
    says(&none, &["None of the 8 API keys"]);
    for wrong in ["env", "colour=red", "problem=ugly", "state=dead"] {
        keys(&sandbox, &["list", "--filter", wrong]).expect_code(2);
    }
}

#[test]
fn a_replaced_key_needs_no_attention() {
    let (sandbox, cloud) = signed_in();
    issue(&cloud, "before", &json!({ "created_at": -95, "expires_at": 1 }));
    issue(&cloud, "after", &json!({ "replaces": "key_before000000" }));
    let output = keys(&sandbox, &["list"]).expect_code(0);
    let states: Vec<String> =
        rows(&output).into_iter().map(|mut row| row.remove(0) + ": " + &row.pop().unwrap()).collect();
    assert_eq!(states, ["after: valid", "before: replaced"], "{}", output.snapshot());
}

/// All of them, however many pages that takes. How long it takes is a benchmark's to say.
#[test]
fn ten_thousand_keys_are_listed_completely() {
    let (sandbox, cloud) = signed_in();
    for number in 0..10_000 {
        cloud.issue(json!({ "id": format!("key_many{number:08}"), "name": format!("n{number}") }));
    }
    let list = |args: &[&str]| {
        let command = sandbox.command(["keys", "list"].iter().chain(args));
        command.deadline(std::time::Duration::from_secs(300)).run().expect_code(0)
    };
    assert_eq!(list(&[]).stdout().lines().count(), 10_001);
    assert_eq!(list(&["--json"]).json()["keys"].as_array().unwrap().len(), 10_000);
}

#[test]
fn the_table_shows_each_keys_properties() {
    let (sandbox, cloud) = signed_in();
    let output = keys(&sandbox, &["list"]).expect_code(0);
    assert_eq!(output.stdout(), "");
    says(&output, &["no API keys", "keys create NAME"]);
    let now = cloud.server().clock().now();
    let at = |seconds: i64| jiff::Timestamp::from_second(now + seconds).unwrap().to_string();
    cloud.issue(json!({
        "id": "key_first00000", "name": "first", "environment": "ci", "models": ["tiny:latest"], "created_at": at(-3 * 86_400),
        "last_used_at": at(-7300), "expires_at": at(30 * 86_400 + 60),
    }));
    cloud.issue(
        json!({ "id": "key_second0000", "name": "second", "scopes": ["keys", "of:tomorrow"], "expires_at": at(-60) }),
    );
    cloud.issue(json!({ "id": "key_third00000", "name": "third", "revoked_at": at(-1) }));
    let output = keys(&sandbox, &["list"]).expect_code(0);
    let lines = rows(&output);
    assert_eq!(lines.len(), 2, "{}", output.snapshot());
    // What needs attention is on top.
    let second =
        ["second", "key_second0000", "-", "keys,of:tomorrow", "all", "0 seconds", "never", "1 minute ago", "expired"];
    assert_eq!(lines[0][..5], second[..5]);
    assert_eq!(lines[0][6..], second[6..]);
    let scopes = "inference,models:read";
    let first =
        ["first", "key_first00000", "ci", scopes, "tiny:latest", "3 days", "2 hours ago", "in 30 days", "valid"];
    assert_eq!(lines[1], first);
    let revoked = keys(&sandbox, &["list", "--revoked"]).expect_code(0);
    assert_eq!(rows(&revoked)[2].last(), Some(&"revoked".to_owned()), "{}", revoked.snapshot());
    let seen = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(seen["host"], json!(cloud.url()));
    assert_eq!(seen["keys"][0]["state"], json!("valid"));
    assert_eq!(seen["keys"][0]["kept_here"], json!(false));
    assert_eq!(seen["keys"][1]["expires_at"], json!(at(-60)));
    assert_eq!(seen["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn every_page_request_signs_all_parameters() {
    let (sandbox, cloud) = signed_in_with("plaintext", "/prefix");
    for number in 0..25 {
        cloud.issue(json!({ "id": format!("key_page{number:08}"), "name": format!("n{number}") }));
    }
    cloud.page_size(7);
    let seen = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    let names: Vec<&str> = seen["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, (0..25).map(|number| format!("n{number}")).collect::<Vec<_>>());
    let asked = cloud.server().requests();
    let asked: Vec<_> = asked.iter().filter(|request| request.path() == "/prefix/api/user/keys").collect();
    assert_eq!(asked.len(), 4);
    // (That the signature is one of just this target is what the stand-in checks.)
    assert!(asked[1].raw_query().starts_with("after=at+%267&limit=1000&ts="), "{}", asked[1].raw_query());
    assert!(asked.iter().all(|request| request.body.is_empty()));
}

#[test]
fn an_api_key_fetches_every_page() {
    let (sandbox, cloud) = signed_in();
    let manager = cloud.issue(json!({ "scopes": ["keys"] }));
    cloud.issue(json!({ "id": "key_another000" }));
    cloud.page_size(1);
    let args = ["keys", "list", "--json", "--host", &cloud.url()];
    let output = sandbox.command(args).env("OLLAMA_API_KEY", &manager.key).run().expect_code(0);
    assert_eq!(output.json()["keys"].as_array().unwrap().len(), 2);
    sandbox.assert_no_secret(&manager.key, &[&output], &[]);
}

#[test]
fn control_characters_in_names_are_escaped() {
    let (sandbox, cloud) = signed_in();
    let name = "\u{1b}]0;owned\u{7}\u{202e}gnp.exe\nfake row";
    cloud.issue(json!({ "name": name, "environment": "\u{9b}2J", "models": ["\r"], "scopes": ["\u{1b}[8m"] }));
    cloud.issue(json!({ "id": "key_long000000", "name": "n".repeat(100_000) }));
    let output = keys(&sandbox, &["list"]).expect_code(0);
    assert_eq!(output.stdout().lines().count(), 3);
    for dangerous in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}', '\r'] {
        assert!(!output.stdout().contains(dangerous), "{dangerous:?}: {}", output.snapshot());
    }
    assert!(output.stdout().len() < 2000);
    let seen = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(seen["keys"][0]["name"], json!(name));
}

#[test]
fn an_endless_list_is_an_error() {
    let (sandbox, cloud) = signed_in();
    let counted = std::sync::atomic::AtomicUsize::new(0);
    cloud.server().expect(Expectation::new("GET", "/api/user/keys").times(1..=1000).reply(move |_| {
        let number = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::json(200, json!({ "keys": [], "next": format!("page {number}") }))
    }));
    says(&keys(&sandbox, &["list"]).expect_code(1), &["does not end after"]);
}

#[test]
fn an_invalid_list_is_an_error() {
    let key = |value: Value| json!({ "keys": [value], "next": null }).to_string();
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(9 << 20));
    let cases: [(String, &str); 12] = [
        (json!({ "keys": [], "next": "again" }).to_string(), "repeats a cursor"),
        (json!({ "keys": [], "next": "x".repeat(5000) }).to_string(), "too long"),
        (json!({ "keys": [], "next": 7 }).to_string(), "cannot read"),
        (json!({ "next": null }).to_string(), "cannot read"),
        (json!({ "keys": {} }).to_string(), "cannot read"),
        ("null".to_owned(), "cannot read"),
        (String::new(), "cannot read"),
        ("<html>Sign in to Wi-Fi</html>".to_owned(), "cannot read"),
        (huge, "more than"),
        (key(json!({ "kind": "api-key" })), "an entry"),
        (key(json!({ "kind": "api-key", "id": "key_12345678", "expires_at": "soon" })), "an entry"),
        ("[".repeat(100_000), "cannot read"),
    ];
    for (body, words) in cases {
        let (sandbox, cloud) = signed_in();
        let shown: String = body.chars().take(80).collect();
        cloud
            .server()
            .expect(Expectation::new("GET", "/api/user/keys").times(1..=2).reply(move |_| Reply::json(200, &body)));
        let output = keys(&sandbox, &["list"]);
        assert_eq!(output.code(), 1, "{shown}: {}", output.snapshot());
        says(&output, &[words]);
        assert_eq!(output.stdout(), "");
    }
}

#[test]
fn a_list_request_without_a_response_is_retried_once() {
    let (sandbox, cloud) = signed_in();
    cloud.issue(json!({}));
    cloud.inject_times("/api/user/keys", 1, Fault::Drop);
    keys(&sandbox, &["list"]).expect_code(0);
    assert_eq!(cloud.count("GET", "/api/user/keys"), 2);
}
