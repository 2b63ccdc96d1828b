//! What totals of usage measure, as columns.

use super::UsageTotals;

/// The fields of [`UsageTotals`], as the columns are called.
pub(super) const MEASURES: [&str; 10] =
    ["requests", "failed", "cut", "cancelled", "refused", "input", "output", "estimated", "busy_ms", "bytes"];

/// The values of the columns.
pub(super) fn measures(totals: &UsageTotals) -> [u64; MEASURES.len()] {
    let UsageTotals { requests, failed, cut, cancelled, refused, input, output, estimated, busy_ms, bytes } = *totals;
    [requests, failed, cut, cancelled, refused, input, output, estimated, busy_ms, bytes]
}

/// The totals that have these values.
pub(super) fn totals_of(values: [u64; MEASURES.len()]) -> UsageTotals {
    let [requests, failed, cut, cancelled, refused, input, output, estimated, busy_ms, bytes] = values;
    UsageTotals { requests, failed, cut, cancelled, refused, input, output, estimated, busy_ms, bytes }
}
