//! Gathers what requests used, and writes it in batches beside the path of requests.
//!
//! A batch whose outcome is not known is written again as it is: the store adds one only once. While nothing can be written, single requests
//! are forgotten after a while, and their totals are not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use super::credential::credential_names;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::{Caller, Credential};
use crate::gateway::clock::Clock;
use crate::gateway::limits::{BudgetWarning, Budgets};
use crate::gateway::local_day::{DayOf, day_of};
use crate::gateway::store::{LastUse, Store, StoreError, UsageBatch, UsageRecord, UsageSeries, UsageTotals};
use crate::keyspec::Scope;

/// Records of a batch.
const BATCH: usize = 1000;
/// The longest time until a record is written.
const INTERVAL: Duration = Duration::from_millis(800);
/// Models whose names are known at most.
const MOST_MODELS: usize = 1000;
/// Records that wait at most. Of further ones only the totals are kept.
const MOST_WAITING: usize = 50_000;
/// A use of a scope is noted again after so many seconds.
const NOTED_EVERY: u64 = 60;
/// Credentials and scopes whose uses are told apart in that time.
const MOST_NOTED: usize = 16_384;
/// In seconds.
const HOUR: i64 = 3600;

/// See the module. There is one for the whole gateway.
pub struct UsageCollector {
    config: Arc<ConfigHandle>,
    budgets: Arc<Budgets>,
    clock: Clock,
    hasher: RandomState,
    /// Of this start.
    run: Uuid,
    waiting: Mutex<Waiting>,
    /// Told when a batch is full.
    full: Notify,
    /// The batch that is being written, and its number. Held by who writes.
    writing: tokio::sync::Mutex<Writing>,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<UsageRecord>,
    /// By hour and day: refused requests, and those whose records are not kept.
    totals: HashMap<(i64, i64, UsageSeries), UsageTotals>,
    /// Records that were not kept since the last batch.
    forgotten: u64,
    /// Uses of scopes whose requests are not counted.
    uses: Vec<LastUse>,
    /// Models for which the upstream server has answered.
    models: HashSet<String>,
    /// When a credential and a scope, by their hash, were among them last.
    noted: HashMap<u64, i64>,
}

#[derive(Default)]
struct Writing {
    /// When what the database has of budgets was read, in Unix seconds.
    read_at: Option<i64>,
    /// Warnings of budgets that were not returned yet.
    warnings: Vec<BudgetWarning>,
    sequence: u64,
    batch: Option<UsageBatch>,
}

impl UsageCollector {
    /// Nothing yet.
    pub fn new(config: Arc<ConfigHandle>, budgets: Arc<Budgets>, clock: Clock) -> Self {
        Self {
            config,
            budgets,
            clock,
            hasher: RandomState::new(),
            run: Uuid::new_v4(),
            waiting: Mutex::default(),
            full: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// The time that has passed since some moment.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The Unix time in seconds.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Takes the record of a request that is over.
    pub fn record(&self, record: UsageRecord) {
        let mut waiting = self.lock();
        if waiting.records.len() < MOST_WAITING {
            waiting.records.push_back(record);
            let is_full = waiting.records.len() == BATCH;
            drop(waiting);
            if is_full {
                self.full.notify_one();
            }
            return;
        }
        drop(waiting);
        let day = day_of(record.ended_at, &self.config.get().time_zone);
        let mut waiting = self.lock();
        waiting.add(record.ended_at.div_euclid(HOUR), day, &record.series, record.totals());
        waiting.forgotten += 1;
    }

    /// The upstream server has answered for a model of that name.
    pub fn note_model(&self, model: &str) {
        let models = &mut self.lock().models;
        if !model.is_empty() && models.len() < MOST_MODELS && !models.contains(model) {
            models.insert(model.to_owned());
        }
    }

    /// Whether the upstream server has answered for a model of that name.
    pub fn is_known_model(&self, model: &str) -> bool {
        self.lock().models.contains(model)
    }

    /// Counts a request that a limit has refused.
    pub fn refused(&self, caller: &Caller) {
        let now = self.clock.now();
        let (_, credential) = credential_names(caller);
        let series = UsageSeries { account: caller.user().id, credential, model: String::new() };
        let day = day_of(now, &self.config.get().time_zone);
        let refused = UsageTotals { refused: 1, ..UsageTotals::default() };
        self.lock().add(now.div_euclid(HOUR), day, &series, refused);
    }

    /// Notes that a credential was used for a scope whose requests are not counted.
    pub fn scope_used(&self, caller: &Caller, scope: Scope) {
        let hash = match caller.credential() {
            Credential::Key(key) => self.hasher.hash_one((key.id.as_str(), scope)),
            Credential::Device(device) => self.hasher.hash_one((&device.key, scope)),
            Credential::Workload(token) => self.hasher.hash_one((token.rule.name.as_str(), scope)),
            Credential::Session(_) => return,
        };
        let now = self.clock.now();
        let mut waiting = self.lock();
        if waiting.noted.get(&hash).is_some_and(|noted| noted.abs_diff(now) < NOTED_EVERY) {
            return;
        }
        if waiting.noted.len() == MOST_NOTED {
            waiting.noted.clear();
        }
        waiting.noted.insert(hash, now);
        if waiting.uses.len() < MOST_NOTED {
            let (account, credential, model) = (caller.user().id, caller.name(), String::new());
            waiting.uses.push(LastUse { account, credential, scope, model, at: now });
        }
    }

    /// Returns when something should be written.
    pub async fn due(&self) {
        tokio::select! {
            () = self.full.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }

    /// Writes what waits, and reads what other gateways have used of budgets. Returns the budgets of which 80 % or all is used since.
    ///
    /// # Errors
    /// [`StoreError`]. What was not written stays.
    pub async fn write(&self, store: &dyn Store) -> Result<Vec<BudgetWarning>, StoreError> {
        let written = self.write_all(store).await;
        if written.is_err() {
            self.budgets.set_offline();
        }
        written
    }

    async fn write_all(&self, store: &dyn Store) -> Result<Vec<BudgetWarning>, StoreError> {
        let mut writing = self.writing.lock().await;
        // For other gateways, and once: running requests use something all the time.
        let mut has_running = store.is_shared();
        // What comes meanwhile waits for the next time: it could come without end.
        for _ in 0..self.batches() {
            if writing.batch.is_none() {
                let next = self.next_batch(writing.sequence + 1, std::mem::take(&mut has_running));
                let Some(batch) = next else { break };
                writing.sequence += 1;
                writing.batch = Some(batch);
            }
            if let Some(batch) = &writing.batch {
                let totals = store.write_usage(batch).await?;
                let warnings = self.budgets.written(&batch.budgets, &totals);
                writing.warnings.extend(warnings);
            }
            writing.batch = None;
        }
        let now = self.clock.now();
        // Windows that have ended are not read: after the clock was set back, some may not have ended.
        let begins_anew = writing.read_at.is_none_or(|last| now < last);
        if store.is_shared() || begins_anew {
            let version = if begins_anew { 0 } else { self.budgets.version() };
            self.budgets.read(store.budget_totals(version, now).await?);
        }
        writing.read_at = Some(now);
        Ok(std::mem::take(&mut writing.warnings))
    }

    /// How many batches hold what waits now.
    fn batches(&self) -> usize {
        let waiting = self.lock();
        waiting.records.len().max(waiting.totals.len()).max(waiting.uses.len()) / BATCH + 2
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.lock().records.len()
    }

    fn next_batch(&self, sequence: u64, has_running: bool) -> Option<UsageBatch> {
        let zone = self.config.get().time_zone.clone();
        let (records, totals, forgotten, uses) = {
            let mut waiting = self.lock();
            let count = waiting.records.len().min(BATCH);
            let records: Vec<UsageRecord> = waiting.records.drain(..count).collect();
            let Waiting { totals, forgotten, uses, .. } = &mut *waiting;
            // Not all at once after a long outage: a transaction has its time.
            let some = match totals.len() <= BATCH {
                true => std::mem::take(totals),
                false => {
                    let keys: Vec<_> = totals.keys().take(BATCH).cloned().collect();
                    keys.into_iter().filter_map(|key| totals.remove_entry(&key)).collect()
                }
            };
            let uses: Vec<LastUse> = uses.drain(..uses.len().min(BATCH)).collect();
            (records, some, std::mem::take(forgotten), uses)
        };
        let budgets = self.budgets.take(BATCH, has_running);
        if records.is_empty() && totals.is_empty() && uses.is_empty() && budgets.is_empty() {
            return None;
        }
        if forgotten > 0 {
            tracing::warn!(count = forgotten, "usage of single requests was not kept, only its totals");
        }
        let others = totals.iter().map(|((hour, day, series), totals)| ((*hour, *day, series), *totals));
        let mut sums: HashMap<(i64, i64, &UsageSeries), UsageTotals> = others.collect();
        let mut days = DayOf::new(zone);
        for record in &records {
            let (hour, day) = (record.ended_at.div_euclid(HOUR), days.of(record.ended_at));
            *sums.entry((hour, day, &record.series)).or_default() += record.totals();
        }
        let mut hours: HashMap<(i64, &UsageSeries), UsageTotals> = HashMap::new();
        let mut by_day: HashMap<(i64, &UsageSeries), UsageTotals> = HashMap::new();
        for ((hour, day, series), totals) in sums {
            *hours.entry((hour, series)).or_default() += totals;
            *by_day.entry((day, series)).or_default() += totals;
        }
        let list = |all: HashMap<(i64, &UsageSeries), UsageTotals>| {
            all.into_iter().map(|((period, series), totals)| (period, series.clone(), totals)).collect()
        };
        let (hours, days) = (list(hours), list(by_day));
        let last_uses = last_uses(&records, uses);
        Some(UsageBatch { run: self.run, sequence, at: self.clock.now(), records, hours, days, last_uses, budgets })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When each credential used a scope and a model last.
fn last_uses(records: &[UsageRecord], others: Vec<LastUse>) -> Vec<LastUse> {
    let mut models: HashMap<(&str, &str), LastUse> = HashMap::new();
    // A request that the upstream server did not accept has no model, and used nothing.
    for record in records.iter().filter(|record| (200..300).contains(&record.http_status)) {
        let UsageSeries { account, model, .. } = &record.series;
        let used = models.entry((&record.credential, model)).or_insert_with(|| LastUse {
            account: *account,
            credential: record.credential.clone(),
            scope: Scope::Inference,
            model: model.clone(),
            at: record.ended_at,
        });
        used.at = used.at.max(record.ended_at);
    }
    models.into_values().chain(others).collect()
}

impl Waiting {
    fn add(&mut self, hour: i64, day: i64, series: &UsageSeries, totals: UsageTotals) {
        *self.totals.entry((hour, day, series.clone())).or_default() += totals;
    }
}

impl fmt::Debug for UsageCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsageCollector")
    }
}
