//! The first record of each log but the first names the log before it, and where that ended.

use serde::Deserialize;

use super::finding::Finding;
use super::report::LogReport;
use crate::transparency_log::Hash;

/// The action of that record.
pub const LOG_BEGUN: &str = "audit.log_begun";

/// What it says of the log before.
pub struct LogLink {
    /// The origin.
    pub before: String,
    /// How many records it had.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
}

impl LogLink {
    /// Reads the line of a record; `None` for any other record.
    pub fn read(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Record {
            action: String,
            details: Details,
        }
        #[derive(Deserialize)]
        struct Details {
            before: String,
            size: u64,
            root: String,
        }
        let Record { action, details: Details { before, size, root } } = serde_json::from_str(line).ok()?;
        (action == LOG_BEGUN).then_some(())?;
        Some(Self { before, size, root: Hash::from_base64(&root)? })
    }

    /// Whether the log before is there, and ended so.
    pub fn check(&self, before: Option<&LogReport>) -> Option<Finding> {
        let Some(found) = before.filter(|found| found.origin == self.before) else {
            let last = self.size.saturating_sub(1);
            return (self.size > 0).then(|| Finding::Missing { log: self.before.clone(), first: 0, last });
        };
        let is_same = found.root.as_ref().is_none_or(|root| *root == self.root.to_string());
        (found.size != self.size || !is_same).then(|| Finding::Tree {
            log: found.origin.clone(),
            size: found.size,
            stored_size: i64::try_from(self.size).unwrap_or(i64::MAX),
        })
    }
}
