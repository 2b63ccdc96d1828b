//! The event log as it lies in a database, for those who verify it: the stored lines with what is stored beside them.

use std::ops::Range;

use super::{Answer, EventFilter, LinePage};
use crate::transparency_log::{Frontier, Hash};

/// A log: an RFC 6962 tree of records.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditLog {
    /// Its number; a later log has a higher one.
    pub number: i64,
    /// Its origin, by which checkpoints name it.
    pub origin: String,
    /// How many records it is said to have.
    pub size: i64,
    /// Its tree, as it is stored; `None` if that is no tree.
    pub tree: Option<Frontier>,
}

/// A checkpoint that a gateway has signed.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCheckpoint {
    /// The number of the log.
    pub log: i64,
    /// How many records it names.
    pub size: i64,
    /// When it was made, in Unix seconds.
    pub made_at: i64,
    /// The signed note.
    pub note: String,
}

/// A log that is about to be signed, as a transaction sees it that nobody else can extend.
#[derive(Clone, Debug)]
pub struct LogState {
    /// The log.
    pub log: AuditLog,
    /// Its last checkpoint.
    pub last: Option<StoredCheckpoint>,
    /// The roots that it had at the sizes that were asked for; `None` where it never had that size.
    pub roots: Vec<Option<Hash>>,
}

/// Makes a checkpoint of a log, if there is to be one.
pub type Sign<'a> = &'a (dyn Fn(&LogState) -> Option<StoredCheckpoint> + Send + Sync);

/// How many events a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCounts {
    /// All of them.
    pub all: i64,
    /// Those that are in no log: a version before this one has written them.
    pub outside: i64,
}

/// A row of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// The number of the event.
    pub id: i64,
    /// Its index in the log.
    pub index: i64,
    /// The stored line: the leaf.
    pub line: Option<String>,
    /// The hash of the leaf, as it is stored; `None` if it is missing or cannot be a hash.
    pub hash: Option<Hash>,
    /// What filters compare.
    pub columns: AuditColumns,
}

/// The columns that repeat what the line says.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditColumns {
    pub at: i64,
    pub last_at: Option<i64>,
    pub count: i64,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub address: String,
    pub account: Option<String>,
    pub account_id: Option<String>,
    pub code: Option<String>,
    pub request: Option<String>,
}

/// How many numbers of events are in a block of which it is noted between which times its events lie.
pub const TIME_BLOCK: i64 = 1024;

/// Between which times the events of a block lie, as it is noted for filters by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTimes {
    /// The block: the numbers from this times [`TIME_BLOCK`] on.
    pub block: i64,
    /// The earliest time, in Unix seconds.
    pub first_at: i64,
    /// The latest.
    pub last_at: i64,
}

/// A database whose event log is read, as it is at one moment. Gateways may run.
pub trait AuditReader: Send {
    /// All logs, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn logs(&mut self) -> Answer<'_, Vec<AuditLog>>;

    /// The first rows of a log from that index, in its order.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn rows(&mut self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>>;

    /// The stored lines of the first events that are wanted, as [`Store::event_lines`](super::Store::event_lines).
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn lines<'a>(&'a mut self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage>;

    /// The stored hashes of subtrees of a level, by their index.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn hashes(&mut self, log: i64, level: u8, indexes: Range<u64>) -> Answer<'_, Vec<(u64, Hash)>>;

    /// The last checkpoints that are stored, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn checkpoints(&mut self, limit: i64) -> Answer<'_, Vec<StoredCheckpoint>>;

    /// What is noted of the times of events, by block.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn times(&mut self) -> Answer<'_, Vec<BlockTimes>>;

    /// How many events there are.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn counts(&mut self) -> Answer<'_, EventCounts>;

    /// The lines with the action `audit.removed` that are in a log, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Read`](super::StoreError::Read).
    fn removals(&mut self) -> Answer<'_, Vec<String>>;
}
