//! How a running gateway is: one report for `gateway status`, the page `/admin` and the metrics.
//!
//! Collecting it takes little, ends within a few seconds whatever does not answer, and never fails: what cannot be read is `None`, or among
//! the problems.

mod collector;
mod observed;
mod problems;
mod process;
mod report;
mod sections;

pub use collector::{StatusCollector, StatusParts};
pub use observed::Signing;
pub use report::{EventLogStatus, Problem, StatusReport};
pub use sections::Section;
