//! What budgets of tokens have used: a total for each window of each budget.
//!
//! Each batch of usage that adds to totals has a version. Versions are in the order of the commits: who has seen all up to one asks for what
//! changed after it, and misses nothing.

/// What a batch of usage adds to a window of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetUse {
    /// Which budget and which window, for instance `day:20789:person:ID`. At most 512 bytes.
    pub id: String,
    /// When the window ends, in Unix seconds.
    pub ends_at: i64,
    /// The tokens that are added, or, if there are fewer than none, taken back. A total is never less than none.
    pub tokens: i64,
}

/// What was used in a window of a budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetTotal {
    /// As in [`BudgetUse::id`].
    pub id: String,
    /// The sum, at most 2^53 - 1.
    pub tokens: u64,
}

/// Totals that have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetNews {
    /// That of the last change. If it is lower than the one that was asked with, the database has lost changes, and these are all totals.
    pub version: i64,
    /// The totals as they are now.
    pub totals: Vec<BudgetTotal>,
}
