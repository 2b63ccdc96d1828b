//! What a verification says of the logs.

use serde::Serialize;

use super::finding::Finding;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Each log, the oldest first.
    pub logs: Vec<LogReport>,
    /// Events of a version before this one, which no tree has yet.
    pub outside: i64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What a log is.
#[derive(Debug, Serialize)]
pub struct LogReport {
    /// Its origin.
    pub origin: String,
    /// The first record that was not removed.
    pub first: u64,
    /// How many records it had in all.
    pub size: u64,
    /// The root of its tree; null if a record is missing.
    pub root: Option<String>,
    /// So many records are proven by a tree that is known from elsewhere.
    pub proven_until: Option<u64>,
}
