//! The access log: a line for each request. A request adds it to a buffer in memory; a thread writes it. What cannot be written is dropped and counted:
//! no request waits for a disk or a reader.

mod buffer;
mod counts;
mod fields;
mod line;
mod log;
mod output;
mod settings;
mod timestamp;
mod writer;

pub use log::AccessLog;
pub use settings::{AccessLogFormat, AccessLogSettings, AccessLogTarget};
