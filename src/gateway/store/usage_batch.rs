//! What a gateway writes of usage at a time.

use uuid::Uuid;

use super::{BudgetUse, UsageRecord, UsageSeries, UsageTotals};
use crate::keyspec::Scope;

/// What was used since the last batch, written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageBatch {
    /// The run of the gateway that writes it: an id that is new at each start.
    pub run: Uuid,
    /// Higher than that of the batch before. A batch with the sequence of one that was written, or a lower one, is not written again.
    pub sequence: u64,
    /// When it was made, in Unix seconds.
    pub at: i64,
    /// The requests that ended.
    pub records: Vec<UsageRecord>,
    /// What is added to the totals of an hour: Unix seconds divided by 3,600.
    pub hours: Vec<(i64, UsageSeries, UsageTotals)>,
    /// What is added to the totals of a day: days since 1970-01-01, of the date in the time zone of the totals.
    pub days: Vec<(i64, UsageSeries, UsageTotals)>,
    /// When credentials were used.
    pub last_uses: Vec<LastUse>,
    /// What is added to budgets: of each window one.
    pub budgets: Vec<BudgetUse>,
}

/// When a credential used a scope with a model last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The account.
    pub account: Uuid,
    /// The credential, as in [`UsageRecord::credential`]: of an API key itself, not the first of its line.
    pub credential: String,
    /// The scope.
    pub scope: Scope,
    /// The model, as the gateway compares it; empty for none.
    pub model: String,
    /// Unix seconds.
    pub at: i64,
}
