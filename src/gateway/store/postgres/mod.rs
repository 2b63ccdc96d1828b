//! Accounts in a PostgreSQL database, for one gateway or several that share it.
//!
//! Who changes something locks the head of the change log first, so that all changes are made one after the other, in the order of their
//! numbers; and reads what came before, so that what it decides by is the state of the database. The others are told by NOTIFY, and
//! ask now and then in case that was lost.

mod address;
mod attempts;
mod error;
mod gateways;
mod log;
mod pending;
mod schema;
mod sessions;
#[path = "../sql/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the statements are compiled for each engine")]
mod sql;
#[cfg(test)]
mod tests;
mod transaction;
pub(super) mod transfer;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection as Connection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Postgres};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use address::{AddressError, PostgresAddress};

use crate::gateway::store::news::{News, Position};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{
    Answer, AttemptLimit, AuditLog, AuditRow, BudgetNews, BudgetTotal, DueTokens, EarlierUse, Event, EventFilter,
    EventPage, KeyQuery, KeyRecord, LastUse, LeasedToken, LinePage, LogState, RecordPage, RecordQuery, Retention,
    SealedToken, Sign, Snapshot, Store, StoreError, StoredCheckpoint, Swept, Transaction, UsageBatch, UsageQuery,
    UsageRow, Use,
};
use crate::keyspec::KeyId;
use error::explain;
use log::Subject;

/// What the gateways listen to.
const CHANNEL: &str = "ollama_auth_changes";
/// What the connections of gateways and of administrators' commands are called at the server.
const APPLICATION: &str = "ollama-auth";
/// Orders texts by their bytes.
const COLLATION: &str = " COLLATE \"C\"";
/// Connections of one gateway: one that writes, and some that read.
const CONNECTIONS: u32 = 6;
/// How long a free connection is waited for, and a new one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer is waited for: a server that has vanished sends none, and the system would wait for a quarter of an hour.
const ANSWER: Duration = Duration::from_secs(8);
/// The same for everything at once: a hundred thousand keys take a second.
const LOAD: Duration = Duration::from_secs(60);
/// Between two attempts to listen again.
const PAUSE: Duration = Duration::from_secs(1);
/// What each connection is told: a gateway that stopped in the middle of a change must not keep the others from theirs.
const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_isolation", "read committed"),
];
/// A sweep counts the time since the last one if no other gateway has counted it, in seconds.
const SWEEP_COUNTS: f64 = 50.0;

/// See the module.
pub struct PostgresStore {
    pool: PgPool,
    /// The next host is tried when one cannot be reached or cannot be written.
    hosts: Vec<PgConnectOptions>,
    host: AtomicUsize,
    listener: Mutex<Option<PgListener>>,
    place: Place,
}

impl PostgresStore {
    /// Opens the database, and makes or updates its tables.
    ///
    /// # Errors
    /// [`StoreError`]: not reachable, no privileges, a standby, made by another program or a newer version.
    pub async fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let place = Place(address.to_string());
        let bad = |error: AddressError| StoreError::Open { place: place.0.clone(), reason: error.to_string() };
        let hosts: Vec<PgConnectOptions> = address
            .options()
            .map_err(bad)?
            .into_iter()
            .map(|options| options.application_name(APPLICATION).options(SETTINGS))
            .collect();
        let first = hosts.first().cloned().unwrap_or_default();
        // Otherwise the reason why a connection fails is never seen: the pool tries again until its time is over.
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| Box::pin(schema::refuse_standby(connection)))
            .connect_lazy_with(first);
        let (host, listener) = (AtomicUsize::new(0), Mutex::default());
        let store = Self { pool, hosts, host, listener, place };
        let mut last = None;
        for _ in 0..store.hosts.len().max(1) {
            match store.prepare().await {
                Ok(()) => return Ok(store),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| StoreError::Open { place: store.place.0.clone(), reason: "no host".to_owned() }))
    }

    /// Connects once without the pool, which would try again until its time is over and then not say why.
    async fn prepare(&self) -> Result<(), StoreError> {
        let options = self.hosts.get(self.host.load(Ordering::Relaxed) % self.hosts.len().max(1));
        let Some(options) = options else { return Ok(()) };
        let prepared = async {
            let connected = tokio::time::timeout(PATIENCE, options.connect()).await;
            let connected = connected.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let mut connection = connected.map_err(|error| explain(&self.place, &error, Doing::Open))?;
            schema::bring_up_to_date(&mut connection, &self.place).await
        };
        let prepared = prepared.await;
        self.leave_host_after(&prepared);
        prepared
    }

    /// A connection outside of any transaction.
    async fn connection(&self, doing: Doing) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(|error| self.explain(&error, doing))
    }

    fn explain(&self, error: &sqlx::Error, doing: Doing) -> StoreError {
        explain(&self.place, error, doing)
    }

    /// What the future gives, unless the server does not answer. All that asks the server goes through here.
    async fn answered<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.answered_within(ANSWER, asked).await
    }

    async fn answered_within<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answered = tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", limit.as_secs());
            Err(StoreError::Unreachable { place: self.place.0.clone(), reason })
        });
        self.leave_host_after(&answered);
        answered
    }

    /// Connects to the next host from now on, if this one could not be reached or written.
    fn leave_host_after<T>(&self, result: &Result<T, StoreError>) {
        // Also where no connection was free in time: that is how the pool tells of a host that refuses them.
        let is_its_fault = matches!(
            result,
            Err(StoreError::ReadOnly { .. } | StoreError::Unreachable { .. } | StoreError::Untrusted { .. })
        );
        if is_its_fault && self.hosts.len() > 1 {
            let next = self.host.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(options) = self.hosts.get(next % self.hosts.len()) {
                self.pool.set_connect_options(options.clone());
            }
        }
    }

    /// Waits for a notification, or for the time to try again.
    async fn notified(&self) {
        let mut listener = self.listener.lock().await;
        let received = match listener.take() {
            Some(open) => Ok(open),
            None => {
                async {
                    let mut fresh = PgListener::connect_with(&self.pool).await?;
                    fresh.listen(CHANNEL).await?;
                    Ok::<_, sqlx::Error>(fresh)
                }
                .await
            }
        };
        match received {
            Ok(mut open) => {
                let heard = open.try_recv().await;
                // After a loss something may have been missed: it counts as a notification, too.
                if matches!(heard, Ok(Some(_))) {
                    while open.next_buffered().is_some() {}
                    *listener = Some(open);
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl Store for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Answer<'_, Snapshot> {
        Box::pin(self.answered_within(LOAD, async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Read);
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut snapshot = self.pool.begin_with(begin).await.map_err(failed)?;
            let position = log::head(&mut snapshot, &self.place).await?;
            let loaded = sql::snapshot(&mut snapshot, &self.place).await?;
            let mut shared = pending::all(&mut snapshot, &self.place).await?;
            shared.extend(sessions::all(&mut snapshot, &self.place).await?);
            snapshot.commit().await.map_err(failed)?;
            Ok(Snapshot { position, shared, ..loaded })
        }))
    }

    fn begin(&self, seen: Position) -> Answer<'_, (News, Box<dyn Transaction + '_>)> {
        Box::pin(async move {
            let (news, transaction) = self.answered(transaction::begin(self, seen)).await?;
            Ok((news, Box::new(transaction) as Box<dyn Transaction + '_>))
        })
    }

    fn news(&self, seen: Position) -> Answer<'_, News> {
        Box::pin(async move {
            self.answered(async {
                let mut connection = self.connection(Doing::Read).await?;
                let news = log::news_since(&mut connection, seen, &self.place).await;
                if news.is_err() {
                    // It is of a host that is left, or broken.
                    drop(connection.detach());
                }
                news
            })
            .await
        })
    }

    fn changed(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.notified())
    }

    fn key<'a>(&'a self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        Box::pin(
            self.answered(
                async move { sql::keys::find(&mut *self.connection(Doing::Read).await?, id, &self.place).await },
            ),
        )
    }

    fn keys<'a>(&'a self, wanted: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>> {
        Box::pin(self.answered(async move {
            sql::keys::page(&mut *self.connection(Doing::Read).await?, wanted, &self.place).await
        }))
    }

    fn sweep<'a>(&'a self, now: i64, ran: i64, retention: Retention, replica: &'a str) -> Answer<'a, Swept> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            let position = log::lock(&mut transaction).await.map_err(failed)?;
            // Of several gateways one counts the time.
            let counts = "UPDATE uptime SET swept_at = clock_timestamp() WHERE swept_at IS NULL \
                          OR swept_at <= clock_timestamp() - make_interval(secs => $1) OR swept_at > clock_timestamp()";
            let counts = sqlx::query(counts).bind(SWEEP_COUNTS).execute(&mut *transaction).await.map_err(failed)?;
            let ran = if counts.rows_affected() > 0 { ran } else { 0 };
            let swept = sql::sweep::sweep(&mut transaction, now, ran, retention, replica).await.map_err(failed)?;
            let ids = swept.expired.iter().chain(&swept.revived);
            let mut subjects: Vec<Subject> = ids.map(|id| Subject::Key(id.to_string())).collect();
            subjects.extend(swept.invitations.iter().map(|id| Subject::Invitation(id.to_string())));
            subjects.extend(swept.deleted.iter().map(|hash| Subject::ForgottenKey(*hash)));
            log::append(&mut transaction, position, subjects).await.map_err(failed)?;
            log::trim(&mut transaction).await.map_err(failed)?;
            pending::sweep(&mut transaction).await.map_err(failed)?;
            sessions::sweep(&mut transaction).await.map_err(failed)?;
            let old = "DELETE FROM used_signatures WHERE expires_at <= clock_timestamp()";
            sqlx::query(old).execute(&mut *transaction).await.map_err(failed)?;
            attempts::sweep(&mut transaction).await.map_err(failed)?;
            gateways::sweep(&mut transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(swept)
        }))
    }

    fn import_events<'a>(&'a self, now: i64, replica: &'a str) -> Answer<'a, bool> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            // Usually there are none: nobody has to wait for that.
            let some = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM events WHERE log IS NULL)");
            if !some.fetch_one(&mut *self.connection(Doing::Read).await?).await.map_err(failed)? {
                return Ok(false);
            }
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            log::lock(&mut transaction).await.map_err(failed)?;
            let imported = sql::events::import(&mut transaction, now, replica).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(imported)
        }))
    }

    fn begin_log<'a>(&'a self, event: &'a Event, replica: &'a str) -> Answer<'a, String> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            log::lock(&mut transaction).await.map_err(failed)?;
            let origin = sql::events::begin_log(&mut transaction, event, replica).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(origin)
        }))
    }

    fn sign_log<'a>(&'a self, sizes: &'a [u64], sign: Sign<'a>) -> Answer<'a, Option<StoredCheckpoint>> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            // Usually there is nothing to sign: nobody has to wait for that.
            let state =
                sql::audit_log::state(&mut *self.connection(Doing::Read).await?, sizes).await.map_err(failed)?;
            if sign(&state).is_none() {
                return Ok(None);
            }
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            log::lock(&mut transaction).await.map_err(failed)?;
            let state = sql::audit_log::state(&mut transaction, sizes).await.map_err(failed)?;
            let Some(checkpoint) = sign(&state) else { return Ok(None) };
            sql::audit_log::add_checkpoint(&mut transaction, &checkpoint).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(Some(checkpoint))
        }))
    }

    fn touch<'a>(&'a self, uses: &'a [(Use, i64)]) -> Answer<'a, ()> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            sql::touch(&mut transaction, uses).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)
        }))
    }

    fn use_signature<'a>(
        &'a self,
        digest: &'a [u8; 32],
        address: IpAddr,
        kept: Duration,
    ) -> Answer<'a, Option<EarlierUse>> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut connection = self.connection(Doing::Write).await?;
            // Of two at once the second waits for the first, and then sees it.
            let used = sqlx::query(
                "INSERT INTO used_signatures (digest, address, expires_at) \
                 VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) ON CONFLICT DO NOTHING",
            )
            .bind(digest.as_slice())
            .bind(address.to_string())
            .bind(kept.as_secs_f64())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
            if used.rows_affected() > 0 {
                return Ok(None);
            }
            let (address, age): (String, f64) = sqlx::query_as(
                "SELECT address, extract(epoch FROM clock_timestamp() - used_at)::float8 FROM used_signatures WHERE digest = $1",
            )
            .bind(digest.as_slice())
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
            let age = Duration::try_from_secs_f64(age).unwrap_or_default();
            Ok(Some(EarlierUse { address: self.place.parse(&address, "address")?, age }))
        }))
    }

    fn count_attempt<'a>(&'a self, limits: &'a [AttemptLimit]) -> Answer<'a, Option<Duration>> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            let wait = attempts::count(&mut transaction, limits).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(wait)
        }))
    }

    fn trust<'a>(&'a self, digest: &'a [u8; 32]) -> Answer<'a, ()> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            attempts::trust(&mut connection, digest).await.map_err(|error| self.explain(&error, Doing::Write))
        }))
    }

    fn has_secret<'a>(&'a self, fingerprint: &'a [u8; 32]) -> Answer<'a, bool> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            let has = sessions::has_secret(&mut connection, fingerprint).await;
            has.map_err(|error| self.explain(&error, Doing::Write))
        }))
    }

    fn count_gateways(&self, id: Uuid) -> Answer<'_, NonZeroU32> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            gateways::count(&mut connection, id).await.map_err(|error| self.explain(&error, Doing::Write))
        }))
    }

    fn leave(&self, id: Uuid) -> Answer<'_, ()> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            gateways::leave(&mut connection, id).await.map_err(|error| self.explain(&error, Doing::Write))
        }))
    }

    fn password(&self, user: Uuid) -> Answer<'_, Option<SecretString>> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Read).await?;
            sql::password(&mut connection, user).await.map_err(|error| self.explain(&error, Doing::Read))
        }))
    }

    fn lease_refresh_tokens<'a>(&'a self, due: &'a DueTokens) -> Answer<'a, Vec<LeasedToken>> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            // By the clock of the database: gateways whose clocks differ must not ask with the same token.
            let now: i64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::bigint")
                .fetch_one(&mut *connection)
                .await
                .map_err(|error| self.explain(&error, Doing::Write))?;
            sql::identities::lease(&mut connection, &due.at(now), &self.place).await
        }))
    }

    fn replace_refresh_token<'a>(
        &'a self,
        old: &'a LeasedToken,
        new: Option<&'a SealedToken>,
        checked_at: Option<i64>,
    ) -> Answer<'a, bool> {
        Box::pin(self.answered(async move {
            let mut connection = self.connection(Doing::Write).await?;
            let replaced = sql::identities::replace(&mut connection, old, new, checked_at).await;
            replaced.map_err(|error| self.explain(&error, Doing::Write))
        }))
    }

    fn log_state(&self) -> Answer<'_, Option<LogState>> {
        Box::pin(self.answered(async move {
            let state = sql::audit_log::state(&mut *self.connection(Doing::Read).await?, &[]).await;
            state.map(Some).map_err(|error| self.explain(&error, Doing::Read))
        }))
    }

    fn audit_logs(&self) -> Answer<'_, Vec<AuditLog>> {
        Box::pin(self.answered(async move {
            let logs = sql::audit_log::logs(&mut *self.connection(Doing::Read).await?).await;
            logs.map_err(|error| self.explain(&error, Doing::Read))
        }))
    }

    fn audit_rows(&self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(self.answered(async move {
            let rows = sql::audit_log::rows(&mut *self.connection(Doing::Read).await?, log, from, limit).await;
            rows.map_err(|error| self.explain(&error, Doing::Read))
        }))
    }

    fn write_usage<'a>(&'a self, batch: &'a UsageBatch) -> Answer<'a, Vec<BudgetTotal>> {
        Box::pin(self.answered(async move {
            let failed = |error: sqlx::Error| self.explain(&error, Doing::Write);
            let mut transaction = self.pool.begin().await.map_err(failed)?;
            // What was written already is not written again, so there is nothing to undo either. A standby that takes over may lack the last
            // series, and give their numbers to others: so numbers are read again each time.
            let totals = sql::usage::write(&mut transaction, batch, None).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(totals)
        }))
    }

    fn budget_totals(&self, after: i64, now: i64) -> Answer<'_, BudgetNews> {
        Box::pin(self.answered(async move {
            sql::budgets::news(&mut *self.connection(Doing::Read).await?, after, now, &self.place).await
        }))
    }

    fn usage_totals<'a>(&'a self, wanted: &'a UsageQuery) -> Answer<'a, Vec<UsageRow>> {
        Box::pin(self.answered(async move {
            sql::usage_totals::totals(&mut *self.connection(Doing::Read).await?, wanted, &self.place).await
        }))
    }

    fn usage_records<'a>(&'a self, wanted: &'a RecordQuery) -> Answer<'a, RecordPage> {
        Box::pin(self.answered(async move {
            sql::usage_records::page(&mut *self.connection(Doing::Read).await?, wanted, &self.place).await
        }))
    }

    fn last_uses(&self, account: Option<Uuid>) -> Answer<'_, Vec<LastUse>> {
        Box::pin(self.answered(async move {
            sql::usage_records::last_uses(&mut *self.connection(Doing::Read).await?, account, &self.place).await
        }))
    }

    fn events<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, EventPage> {
        Box::pin(self.answered(async move {
            sql::event_pages::page(&mut *self.connection(Doing::Read).await?, limit, filter, &self.place).await
        }))
    }

    fn event_lines<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage> {
        Box::pin(self.answered(async move {
            let connection = &mut *self.connection(Doing::Read).await?;
            sql::event_pages::lines(connection, limit, filter, &self.place).await
        }))
    }
}
