//! Complete subtrees, and which hashes a store keeps so that each subtree can be computed with few reads.
//!
//! Of the interior hashes only every eighth level is stored: levels 8, 16, 24 and so on, beside level 0 with the records themselves.
//! That is one more hash for 255 records, and no subtree takes more than 128 reads.

use std::ops::Range;

use super::hash::Hash;

/// How many levels lie between two stored ones.
const STORED_EVERY: u8 = 8;

/// A subtree whose leaves are all there: those from `index << level` up to `(index + 1) << level`. Level 0 is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subtree {
    /// Its height; it has `2^level` leaves.
    pub level: u8,
    /// Its place among the subtrees of this level, from the left, from 0.
    pub index: u64,
}

impl Subtree {
    /// The indexes of its records.
    pub fn leaves(self) -> Range<u64> {
        let first = self.index << self.level;
        first..first + (1 << self.level)
    }

    /// Whether a store keeps its hash.
    pub fn is_stored(self) -> bool {
        self.level.is_multiple_of(STORED_EVERY)
    }

    /// The stored hashes that it is computed from, by [`root_of_complete`]. For one that is stored, itself.
    pub fn stored_hashes(self) -> StoredHashes {
        let above = self.level % STORED_EVERY;
        let first = self.index << above;
        StoredHashes { level: self.level - above, indexes: first..first + (1 << above) }
    }
}

/// Neighbouring hashes of one stored level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHashes {
    /// A multiple of 8.
    pub level: u8,
    /// Their indexes on that level: a power of two of them, at most 128.
    pub indexes: Range<u64>,
}

/// The complete subtrees that together have these leaves, from the left, as few as possible.
///
/// For the ranges that RFC 6962 cuts a tree into, [`root_of_parts`] of their hashes is the hash of the range.
pub fn cover(leaves: Range<u64>) -> Vec<Subtree> {
    let mut parts = Vec::new();
    let Range { start: mut first, end } = leaves;
    while first < end {
        let largest = (end - first).ilog2();
        let level = largest.min(first.trailing_zeros());
        parts.push(Subtree { level: level as u8, index: first >> level });
        first += 1 << level;
    }
    parts
}

/// The hash of a complete subtree from the hashes of one level of it; `None` if their number is no power of two.
pub fn root_of_complete(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| Hash::of_node(pair[0], pair[1])).collect();
    }
    level.pop()
}

/// The hash of a range of leaves from the hashes of the subtrees that [`cover`] it; `None` if there are none.
pub fn root_of_parts(hashes: &[Hash]) -> Option<Hash> {
    let (last, before) = hashes.split_last()?;
    Some(before.iter().rfold(*last, |right, left| Hash::of_node(*left, right)))
}
