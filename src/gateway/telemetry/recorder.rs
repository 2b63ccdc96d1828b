//! Records requests that are over, where the configuration asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;
use super::summary::RequestSummary;
use crate::gateway::clock::Clock;

/// See the module. There is one for the whole gateway.
pub struct Telemetry {
    metrics: Option<Arc<Metrics>>,
    clock: Clock,
}

impl Telemetry {
    /// Counts requests in `metrics`.
    pub fn new(metrics: Option<Arc<Metrics>>, clock: Clock) -> Self {
        Self { metrics, clock }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.metrics.is_some()
    }

    /// The metrics, if there are any.
    pub fn metrics(&self) -> Option<&Arc<Metrics>> {
        self.metrics.as_ref()
    }

    /// The time that has passed since some moment.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Takes a request that is over.
    pub fn record(&self, request: &RequestSummary) {
        if let Some(metrics) = &self.metrics {
            metrics.count(request);
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}
