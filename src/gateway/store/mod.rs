//! What a gateway keeps, and the trait of whatever keeps it.
//!
//! Everything that changes is one [`Change`], written together with the [`Event`] that tells of it, in one [`Transaction`]: once that is
//! committed, it survives the end of the process.

mod attempts;
mod audit;
#[cfg(test)]
mod budget_conformance;
mod budget_totals;
mod error;
mod event;
mod identity;
mod invitation;
mod keys;
mod location;
mod maintenance;
#[cfg(test)]
pub mod memory;
#[cfg(test)]
mod memory_usage;
mod news;
mod place;
mod postgres;
mod records;
mod role;
mod series_cache;
mod snapshot;
mod sqlite;
mod transfer;
mod usage;
mod usage_batch;
#[cfg(test)]
mod usage_conformance;
mod usage_measures;
#[cfg(test)]
mod usage_performance;
mod usage_query;
mod usage_spans;

use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use secrecy::SecretString;
use uuid::Uuid;

pub use attempts::AttemptLimit;
pub use audit::{
    AuditColumns, AuditLog, AuditReader, AuditRow, BlockTimes, EventCounts, LogState, Sign, StoredCheckpoint,
    TIME_BLOCK,
};
pub use budget_totals::{BudgetNews, BudgetTotal, BudgetUse};
pub use error::StoreError;
#[cfg(test)]
pub use event::EventAccount;
pub use event::{
    Actor, Details, Event, EventFilter, EventPage, LinePage, OwnEvents, RecordedEvent, Repeats, differing_columns,
};
pub use identity::{DueTokens, Identity, IdentityId, LeasedToken, SealedToken};
pub use invitation::{Invitation, InvitationId, InvitationProblem, InvitationState, InvitationToken};
pub use keys::{EndedKey, KeyQuery, Retention, Swept};
pub use location::DatabaseLocation;
pub use maintenance::Maintenance;
pub use news::{News, Position, Record, Records, Shared, SharedDevice, SharedSession};
pub use postgres::{PostgresAddress, PostgresStore};
pub use records::{Change, Device, EarlierUse, KeyRecord, Suspendable, Suspension, Use, User};
pub use role::{Role, RoleError};
pub use snapshot::Snapshot;
pub use sqlite::SqliteStore;
pub use transfer::CopiedTable;
pub use usage::{TokenCount, UsageRecord, UsageSeries, UsageStatus, UsageTotals};
pub use usage_batch::{LastUse, UsageBatch};
pub use usage_query::{RecordPage, RecordPosition, RecordQuery, UsageGroup, UsagePeriod, UsageQuery, UsageRow};

use crate::keyspec::KeyId;

/// The future that a store's operation returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A change that is being made. It is undone if this is dropped before it was committed.
pub trait Transaction: Send {
    /// The API key with that id, whatever has become of it.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>>;

    /// Makes the change and records the event, as one of the gateway with the name `replica`. Returns the number of the event. After an
    /// error the transaction must be dropped.
    ///
    /// # Errors
    /// [`StoreError::Taken`], [`StoreError::Write`].
    fn make<'a>(&'a mut self, change: &'a Change, event: &'a Event, replica: &'a str) -> Answer<'a, i64>;

    /// Tells the other gateways. Does nothing where there are none.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn share<'a>(&'a mut self, _what: &'a Shared) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Once this has returned, what was made is durable. Returns the position of the last change.
    ///
    /// # Errors
    /// [`StoreError::Write`]; [`StoreError::Doubtful`] when it is not known.
    fn commit<'a>(self: Box<Self>) -> Answer<'a, Position>
    where
        Self: 'a;
}

/// Keeps what must outlive the process.
pub trait Store: Send + Sync {
    /// Everything but passwords and events.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn load(&self) -> Answer<'_, Snapshot>;

    /// Begins a change. No other change begins until the transaction is committed or dropped. The news are what other gateways have
    /// changed since `seen`.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn begin(&self, seen: Position) -> Answer<'_, (News, Box<dyn Transaction + '_>)>;

    /// The file that it is in, if it is one: only this process has it open.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Brings it into order at the end. Without it nothing is lost.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether other gateways may use it, too.
    fn is_shared(&self) -> bool {
        false
    }

    /// What other gateways have changed since `seen`.
    ///
    /// # Errors
    /// [`StoreError::Read`], and what keeps the database from being used.
    fn news(&self, seen: Position) -> Answer<'_, News> {
        Box::pin(async move { Ok(News { position: seen, ..News::default() }) })
    }

    /// Returns when there may be news. It may also never return although there are: ask now and then.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// The API key with that id, whatever has become of it.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn key<'a>(&'a self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>>;

    /// Some of an account's API keys.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn keys<'a>(&'a self, wanted: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>>;

    /// Notes which keys have expired by `now`, in Unix seconds, and deletes what was kept long enough. `ran` are the seconds that the
    /// gateway has run since the last time. What is deleted of the event log is an event of the gateway with the name `replica`.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn sweep<'a>(&'a self, now: i64, ran: i64, retention: Retention, replica: &'a str) -> Answer<'a, Swept>;

    /// Notes when credentials were used last, in Unix seconds. Never turns a time back.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn touch<'a>(&'a self, uses: &'a [(Use, i64)]) -> Answer<'a, ()>;

    /// Notes that a signature was used that is good once for all gateways together. `digest` is the SHA-256 of what was signed; it is kept
    /// for `kept` at least. Returns its first use, if this is not the first. A store of one gateway knows none: the gateway itself does.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn use_signature<'a>(
        &'a self,
        _digest: &'a [u8; 32],
        _address: IpAddr,
        _kept: Duration,
    ) -> Answer<'a, Option<EarlierUse>> {
        Box::pin(async { Ok(None) })
    }

    /// Counts an attempt by each limit until it exceeds one: then it returns how long to wait. A store of one gateway counts none: the
    /// gateway itself does.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn count_attempt<'a>(&'a self, _limits: &'a [AttemptLimit]) -> Answer<'a, Option<Duration>> {
        Box::pin(async { Ok(None) })
    }

    /// Trusts a digest for [`AttemptLimit::unless`] for 30 days.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn trust<'a>(&'a self, _digest: &'a [u8; 32]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether the gateways that share the store and were started lately have the secret with that fingerprint. To be asked at the start, and
    /// now and then.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn has_secret<'a>(&'a self, _fingerprint: &'a [u8; 32]) -> Answer<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Notes that the gateway with that id, which is new at each start, runs. Returns how many run, it among them. To be called every few
    /// seconds.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn count_gateways(&self, _id: Uuid) -> Answer<'_, NonZeroU32> {
        Box::pin(async { Ok(NonZeroU32::MIN) })
    }

    /// Notes that it does not run any more.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn leave(&self, _id: Uuid) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// The hash of an account's password; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn password(&self, user: Uuid) -> Answer<'_, Option<SecretString>>;

    /// Takes some of the events into the log's tree that a version before this one has written, as the gateway with the name `replica` at
    /// the Unix second `now`. Returns whether there may be more.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn import_events<'a>(&'a self, _now: i64, _replica: &'a str) -> Answer<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Leases the refresh tokens that are due. Nothing in memory depends on them, so what is done with them is no [`Change`].
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn lease_refresh_tokens<'a>(&'a self, _due: &'a DueTokens) -> Answer<'a, Vec<LeasedToken>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Replaces a refresh token, or with `None` removes it, unless another has taken its place meanwhile. Returns whether it was still there.
    /// With the Unix second at which the provider was asked the lease ends.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn replace_refresh_token<'a>(
        &'a self,
        _old: &'a LeasedToken,
        _new: Option<&'a SealedToken>,
        _checked_at: Option<i64>,
    ) -> Answer<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Begins another log with that event of the gateway with the name `replica`; its subject and details say which, and where the log
    /// before it ended. Returns the origin.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn begin_log<'a>(&'a self, _event: &'a Event, _replica: &'a str) -> Answer<'a, String> {
        Box::pin(async { Ok(String::new()) })
    }

    /// Signs the log that grows, and stores the checkpoint: `sign` sees what no other gateway can extend meanwhile, with its roots at these
    /// sizes. It may be asked twice. Returns what was stored.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn sign_log<'a>(&'a self, _sizes: &'a [u64], _sign: Sign<'a>) -> Answer<'a, Option<StoredCheckpoint>> {
        Box::pin(async { Ok(None) })
    }

    /// The log that grows, with its last checkpoint and without roots; `None` where none is kept.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn log_state(&self) -> Answer<'_, Option<LogState>> {
        Box::pin(async { Ok(None) })
    }

    /// All logs, the oldest first. Each but the last has got all its records.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn audit_logs(&self) -> Answer<'_, Vec<AuditLog>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The first rows of a log from that index, in its order.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn audit_rows(&self, _log: i64, _from: i64, _limit: i64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Writes a batch of usage: all of it or nothing. One that was written already is not written again, so after any error the same batch
    /// can be tried again. Returns the totals of the batch's budgets; none if it was written before.
    ///
    /// # Errors
    /// [`StoreError::Write`], and what keeps the database from being used.
    fn write_usage<'a>(&'a self, batch: &'a UsageBatch) -> Answer<'a, Vec<BudgetTotal>>;

    /// The totals of budgets that changed after a version, of windows that end after `now`, in Unix seconds. After 0 there are all of them:
    /// ask for them again when the clock was set back.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn budget_totals(&self, after: i64, now: i64) -> Answer<'_, BudgetNews>;

    /// The totals that are wanted.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn usage_totals<'a>(&'a self, wanted: &'a UsageQuery) -> Answer<'a, Vec<UsageRow>>;

    /// A page of the records that are wanted.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    #[allow(dead_code, reason = "the list of single requests is added next")]
    fn usage_records<'a>(&'a self, wanted: &'a RecordQuery) -> Answer<'a, RecordPage>;

    /// When credentials were used last, of an account or of all.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    #[allow(dead_code, reason = "the access review reads it")]
    fn last_uses(&self, account: Option<Uuid>) -> Answer<'_, Vec<LastUse>>;

    /// A page of the events that are wanted.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`].
    fn events<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, EventPage>;

    /// The stored lines of the first events that are wanted, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn event_lines<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage>;
}
