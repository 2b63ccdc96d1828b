//! The metrics of requests, for Prometheus. `docs/reference/metrics.md` lists them.
//!
//! Labels are bounded: routes and codes are those of the program, models a few that the upstream server has answered for, and people, keys
//! and addresses are never labels.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::model_labels::{ModelLabel, ModelLabels};
use super::process_metrics::ProcessMetrics;
use super::state_metrics::{StateMetric, StateMetrics};
use super::summary::{CALLER_LEFT, InferenceSummary, RequestSummary};

/// The limits of the buckets of whole requests, in seconds: an API call takes milliseconds, a long answer minutes.
const DURATIONS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];
/// Of the time to the first token, in seconds: a model that has to be loaded can take a minute.
const FIRST_TOKENS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' older text format, 0.0.4.
    PrometheusText,
}

impl MetricsFormat {
    /// The one that a request accepts. Prometheus asks for OpenMetrics.
    pub fn accepted_by(headers: &HeaderMap) -> Self {
        let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        match accepted.any(|value| value.contains("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::PrometheusText,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
    /// Empty unless it was refused for a reason that has a code.
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelOnly {
    model: ModelLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    model: ModelLabel,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: ModelLabel,
    direction: &'static str,
    /// `reported` by the upstream server, or `estimated`.
    source: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// See the module.
pub struct Metrics {
    registry: Registry,
    state: Arc<StateMetrics>,
    models: ModelLabels,
    requests: Family<RequestLabels, Counter>,
    durations: Histograms<RouteLabels>,
    response_bytes: Counter,
    inferences: Family<OutcomeLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    first_tokens: Histograms<ModelOnly>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Registry::default();
        all.register_collector(Box::new(ProcessMetrics));
        let registry = all.sub_registry_with_prefix("ollama_auth");
        let state = Arc::<StateMetrics>::default();
        registry.register_collector(Box::new(state.clone()));
        let (durations, first_tokens): (Histograms<_>, Histograms<_>) = (
            Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            Family::new_with_constructor(|| Histogram::new(FIRST_TOKENS)),
        );
        let (requests, inferences, tokens) = (Family::default(), Family::default(), Family::default());
        let response_bytes = Counter::default();
        let build = prometheus_client::metrics::info::Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the gateway", build);
        registry.register("requests", "Requests that are over, by route, status and refusal code", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from the head of a request to the end of its response",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit("response_body", "Bytes of response bodies", Unit::Bytes, response_bytes.clone());
        registry.register("inferences", "Requests to models, by how their response ended", inferences.clone());
        registry.register("tokens", "Tokens of prompts (input) and answers (output)", tokens.clone());
        registry.register_with_unit(
            "time_to_first_token",
            "Time from the admission of a request to its first token",
            Unit::Seconds,
            first_tokens.clone(),
        );
        let models = ModelLabels::default();
        Self { registry: all, state, models, requests, durations, response_bytes, inferences, tokens, first_tokens }
    }
}

impl Metrics {
    /// Counts a request that is over.
    pub fn count(&self, request: &RequestSummary) {
        let code = request.code.map_or("", |code| code.name());
        let labels = RequestLabels { route: request.route, status: known_status(request.status), code };
        self.requests.get_or_create(&labels).inc();
        let route = RouteLabels { route: request.route };
        self.durations.get_or_create(&route).observe(request.total.as_secs_f64());
        self.response_bytes.inc_by(request.bytes);
        if let Some(inference) = &request.inference {
            self.count_inference(inference);
        }
    }

    /// Replaces the metrics of the gateway's state.
    pub fn set_state(&self, all: Vec<StateMetric>) {
        self.state.set(all);
    }

    fn count_inference(&self, inference: &InferenceSummary) {
        let InferenceSummary { model, status, tokens, first_token } = inference;
        let model = self.models.of(model);
        self.inferences.get_or_create(&OutcomeLabels { model: model.clone(), outcome: status.name() }).inc();
        let source = if tokens.is_estimate { "estimated" } else { "reported" };
        for (direction, count) in [("input", tokens.input), ("output", tokens.output)] {
            if count > 0 {
                let labels = TokenLabels { model: model.clone(), direction, source };
                self.tokens.get_or_create(&labels).inc_by(count);
            }
        }
        if let Some(first_token) = first_token {
            self.first_tokens.get_or_create(&ModelOnly { model }).observe(first_token.as_secs_f64());
        }
    }

    /// All of them.
    pub fn encode(&self, format: MetricsFormat) -> String {
        let mut out = String::new();
        let encoded = match format {
            MetricsFormat::OpenMetrics => text::encode(&mut out, &self.registry),
            MetricsFormat::PrometheusText => prometheus_text::encode(&mut out, &self.registry),
        };
        // Writing to a string cannot fail.
        debug_assert!(encoded.is_ok());
        out
    }
}

/// A status that HTTP knows; of another its class: an upstream server may send any number, and each would be a label.
fn known_status(status: u16) -> u16 {
    let is_known = StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
    if is_known || status == CALLER_LEFT { status } else { status / 100 * 100 }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
