//! What operators see of requests: counters for Prometheus and the access log. Each request is recorded once, when it is over, however it ends.

mod metrics;
mod model_labels;
mod recorder;
mod summary;
mod trace_id;
mod tracker;

pub use metrics::{Metrics, MetricsFormat};
pub use recorder::Telemetry;
pub use summary::InferenceSummary;
pub use tracker::RequestTracker;
