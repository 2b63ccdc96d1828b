//! What a sink is to get next: reads the logs of a database from where the sink has got.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::SinkRecord;
use super::position::Position;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{AuditLog, AuditRow, Store, StoreError};
use crate::transparency_log::{Frontier, Hash};

/// The records of one log that a sink is to get next.
pub struct Batch {
    /// In their order; at least one.
    pub records: Vec<SinkRecord>,
    /// How far the sink has got with them.
    pub position: Position,
}

/// See the module.
pub struct Feed {
    name: PolicyName,
    store: Arc<dyn Store>,
    /// Records of a batch: after an error all of them are sent again.
    size: i64,
    position: Position,
    /// The trees of logs of which everything was sent.
    done: HashMap<String, Option<Frontier>>,
    /// Up to where records were missing, by log: it is told once.
    missing: HashMap<String, u64>,
    behind: Behind,
}

/// How far a sink is behind the logs, as of the last look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// The records that it has not got.
    pub records: u64,
    /// How many records the log that grows had got.
    pub size: u64,
}

impl Feed {
    /// Of a sink that has got that far and gets so many records at a time.
    pub fn new(name: PolicyName, store: Arc<dyn Store>, size: i64, position: Position) -> Self {
        Self { name, store, size, position, done: HashMap::new(), missing: HashMap::new(), behind: Behind::default() }
    }

    /// What is next; `None` if there is nothing now. The same again until it was [taken](Self::taken).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next(&mut self) -> Result<Option<Batch>, StoreError> {
        // A log does not grow any more once there is a later one, which is begun in a transaction.
        let logs = self.store.audit_logs().await?;
        let mut later: u64 = logs.iter().map(size_of).sum();
        self.behind.size = logs.last().map(size_of).unwrap_or_default();
        for log in logs {
            later -= size_of(&log);
            if self.done.get(&log.origin).is_some_and(|tree| tree.is_some() && *tree == log.tree) {
                continue;
            }
            let batch = self.read(&log).await?;
            if let Some(first) = batch.as_ref().and_then(|batch| batch.records.first()) {
                self.behind.records = size_of(&log).saturating_sub(first.index) + later;
                return Ok(batch);
            }
            self.done.insert(log.origin, log.tree);
        }
        self.behind.records = 0;
        Ok(None)
    }

    /// The sink has got so far, with that many records.
    pub fn taken(&mut self, position: Position, records: usize) {
        self.position = position;
        self.behind.records = self.behind.records.saturating_sub(records as u64);
    }

    /// How far the sink is behind.
    pub fn behind(&self) -> Behind {
        self.behind
    }

    async fn read(&mut self, log: &AuditLog) -> Result<Option<Batch>, StoreError> {
        let origin: Arc<str> = log.origin.as_str().into();
        let (rows, next) = loop {
            let Some((last, hash)) = self.position.last(&origin) else {
                break (self.store.audit_rows(log.number, 0, self.size).await?, 0);
            };
            let mut rows = self.store.audit_rows(log.number, index_of(last), self.size + 1).await?;
            match rows.first() {
                Some(row) if row.index == index_of(last) && hash_of(row) == hash => {
                    rows.remove(0);
                    break (rows, last + 1);
                }
                Some(row) if row.index == index_of(last) => self.go_back(log).await?,
                None if log.size <= index_of(last) => self.go_back(log).await?,
                // It was removed meanwhile.
                _ => break (rows, last + 1),
            }
        };
        let Some(first) = rows.first().map(|row| row.index.unsigned_abs()) else { return Ok(None) };
        if first > next && self.missing.insert(log.origin.clone(), first) != Some(first) {
            tracing::warn!(
                sink = self.name.as_str(),
                log = log.origin,
                first = next,
                last = first - 1,
                "events were removed before an audit sink got them"
            );
        }
        let mut position = self.position.clone();
        if let Some(last) = rows.last() {
            position.note(&origin, last.index.unsigned_abs(), hash_of(last));
        }
        let record = |row: AuditRow| SinkRecord {
            origin: origin.clone(),
            index: row.index.unsigned_abs(),
            at: row.columns.at,
            line: row.line,
        };
        Ok(Some(Batch { records: rows.into_iter().map(record).collect(), position }))
    }

    /// Takes the position back to a record that is still as it was sent.
    async fn go_back(&mut self, log: &AuditLog) -> Result<(), StoreError> {
        let mut to = None;
        for (index, hash) in self.position.known(&log.origin).iter().rev() {
            let row = self.store.audit_rows(log.number, index_of(*index), 1).await?.pop();
            // What was removed says nothing: everything after it is sent again.
            if row.is_some_and(|row| row.index > index_of(*index) || hash_of(&row) == *hash) {
                to = Some(*index);
                break;
            }
        }
        self.position.go_back(&log.origin, to);
        tracing::warn!(
            sink = self.name.as_str(),
            log = log.origin,
            from = to.map_or(0, |to| to + 1),
            "the event log is not what an audit sink got: the database went back, or was changed; the sink gets it again from there"
        );
        Ok(())
    }
}

fn size_of(log: &AuditLog) -> u64 {
    log.size.unsigned_abs()
}

fn index_of(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn hash_of(row: &AuditRow) -> Hash {
    Hash::of_record(row.line.as_deref().unwrap_or_default().as_bytes())
}
