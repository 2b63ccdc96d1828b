//! What requests use of the upstream server: counted on the way of the response, gathered, and written in batches.

mod body;
mod collector;
mod credential;
mod meter;
mod range;
mod report;
pub mod response;

pub use body::MeteredBody;
pub use collector::UsageCollector;
pub use credential::credential_names;
pub use meter::Meter;
pub use range::{UsageRange, UsageTime, period_text};
pub use report::{UsageBy, UsageReportRow, groups, report, sums};
