//! Monitoring a gateway: what it reports is valid, documented, and found by a real Prometheus with the alerts and the dashboard of
//! `contrib/`.

mod alerts;
mod dashboard;
mod formats;
mod guide;

use std::collections::BTreeSet;

use serde_json::json;

use crate::contrib::text;
use crate::gateway_tls::Authority;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Request, Server, Step};
use crate::harness::{plain_http, poll};

const RULES: &str = "contrib/prometheus/ollama-auth.rules.yml";
const SCRAPE_CONFIG: &str = "contrib/prometheus/prometheus.yml";
const DASHBOARD: &str = "contrib/grafana/ollama-auth.json";
const REFERENCE: &str = "docs/reference/metrics.md";
/// What precedes the name of each metric of a gateway.
const PREFIXES: [&str; 2] = ["ollama_auth_", "process_"];
const TOKEN: &str = "a-token-for-metrics";
/// Everything that has metrics of its own.
const CONFIG: &str = r#"
metrics-listen = "127.0.0.1:0"
metrics-token-file = "metrics.token"
access-log = "access.log"

[limits]
streams = 50
tokens-per-day = 1000000000

[roles.maintainer.limits]
tokens-per-hour = 1000000000

[[audit-sink]]
name = "siem"
to = "file"
path = "events.jsonl"
"#;

/// A gateway that has all metrics, with a certificate, and one who uses it.
struct Given {
    gateway: Gateway,
    authority: Authority,
    key: String,
    /// With the configuration and the token.
    folder: Sandbox,
    _upstream: Server,
}

impl Given {
    fn start() -> Self {
        let (upstream, authority, folder) = (Server::start(upstream), Authority::new(), Sandbox::new());
        folder.write("metrics.token", TOKEN);
        let config = folder.write("gateway.toml", CONFIG);
        let gateway = authority.serve(&upstream.url(), &["--config", config.to_str().unwrap()]);
        let key = authority.header(&gateway);
        gateway.admin(&["audit", "checkpoint", "--now"]).expect_code(0);
        Self { gateway, authority, key, folder, _upstream: upstream }
    }

    /// Where its metrics are.
    fn metrics_url(&self) -> &str {
        self.gateway.listening()["metrics_url"].as_str().unwrap()
    }

    /// A response of a model, one that breaks off, a refused request, and one that the upstream server does not answer.
    fn make_requests(&self) {
        let chat =
            |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let wrong = "Authorization: Bearer olauth_wrong";
        for (path, key, body) in [
            ("/api/chat", self.key.as_str(), chat("tiny")),
            ("/api/chat", &self.key, chat("cut")),
            ("/api/chat", wrong, chat("tiny")),
            ("/v1/embeddings", &self.key, json!({ "model": "tiny", "input": "x" }).to_string()),
        ] {
            let url = format!("{}{path}", self.gateway.url());
            // Of some the status is an error, and one ends early: that is what is to be counted.
            self.authority.curl(&["--header", key, "--data", &body, &url]).run();
        }
    }

    /// What it reports in a format, once that includes the state, and what requests used.
    fn metrics(&self, accept: &str) -> Answer {
        let headers = [format!("Authorization: Bearer {TOKEN}"), format!("Accept: {accept}")];
        let headers = headers.each_ref().map(String::as_str);
        poll("the metrics of the state", || {
            let answer = plain_http::ask("GET", self.metrics_url(), &headers, "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let text = answer.text();
            // The last one that appears.
            let has = |name: &str| text.contains(&format!("\n{name}"));
            (has("ollama_auth_event_log_checkpoint_records{") && has("ollama_auth_audit_sink_lag_records{"))
                .then_some(answer)
        })
    }
}

fn upstream(request: &Request) -> Reply {
    let line = |text: &str| Step::send(format!("{text}\n"));
    let token = line(r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":false}"#);
    let end = line(
        r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"prompt_eval_count":3,"eval_count":2}"#,
    );
    match request.path() {
        "/v1/embeddings" => Reply::drop_connection(),
        "/api/chat" if request.json()["model"] == "cut" => Reply::ndjson([token, Step::Cut]),
        "/api/chat" => Reply::ndjson([token.clone(), token, end]),
        _ => Reply::json(200, json!({ "models": [] })),
    }
}

/// The names of metrics in a text. Those of histograms are without what Prometheus appends.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let known = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    known
        .map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name))
        .map(str::to_owned)
        .collect()
}

/// The metrics that the reference lists.
fn documented() -> BTreeSet<String> {
    let page = text(REFERENCE);
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    first_cells.flat_map(names_in).collect()
}
