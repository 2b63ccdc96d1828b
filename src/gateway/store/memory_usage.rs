//! Usage in memory, for tests: the plainest way to do what a database does, by which the others are checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    LastUse, RecordPage, RecordPosition, RecordQuery, UsageBatch, UsagePeriod, UsageQuery, UsageRecord, UsageRow,
    UsageSeries, UsageTotals,
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
}

impl MemoryUsage {
    /// Writes a batch, unless it was written.
    pub fn write(&mut self, batch: &UsageBatch) {
        if self.sequences.get(&batch.run).is_some_and(|last| batch.sequence <= *last) {
            return;
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
