//! Records requests that are over, where the configuration asks for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::access_log::{AccessLog, AccessLogSettings};
use super::metrics::Metrics;
use super::summary::RequestSummary;
use crate::gateway::clock::Clock;

/// See the module. There is one for the whole gateway.
pub struct Telemetry {
    metrics: Option<Arc<Metrics>>,
    /// Connections and requests that got no further.
    pub connections: ConnectionCounts,
    access_log: AccessLog,
    clock: Clock,
}

/// Connections and requests of which there is no summary.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    rejected: AtomicU64,
    malformed: AtomicU64,
}

impl ConnectionCounts {
    /// A connection was refused, since its address had too many.
    pub fn note_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not valid HTTP.
    pub fn note_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections were refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many requests were not valid HTTP.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }
}

impl Telemetry {
    /// Counts requests in `metrics`. None is logged yet.
    pub fn new(metrics: Option<Arc<Metrics>>, clock: Clock) -> Self {
        Self { metrics, connections: ConnectionCounts::default(), access_log: AccessLog::default(), clock }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.metrics.is_some() || self.access_log.is_on()
    }

    /// The metrics, if there are any.
    pub fn metrics(&self) -> Option<&Arc<Metrics>> {
        self.metrics.as_ref()
    }

    /// Logs the requests that end from now on there, or not at all.
    pub fn configure_access_log(&self, settings: Option<&AccessLogSettings>) {
        self.access_log.configure(settings);
    }

    /// Writes the lines of the access log that wait, and ends it. Blocks for two seconds at most, while a disk or a reader takes nothing.
    pub fn finish_access_log(&self) {
        self.access_log.finish();
    }

    /// The lines of the access log that were written, and those that were dropped.
    pub fn access_log_lines(&self) -> (u64, u64) {
        (self.access_log.written(), self.access_log.dropped())
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
        if self.access_log.is_on() {
            self.access_log.record(self.clock.now(), request);
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}
