//! Between which times the events of each block lie. Filters by time pass over the blocks of which other times are noted, so what is noted must
//! not hide any event.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::gateway::store::{AuditRow, BlockTimes, TIME_BLOCK};

/// The times of the events that were read, by block.
#[derive(Debug, Default)]
pub struct Times(BTreeMap<i64, (i64, i64)>);

impl Times {
    /// Adds an event.
    pub fn add(&mut self, row: &AuditRow) {
        let (first, last) = (row.columns.at, row.columns.last_at.unwrap_or(row.columns.at));
        let block = self.0.entry(row.id / TIME_BLOCK).or_insert((first, last));
        *block = (block.0.min(first), block.1.max(last));
    }

    /// Adds those of another log.
    pub fn extend(&mut self, other: Self) {
        for (block, (first, last)) in other.0 {
            let block = self.0.entry(block).or_insert((first, last));
            *block = (block.0.min(first), block.1.max(last));
        }
    }

    /// The blocks with events that a filter by time would pass over. Those after the last that is noted are always looked into.
    pub fn hidden(&self, noted: &[BlockTimes]) -> Vec<Finding> {
        let Some(end) = noted.last().map(|last| last.block + 1) else { return Vec::new() };
        let noted: BTreeMap<i64, &BlockTimes> = noted.iter().map(|times| (times.block, times)).collect();
        let shows = |block: &i64, (first, last): &(i64, i64)| {
            noted.get(block).is_some_and(|times| times.first_at <= *first && times.last_at >= *last)
        };
        let blocks = self.0.iter().filter(|(block, times)| **block < end && !shows(block, times));
        blocks
            .map(|(block, _)| Finding::Times { first: block * TIME_BLOCK, last: (block + 1) * TIME_BLOCK - 1 })
            .collect()
    }
}
