//! A real Prometheus scrapes a real gateway, with the scrape configuration of `contrib/`: its alert rules are evaluated, and every query of
//! the dashboard finds something.

use std::path::Path;

use serde_json::Value;

use super::{DASHBOARD, Given, RULES, SCRAPE_CONFIG, documented, names_in};
use crate::contrib::text;
use crate::harness::poll;
use crate::harness::prometheus::Prometheus;

/// The example with its lines for a token.
pub fn with_token(config: &str, token: &Path) -> String {
    let wanted = config
        .replace("    # authorization:", "    authorization:")
        .replace("    #   credentials_file:", "      credentials_file:");
    let wanted = wanted.replace("/etc/prometheus/ollama-auth.token", token.to_str().unwrap());
    assert!(
        wanted.contains("\n    authorization:\n      credentials_file: ") && wanted.contains(token.to_str().unwrap()),
        "{wanted}"
    );
    wanted
}

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).unwrap()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// The queries of a panel.
fn queries(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

/// Whether a query finds a number.
fn finds_a_number(prometheus: &Prometheus, query: &str) -> bool {
    // What Grafana puts there.
    let query = query.replace("$job", "ollama-auth").replace("$instance", ".+").replace("$__rate_interval", "10s");
    assert!(!query.contains('$'), "a variable that the test does not know: {query}");
    prometheus.query(&query).iter().any(|sample| sample["value"][1] != "NaN")
}

#[test]
fn every_query_of_the_dashboard_finds_something_and_every_alert_is_evaluated() {
    let given = Given::start();
    given.make_requests();
    let address = given.metrics_url().strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let config = with_token(&text(SCRAPE_CONFIG), &given.folder.path("metrics.token"));
    assert!(config.contains("127.0.0.1:9464") && config.contains("interval: 15s"));
    let config = config.replace("127.0.0.1:9464", address).replace("interval: 15s", "interval: 200ms");
    let config = given.folder.write("prometheus.yml", config);
    given.folder.write("ollama-auth.rules.yml", text(RULES));
    let prometheus = Prometheus::start(&config);
    for panel in panels(&dashboard()) {
        for query in queries(panel) {
            poll(&format!("samples of {}: {query}", panel["title"]), || {
                given.make_requests();
                finds_a_number(&prometheus, query).then_some(())
            });
        }
    }
    // The certificate of the test lives for two days, and a quarter of the requests fails: those alerts wait for their `for`.
    let expected = ["OllamaAuthCertificateAlmostExpired", "OllamaAuthServerErrors"];
    let rules = poll("the evaluation of all rules", || {
        let rules = rules(&prometheus);
        let are_evaluated = rules.iter().all(|rule| rule["health"] != "unknown");
        (are_evaluated && names(&rules, "pending") == expected).then_some(rules)
    });
    let failed: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok" || !rule["lastError"].is_null()).collect();
    assert!(rules.len() > 15 && failed.is_empty(), "{failed:?}\n{}", prometheus.log());
    assert!(names(&rules, "firing").is_empty(), "{rules:?}");
}

/// The alert rules, as they were evaluated last.
fn rules(prometheus: &Prometheus) -> Vec<Value> {
    let groups = prometheus.api("rules")["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The names of those in that state.
fn names<'a>(rules: &'a [Value], state: &str) -> Vec<&'a str> {
    rules.iter().filter(|rule| rule["state"] == state).map(|rule| rule["name"].as_str().unwrap()).collect()
}

#[test]
fn panels_have_a_title_a_unit_and_a_description_and_do_not_overlap() {
    let dashboard = dashboard();
    let datasource = &dashboard["templating"]["list"][0];
    assert_eq!((&datasource["name"], &datasource["type"]), (&"datasource".into(), &"datasource".into()));
    let (mut ids, mut places) = (Vec::new(), Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(!ids.contains(&&panel["id"]), "{}", panel["title"]);
        ids.push(&panel["id"]);
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for y in at("y")..at("y") + at("h") {
            for x in at("x")..at("x") + at("w") {
                assert!(x < 24 && !places.contains(&(x, y)), "{} overlaps", panel["title"]);
                places.push((x, y));
            }
        }
    }
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(queries(panel).count() > 0, "{title}");
    }
}

#[test]
fn each_metric_of_the_dashboard_is_documented() {
    let (used, documented) = (names_in(&text(DASHBOARD)), documented());
    assert!(used.len() > 25, "{used:?}");
    let unknown: Vec<_> = used.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/reference/metrics.md: {unknown:?}");
}
