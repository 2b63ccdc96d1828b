//! The alert rules are valid, each has a case in which it fires and one in which it does not, and each says what to do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{RULES, SCRAPE_CONFIG, documented, names_in};
use crate::contrib::{file, text, yaml};
use crate::harness::cmd::Sandbox;
use crate::harness::prometheus::promtool;

const CASES: &str = "contrib/prometheus/ollama-auth.rules.test.yml";

fn rules(sandbox: &Sandbox) -> Vec<Value> {
    let file = yaml(sandbox, RULES);
    let groups = file["groups"].as_array().unwrap();
    let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
    assert!(rules.len() > 15, "{rules:?}");
    rules
}

#[test]
fn promtool_accepts_the_rules_and_the_scrape_configuration_and_all_cases_pass() {
    let sandbox = Sandbox::new();
    for (kind, name) in [(["check", "rules"], RULES), (["test", "rules"], CASES), (["check", "config"], SCRAPE_CONFIG)]
    {
        promtool(&sandbox, &[kind[0], kind[1], file(name).to_str().unwrap()]).run().expect_code(0);
    }
}

#[test]
fn the_scrape_configuration_with_a_token_is_valid() {
    let sandbox = Sandbox::new();
    let token = sandbox.write("token", "t");
    let config = sandbox.write("prometheus.yml", super::dashboard::with_token(&text(SCRAPE_CONFIG), &token));
    sandbox.write("ollama-auth.rules.yml", text(RULES));
    promtool(&sandbox, &["check", "config", config.to_str().unwrap()]).run().expect_code(0);
    std::fs::remove_file(token).unwrap();
    // So the lines for the token are read.
    promtool(&sandbox, &["check", "config", config.to_str().unwrap()]).run().expect_code(1);
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let sandbox = Sandbox::new();
    let cases = yaml(&sandbox, CASES);
    let (mut firing, mut silent) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for case in cases["tests"].as_array().unwrap() {
        let tests = case["alert_rule_test"].as_array().unwrap();
        for test in tests {
            let name = test["alertname"].as_str().unwrap();
            assert!(case["name"].as_str().unwrap().starts_with(&format!("{name}: ")), "{case}");
            let fires = test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            *if fires { &mut firing } else { &mut silent }.entry(name.to_owned()).or_default() += 1;
        }
    }
    for rule in rules(&sandbox) {
        let name = rule["alert"].as_str().unwrap();
        assert!(firing.remove(name).is_some(), "{name} fires in no case");
        assert!(silent.remove(name).is_some(), "{name} is silent in no case");
    }
    assert!(firing.is_empty() && silent.is_empty(), "cases of no alert: {firing:?} {silent:?}");
}

#[test]
fn each_alert_has_a_severity_and_says_what_to_do() {
    let sandbox = Sandbox::new();
    let guide = text("docs/guides/monitoring.md");
    for rule in rules(&sandbox) {
        let name = rule["alert"].as_str().unwrap();
        assert!(name.starts_with("OllamaAuth"), "{name}");
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        let (summary, description) = (&rule["annotations"]["summary"], &rule["annotations"]["description"]);
        assert!(summary.as_str().unwrap().len() < 120, "{name}: {summary}");
        assert!(description.as_str().unwrap().len() > 60, "{name}: {description}");
        assert!(guide.contains(&format!("`{name}`")), "docs/guides/monitoring.md does not list {name}");
    }
}

#[test]
fn each_metric_of_the_alerts_is_documented() {
    let (used, documented) = (names_in(&text(RULES)), documented());
    assert!(used.len() >= 15, "{used:?}");
    let unknown: Vec<_> = used.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/reference/metrics.md: {unknown:?}");
}
