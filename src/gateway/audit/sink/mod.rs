//! Sinks: each gets the whole event log of the database, in its order and at least once, as JSON lines.
//!
//! A sink that does not take lines holds up nothing else. Where it stopped is kept in a file, so that it resumes there.

mod feed;
mod file;
mod line;
mod output;
mod position;
mod runner;
mod settings;
mod state;
mod stdout;
mod syslog;
mod writer;

pub use runner::Sinks;
pub use settings::{SinkSettings, SinkTarget};
pub use state::{SinkState, SinkStates};
