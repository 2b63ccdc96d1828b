//! Usage in memory, for tests: the plainest way to do what a database does, by which the others are checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    BudgetNews, BudgetTotal, LastUse, RecordPage, RecordPosition, RecordQuery, UsageBatch, UsagePeriod, UsageQuery,
    UsageRecord, UsageRow, UsageSeries, UsageTotals,
};

/// All that was written.
#[derive(Default)]
pub struct MemoryUsage {
    /// The last sequence of each run.
    sequences: HashMap<Uuid, u64>,
    /// In the order in which they were written.
    pub records: Vec<UsageRecord>,
    /// What was added to hours.
    pub hours: Vec<(i64, UsageSeries, UsageTotals)>,
    /// What was added to days.
    pub days: Vec<(i64, UsageSeries, UsageTotals)>,
    /// In the order in which they were first noted.
    pub last_uses: Vec<LastUse>,
    /// The end, the tokens and the version of each window of a budget.
    pub budgets: BTreeMap<String, (i64, u64, i64)>,
    /// The last version.
    pub budget_version: i64,
}

impl MemoryUsage {
    /// Writes a batch, unless it was written. Returns the totals of its budgets.
    pub fn write(&mut self, batch: &UsageBatch) -> Vec<BudgetTotal> {
        if self.sequences.get(&batch.run).is_some_and(|last| batch.sequence <= *last) {
            return Vec::new();
        }
        self.sequences.insert(batch.run, batch.sequence);
        self.records.extend(batch.records.iter().cloned());
        self.hours.extend(batch.hours.iter().cloned());
        self.days.extend(batch.days.iter().cloned());
        for used in &batch.last_uses {
            let is_same =
                |other: &&mut LastUse| LastUse { at: 0, ..(**other).clone() } == LastUse { at: 0, ..used.clone() };
            match self.last_uses.iter_mut().find(is_same) {
                Some(last) => last.at = last.at.max(used.at),
                None => self.last_uses.push(used.clone()),
            }
        }
        self.budget_version += i64::from(!batch.budgets.is_empty());
        let mut totals = Vec::new();
        for used in &batch.budgets {
            let (ends_at, tokens, version) = self.budgets.entry(used.id.clone()).or_default();
            *tokens = tokens.saturating_add_signed(used.tokens).min((1 << 53) - 1);
            (*ends_at, *version) = (used.ends_at, self.budget_version);
            totals.push(BudgetTotal { id: used.id.clone(), tokens: *tokens });
        }
        totals
    }

    /// As [`Store::budget_totals`](super::Store::budget_totals).
    pub fn budget_totals(&self, after: i64, now: i64) -> BudgetNews {
        let after = if after > self.budget_version { 0 } else { after };
        let changed = self.budgets.iter().filter(|(_, (ends_at, _, version))| *version > after && *ends_at > now);
        let totals = changed.map(|(id, (_, tokens, _))| BudgetTotal { id: id.clone(), tokens: *tokens }).collect();
        BudgetNews { version: self.budget_version, totals }
    }

    /// As [`Store::usage_totals`](super::Store::usage_totals).
    pub fn totals(&self, wanted: &UsageQuery) -> Vec<UsageRow> {
        let list = match wanted.period {
            UsagePeriod::Hour => &self.hours,
            UsagePeriod::Day => &self.days,
        };
        let group = wanted.group;
        let mut sums: BTreeMap<_, UsageTotals> = BTreeMap::new();
        if group == Default::default() {
            sums.insert((None, None, None, None), UsageTotals::default());
        }
        for (period, series, totals) in list {
            let fits = wanted.periods.contains(period)
                && wanted.account.is_none_or(|account| account == series.account)
                && wanted.credential.as_ref().is_none_or(|credential| *credential == series.credential)
                && wanted.model.as_ref().is_none_or(|model| *model == series.model);
            if fits {
                let key = (
                    group.period.then_some(*period),
                    group.account.then_some(series.account),
                    group.credential.then(|| series.credential.clone()),
                    group.model.then(|| series.model.clone()),
                );
                *sums.entry(key).or_default() += *totals;
            }
        }
        let row =
            |((period, account, credential, model), totals)| UsageRow { period, account, credential, model, totals };
        sums.into_iter().map(row).collect()
    }

    /// As [`Store::usage_records`](super::Store::usage_records).
    pub fn page(&self, wanted: &RecordQuery) -> RecordPage {
        let numbered = (1..).zip(&self.records);
        let mut found: Vec<_> = numbered
            .map(|(id, record)| (RecordPosition { ended_at: record.ended_at, id }, record))
            .filter(|(position, record)| {
                wanted.account.is_none_or(|account| account == record.series.account)
                    && wanted.credential.as_ref().is_none_or(|credential| *credential == record.series.credential)
                    && wanted.status.is_none_or(|status| status == record.status)
                    && wanted.since.is_none_or(|since| record.ended_at >= since)
                    && wanted.until.is_none_or(|until| record.ended_at < until)
                    && wanted.after.is_none_or(|after| *position < after)
            })
            .collect();
        found.sort_by_key(|(position, _)| Reverse(*position));
        let has_more = found.len() > wanted.limit as usize;
        found.truncate(wanted.limit as usize);
        let next = found.last().filter(|_| has_more).map(|(position, _)| *position);
        RecordPage { records: found.into_iter().map(|(_, record)| record.clone()).collect(), next }
    }

    /// As [`Store::last_uses`](super::Store::last_uses).
    pub fn last_uses(&self, account: Option<Uuid>) -> Vec<LastUse> {
        let mut uses: Vec<LastUse> = self.last_uses.clone();
        uses.retain(|used| account.is_none_or(|account| account == used.account));
        uses.sort_by_key(|used| {
            (used.account.to_string(), used.credential.clone(), used.scope.name(), used.model.clone())
        });
        uses
    }
}
