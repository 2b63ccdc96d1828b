//! How lists show what is suspended.

use crate::gateway::SuspensionRow;
use crate::relative_time;

/// Since when and why: "3 days ago: stolen"; `None` if it is not suspended.
pub fn suspended_text(row: &SuspensionRow, now: i64) -> Option<String> {
    let since = relative_time::ago(row.suspended_at?, now);
    Some(match &row.suspended_reason {
        Some(reason) => format!("{since}: {reason}"),
        None => since,
    })
}
