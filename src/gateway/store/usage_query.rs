//! What a store is asked about usage.

use std::ops::Range;

use uuid::Uuid;

use super::{UsageRecord, UsageStatus, UsageTotals};

/// The periods by which totals are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UsagePeriod {
    /// Hours: Unix seconds divided by 3,600.
    Hour,
    /// Days since 1970-01-01, in the time zone of the totals.
    #[default]
    Day,
}

/// What a row of totals is for. What is left out is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageGroup {
    /// One hour or day.
    pub period: bool,
    /// One account.
    pub account: bool,
    /// One credential: of API keys, a whole line of replacements.
    pub credential: bool,
    /// One model.
    pub model: bool,
}

/// Which totals are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// From the totals of hours or of days.
    pub period: UsagePeriod,
    /// Of these hours or days.
    pub periods: Range<i64>,
    /// Only of this account.
    pub account: Option<Uuid>,
    /// Only of this credential, as in [`UsageSeries::credential`](super::UsageSeries::credential).
    pub credential: Option<String>,
    /// Only of this model.
    pub model: Option<String>,
    /// What a row is for. Without anything there is one row.
    pub group: UsageGroup,
}

/// Totals. Rows are in the order of their fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageRow {
    /// The hour or the day, if they are by period.
    pub period: Option<i64>,
    /// The account, if they are by account. It may have been removed.
    pub account: Option<Uuid>,
    /// The credential, if they are by credential.
    pub credential: Option<String>,
    /// The model, if they are by model; empty for requests without one.
    pub model: Option<String>,
    /// The sums.
    pub totals: UsageTotals,
}

/// Which records are wanted, those that ended last first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Only of this account.
    pub account: Option<Uuid>,
    /// Only of this credential, as in [`UsageSeries::credential`](super::UsageSeries::credential).
    pub credential: Option<String>,
    /// Only with this status.
    pub status: Option<UsageStatus>,
    /// Only those that ended at this Unix second or later.
    pub since: Option<i64>,
    /// Only those that ended before this Unix second.
    pub until: Option<i64>,
    /// Only those behind this one.
    pub after: Option<RecordPosition>,
    /// How many at most.
    pub limit: u32,
}

/// Where a record is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordPosition {
    /// When it ended, in Unix seconds.
    pub ended_at: i64,
    /// The number that it has in the database.
    pub id: i64,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordPage {
    /// Those that ended last first.
    pub records: Vec<UsageRecord>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<RecordPosition>,
}
