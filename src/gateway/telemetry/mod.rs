//! What operators see of requests: counters for Prometheus and the access log. Each request is recorded once, when it is over, however it ends.

mod access_log;
mod metrics;
mod model_labels;
mod process_metrics;
mod recorder;
mod state_metrics;
mod summary;
mod trace_id;
mod tracker;

pub use access_log::{AccessLogFormat, AccessLogSettings, AccessLogTarget};
pub use metrics::{Metrics, MetricsFormat};
pub use recorder::Telemetry;
pub use state_metrics::StateMetric;
pub use summary::InferenceSummary;
pub use tracker::RequestTracker;
