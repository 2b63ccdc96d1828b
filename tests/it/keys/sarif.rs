//! `keys audit --format sarif`: the log follows the format's specification.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::audit::{audit, mode};
use super::{issue, signed_in};
use crate::given::sign_in;
use crate::harness::cloud::Cloud;

/// What SARIF 2.1.0 asks for, by its own words: the members that must be there, and what refers to what.
#[track_caller]
fn assert_sarif(log: &Value) -> &Vec<Value> {
    assert_eq!(log["version"], json!("2.1.0"));
    let run = &log["runs"].as_array().expect("3.13.4: an array of runs")[0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string(), "3.19.8");
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().expect("3.49.3")).collect();
    assert_eq!(ids.len(), rules.len(), "each rule once");
    let levels = ["none", "note", "warning", "error"].map(|level| json!(level));
    for rule in rules {
        assert!(rule["shortDescription"]["text"].is_string(), "3.11: a multiformatMessageString has a text");
        assert!(levels.contains(&rule["defaultConfiguration"]["level"]));
    }
    for invocation in run["invocations"].as_array().unwrap() {
        assert!(invocation["executionSuccessful"].is_boolean(), "3.20.14");
        for notification in invocation["toolExecutionNotifications"].as_array().unwrap() {
            assert!(notification["message"]["text"].is_string(), "3.58.5");
        }
    }
    let results = run["results"].as_array().expect("3.14.23");
    for result in results {
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()), "3.27.11");
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"], "3.27.7");
        assert!(levels.contains(&result["level"]), "3.27.10");
        for location in result["locations"].as_array().unwrap() {
            let uri = location["physicalLocation"]["artifactLocation"]["uri"].as_str().expect("3.4.3");
            url::Url::parse(uri).unwrap();
            for logical in location["logicalLocations"].as_array().into_iter().flatten() {
                assert!(logical["name"].is_string() && logical["fullyQualifiedName"].is_string());
            }
        }
        assert!(result["partialFingerprints"].as_object().unwrap().values().all(Value::is_string), "3.27.18");
    }
    results
}

#[test]
fn the_sarif_log_follows_the_specification() {
    let (sandbox, cloud) = signed_in();
    let empty = audit(&sandbox, &["--format", "sarif"]).expect_code(0).json();
    assert!(assert_sarif(&empty).is_empty());
    issue(&cloud, "old", &json!({ "created_at": -91 }));
    issue(&cloud, "odd", &json!({ "created_at": -91, "name": "\u{1b}[2J\n\"", "environment": "\u{202e}" }));
    issue(&cloud, "wrong", &json!({ "created_at": -91, "id": "../../etc/passwd ?#%", "name": "" }));
    let stock = sandbox.write("home/.ollama/id_ed25519", "a key");
    mode(&stock, 0o644);
    let away = Cloud::start();
    sign_in(&sandbox, &away, &[]);
    drop(away);
    let output = audit(&sandbox, &["--format", "sarif"]).expect_code(8);
    let log = output.json();
    let results = assert_sarif(&log);
    let ids: Vec<&Value> = results.iter().map(|result| &result["ruleId"]).collect();
    assert_eq!(ids, ["exposed", "unchecked", "stale", "stale", "stale"]);
    let file = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
    assert_eq!(url::Url::parse(file).unwrap().to_file_path().unwrap(), stock);
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!((&invocation["executionSuccessful"], &invocation["exitCode"]), (&json!(false), &json!(8)));
    assert_eq!(invocation["toolExecutionNotifications"].as_array().unwrap().len(), 1);
    // The same finding has the same fingerprint in the next run, and no two have one.
    let prints = |log: &Value| -> Vec<Value> {
        assert_sarif(log).iter().map(|result| result["partialFingerprints"].clone()).collect()
    };
    let again = audit(&sandbox, &["--format", "sarif"]).expect_code(8).json();
    assert_eq!(prints(&log), prints(&again));
    assert_eq!(prints(&log).iter().map(Value::to_string).collect::<BTreeSet<_>>().len(), 5);
    // For people nothing of it is obeyed, and each stays on its line.
    let text = audit(&sandbox, &[]).expect_code(8);
    assert!(!text.stdout().contains(['\u{1b}', '\u{202e}']), "{}", text.snapshot());
    assert!(!text.stdout().contains("keys revoke ../../"), "{}", text.snapshot());
}
