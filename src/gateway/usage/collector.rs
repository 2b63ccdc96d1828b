//! Gathers what requests used, and writes it in batches beside the path of requests.
//!
//! A batch whose outcome is not known is written again as it is: the store adds one only once. While nothing can be written, single requests
//! are forgotten after a while, and their totals are not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use uuid::Uuid;

use super::credential::credential_names;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::{Caller, Credential};
use crate::gateway::clock::Clock;
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
/// The first day.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// See the module. There is one for the whole gateway.
pub struct UsageCollector {
    config: Arc<ConfigHandle>,
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
    sequence: u64,
    batch: Option<UsageBatch>,
}

impl UsageCollector {
    /// Nothing yet.
    pub fn new(config: Arc<ConfigHandle>, clock: Clock) -> Self {
        Self {
            config,
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
        if !record.series.model.is_empty()
            && waiting.models.len() < MOST_MODELS
            && !waiting.models.contains(&record.series.model)
        {
            waiting.models.insert(record.series.model.clone());
        }
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

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError`]. What was not written stays.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut writing = self.writing.lock().await;
        loop {
            if writing.batch.is_none() {
                let Some(batch) = self.next_batch(writing.sequence + 1) else { return Ok(()) };
                writing.sequence += 1;
                writing.batch = Some(batch);
            }
            if let Some(batch) = &writing.batch {
                store.write_usage(batch).await?;
            }
            writing.batch = None;
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.lock().records.len()
    }

    fn next_batch(&self, sequence: u64) -> Option<UsageBatch> {
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
        if records.is_empty() && totals.is_empty() && uses.is_empty() {
            return None;
        }
        if forgotten > 0 {
            tracing::warn!(count = forgotten, "usage of single requests was not kept, only its totals");
        }
        let mut sums = Waiting { totals, ..Waiting::default() };
        let mut days = DayOf::new(zone);
        for record in &records {
            let day = days.of(record.ended_at);
            sums.add(record.ended_at.div_euclid(HOUR), day, &record.series, record.totals());
        }
        let mut hours: HashMap<(i64, &UsageSeries), UsageTotals> = HashMap::new();
        let mut by_day: HashMap<(i64, &UsageSeries), UsageTotals> = HashMap::new();
        for ((hour, day, series), totals) in &sums.totals {
            *hours.entry((*hour, series)).or_default() += *totals;
            *by_day.entry((*day, series)).or_default() += *totals;
        }
        let list = |all: HashMap<(i64, &UsageSeries), UsageTotals>| {
            all.into_iter().map(|((period, series), totals)| (period, series.clone(), totals)).collect()
        };
        let (hours, days) = (list(hours), list(by_day));
        let last_uses = last_uses(&records, uses);
        Some(UsageBatch { run: self.run, sequence, at: self.clock.now(), records, hours, days, last_uses })
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

/// The day of a Unix second in a time zone, in days since 1970-01-01.
pub fn day_of(at: i64, zone: &TimeZone) -> i64 {
    let Ok(at) = Timestamp::from_second(at) else { return 0 };
    let date = zone.to_datetime(at).date();
    date.since(EPOCH).map_or(0, |span| i64::from(span.get_days()))
}

/// The same for many seconds, most of which are in one hour.
struct DayOf {
    zone: TimeZone,
    last: Option<(i64, i64)>,
}

impl DayOf {
    fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    fn of(&mut self, at: i64) -> i64 {
        // Time zones change by quarters of an hour.
        let quarter = at.div_euclid(900);
        match self.last {
            Some((known, day)) if known == quarter => day,
            _ => {
                let day = day_of(at, &self.zone);
                self.last = Some((quarter, day));
                day
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_of_the_time_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        for (time, day) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-28T22:59:59Z", 20540),
            ("2026-03-28T23:00:00Z", 20541),
            // Summer time begins: this day has 23 hours.
            ("2026-03-29T21:59:59Z", 20541),
            ("2026-03-29T22:00:00Z", 20542),
            // It ends: this one has 25.
            ("2026-10-24T22:00:00Z", 20751),
            ("2026-10-25T22:59:59Z", 20751),
            ("2026-10-25T23:00:00Z", 20752),
        ] {
            assert_eq!(day_of(at(time), &berlin), day, "{time}");
            assert_eq!(DayOf::new(berlin.clone()).of(at(time)), day, "{time}");
        }
        assert_eq!(day_of(-1, &TimeZone::UTC), -1);
    }
}
