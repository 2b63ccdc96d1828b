//! Accounts in an SQLite file (WAL), for a gateway on one machine.
//!
//! One process has it open at a time, held off by a lock file beside it: a gateway decides by what it has in memory, so a second
//! writer would be ignored. Each change is one transaction, on disk when it is answered.

mod error;
mod files;
#[path = "../sql/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the statements are compiled for each engine")]
mod sql;
#[cfg(test)]
mod tests;
pub(super) mod transfer;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _, SqliteConnection as Connection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

use crate::disk::Lock;
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::series_cache::SeriesCache;
use crate::gateway::store::{
    Answer, AuditLog, AuditRow, BudgetNews, BudgetTotal, Change, DueTokens, Event, EventFilter, EventPage, KeyQuery,
    KeyRecord, LastUse, LeasedToken, LinePage, LogState, News, Position, RecordPage, RecordQuery, Retention,
    SealedToken, Sign, Snapshot, Store, StoreError, StoredCheckpoint, Swept, Transaction, UsageBatch, UsageQuery,
    UsageRow, Use,
};
use crate::keyspec::KeyId;
use error::{explain, explain_migration};

/// Listed by hand: the macro that reads the folder compiles SQLite a second time. Their checksums are stored in every database, so a
/// file that was released never changes.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $name, ".sql"))
        };
    }
    let files = [
        (1, "accounts", file!("0001_accounts")),
        (2, "events", file!("0002_events")),
        (3, "ended_keys", file!("0003_ended_keys")),
        (4, "keys_of_removed_accounts", file!("0004_keys_of_removed_accounts")),
        (5, "event_records", file!("0005_event_records")),
        (6, "limits_of_keys", file!("0006_limits_of_keys")),
        (7, "suspensions", file!("0007_suspensions")),
        (8, "addresses", file!("0008_addresses")),
        (9, "groups_and_limits_of_users", file!("0009_groups_and_limits_of_users")),
        (10, "administration", file!("0010_administration")),
        (11, "identities", file!("0011_identities")),
        (12, "exchanged_tokens", file!("0012_exchanged_tokens")),
        (13, "audit_log", file!("0013_audit_log")),
        (14, "event_indexes", file!("0014_event_indexes")),
        (15, "event_retries", file!("0015_event_retries")),
        (16, "event_import", file!("0016_event_import")),
        (17, "usage", file!("0017_usage")),
        (18, "budget_totals", file!("0018_budget_totals")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(files.map(migration).into())
});

/// How long another process that has the database open is waited for: as long as a command takes, or a gateway to end.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// Orders texts by their bytes.
const COLLATION: &str = " COLLATE BINARY";
/// How long a backup or another reader is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// See the module. The process lock is held until this is dropped.
pub struct SqliteStore {
    writer: Mutex<Writer>,
    /// For what may take long: a change does not wait for it. Opened when it is needed first.
    reader: Mutex<Option<Connection>>,
    /// Of usage.
    series: SeriesCache,
    place: Place,
    path: PathBuf,
    // After the connection, so that it goes last.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the database file at `path`, and makes it (0600) and its folder (0700) when they are missing.
    ///
    /// # Errors
    /// [`StoreError`]: in use by another process for two seconds, open to other accounts, damaged, newer than this program, or not
    /// writable. What is there is never overwritten.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_within(path.as_ref(), PATIENCE).await
    }

    /// The same, waiting that long for another process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_within(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = files::locate(path)?;
        let lock = lock(&path, patience).await?;
        files::prepare(&path)?;
        let place = Place(path.display().to_string());
        let connection = options(&path).connect().await.map_err(|error| explain(&place, &error, Doing::Open))?;
        let mut writer = Writer { connection, open: false };
        bring_up_to_date(&mut writer.connection, &place).await?;
        // What a statement has changed so far, in case it fails: otherwise an insert of many rows writes it to a temporary file.
        let in_memory = sqlx::query("PRAGMA temp_store = MEMORY").execute(&mut writer.connection).await;
        in_memory.map_err(|error| explain(&place, &error, Doing::Open))?;
        files::sync(&path).map_err(|error| StoreError::Write { place: place.0.clone(), reason: error.to_string() })?;
        let (writer, reader, series) = (Mutex::new(writer), Mutex::default(), SeriesCache::default());
        Ok(Self { writer, reader, series, place, path, _lock: lock })
    }

    /// The connection that reads.
    async fn reading<'a>(&self, reader: &'a mut Option<Connection>) -> Result<&'a mut Connection, StoreError> {
        let connection = match reader.take() {
            Some(connection) => connection,
            None => {
                let options = options(&self.path).read_only(true);
                options.connect().await.map_err(|error| explain(&self.place, &error, Doing::Read))?
            }
        };
        Ok(reader.insert(connection))
    }
}

async fn lock(path: &Path, patience: Duration) -> Result<Lock, StoreError> {
    let file = files::beside(path, ".lock");
    let end = Instant::now() + patience;
    loop {
        match files::lock(path, &file)? {
            Some(lock) => return Ok(lock),
            None if Instant::now() >= end => return Err(StoreError::Busy { place: path.display().to_string() }),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Only so is a commit on disk when it returns.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

async fn bring_up_to_date(connection: &mut Connection, place: &Place) -> Result<(), StoreError> {
    let found = find_version(connection, place).await?;
    check(connection, place).await?;
    // A newer version has marked it as one that this one can use.
    if found > newest() {
        return Ok(());
    }
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| explain_migration(place, error))
}

/// The version of the tables, or what was made by something else. Some are to be made or updated if it is not [`newest`].
async fn find_version(connection: &mut Connection, place: &Place) -> Result<Option<i64>, StoreError> {
    let open = |error: sqlx::Error| explain(place, &error, Doing::Open);
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(open)?;
    if tables.iter().any(|name| name == "_sqlx_migrations") {
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .map_err(open)?;
        let oldest = sqlx::query_scalar("SELECT oldest FROM schema_compatibility").fetch_optional(&mut *connection);
        if found > newest() && !matches!(oldest.await, Ok(Some(oldest)) if Some(oldest) <= newest()) {
            return Err(StoreError::Newer { place: place.0.clone() });
        }
        return Ok(found);
    }
    if !tables.is_empty() {
        let reason = "another program created it".to_owned();
        return Err(StoreError::Open { place: place.0.clone(), reason });
    }
    Ok(None)
}

/// The version of the tables that this program uses.
fn newest() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

/// Whether SQLite finds it whole.
async fn check(connection: &mut Connection, place: &Place) -> Result<(), StoreError> {
    let verdict: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_all(connection)
        .await
        .map_err(|error| explain(place, &error, Doing::Open))?;
    if verdict == ["ok"] { Ok(()) } else { Err(place.damaged(verdict.join("; "))) }
}

/// The one connection. A transaction that was left half-way, by a failure or because its future was dropped, is rolled back
/// before the connection is used again.
struct Writer {
    connection: Connection,
    open: bool,
}

impl Writer {
    /// The connection outside of any transaction.
    async fn idle(&mut self) -> &mut Connection {
        if self.open {
            self.roll_back().await;
        }
        &mut self.connection
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.idle().await;
        self.open = true;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await.map(drop)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.open = false;
        Ok(())
    }

    /// After some failures SQLite has done it by itself, and says so by an error.
    async fn roll_back(&mut self) {
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        self.open = false;
    }

    /// Commits when all went well, and undoes it all when not.
    async fn end<T>(&mut self, done: Result<T, StoreError>, place: &Place) -> Result<T, StoreError> {
        let ended = match done {
            Ok(done) => self.commit().await.map(|()| done).map_err(|error| explain(place, &error, Doing::Write)),
            Err(error) => Err(error),
        };
        if ended.is_err() {
            self.roll_back().await;
        }
        ended
    }
}

/// When it is dropped, the writer rolls it back before it begins the next one.
struct SqliteTransaction<'a> {
    writer: MutexGuard<'a, Writer>,
    place: &'a Place,
}

impl Transaction for SqliteTransaction<'_> {
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        Box::pin(sql::keys::find(&mut self.writer.connection, id, self.place))
    }

    fn make<'a>(&'a mut self, change: &'a Change, event: &'a Event, replica: &'a str) -> Answer<'a, i64> {
        Box::pin(sql::apply(&mut self.writer.connection, change, event, replica, self.place))
    }

    fn commit<'a>(mut self: Box<Self>) -> Answer<'a, Position>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let committed = self.writer.commit().await;
            committed.map(|()| Position::default()).map_err(|error| explain(self.place, &error, Doing::Write))
        })
    }
}

impl Store for SqliteStore {
    /// Symbolic links among its folders are resolved.
    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    /// Brings what is still in SQLite's log into the file, so that a copy of the one file is whole. Without it nothing is lost as long as
    /// the files stay together.
    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            let settled = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer.idle().await).await;
            settled.map(drop).map_err(|error| explain(&self.place, &error, Doing::Write))
        })
    }

    fn load(&self) -> Answer<'_, Snapshot> {
        Box::pin(async move { sql::snapshot(self.writer.lock().await.idle().await, &self.place).await })
    }

    fn begin(&self, seen: Position) -> Answer<'_, (News, Box<dyn Transaction + '_>)> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let transaction = SqliteTransaction { writer, place: &self.place };
            let news = News { position: seen, ..News::default() };
            Ok((news, Box::new(transaction) as Box<dyn Transaction + '_>))
        })
    }

    fn key<'a>(&'a self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::keys::find(self.reading(&mut reader).await?, id, &self.place).await
        })
    }

    fn keys<'a>(&'a self, wanted: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::keys::page(self.reading(&mut reader).await?, wanted, &self.place).await
        })
    }

    fn sweep<'a>(&'a self, now: i64, ran: i64, retention: Retention, replica: &'a str) -> Answer<'a, Swept> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let swept = sql::sweep::sweep(&mut writer.connection, now, ran, retention, replica).await;
            writer.end(swept.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn import_events<'a>(&'a self, now: i64, replica: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let imported = sql::events::import(&mut writer.connection, now, replica).await;
            writer.end(imported.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn begin_log<'a>(&'a self, event: &'a Event, replica: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let begun = sql::events::begin_log(&mut writer.connection, event, replica).await;
            writer.end(begun.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn sign_log<'a>(&'a self, sizes: &'a [u64], sign: Sign<'a>) -> Answer<'a, Option<StoredCheckpoint>> {
        Box::pin(async move {
            let failed = |error: sqlx::Error| explain(&self.place, &error, Doing::Write);
            let mut writer = self.writer.lock().await;
            // Usually there is nothing to sign.
            let state = sql::audit_log::state(writer.idle().await, sizes).await.map_err(failed)?;
            if sign(&state).is_none() {
                return Ok(None);
            }
            writer.begin().await.map_err(failed)?;
            let signed = async {
                let state = sql::audit_log::state(&mut writer.connection, sizes).await?;
                let Some(checkpoint) = sign(&state) else { return Ok(None) };
                sql::audit_log::add_checkpoint(&mut writer.connection, &checkpoint).await.map(|()| Some(checkpoint))
            };
            let signed = signed.await.map_err(failed);
            writer.end(signed, &self.place).await
        })
    }

    fn touch<'a>(&'a self, uses: &'a [(Use, i64)]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let made = sql::touch(&mut writer.connection, uses).await;
            writer.end(made.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn password(&self, user: Uuid) -> Answer<'_, Option<SecretString>> {
        Box::pin(async move {
            let kept = sql::password(self.writer.lock().await.idle().await, user).await;
            kept.map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn lease_refresh_tokens<'a>(&'a self, due: &'a DueTokens) -> Answer<'a, Vec<LeasedToken>> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let leased = sql::identities::lease(&mut writer.connection, due, &self.place).await;
            writer.end(leased, &self.place).await
        })
    }

    fn replace_refresh_token<'a>(
        &'a self,
        old: &'a LeasedToken,
        new: Option<&'a SealedToken>,
        checked_at: Option<i64>,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let replaced = sql::identities::replace(&mut writer.connection, old, new, checked_at).await;
            writer.end(replaced.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn log_state(&self) -> Answer<'_, Option<LogState>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let state = sql::audit_log::state(self.reading(&mut reader).await?, &[]).await;
            state.map(Some).map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn audit_logs(&self) -> Answer<'_, Vec<AuditLog>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let logs = sql::audit_log::logs(self.reading(&mut reader).await?).await;
            logs.map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn audit_rows(&self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let rows = sql::audit_log::rows(self.reading(&mut reader).await?, log, from, limit).await;
            rows.map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn write_usage<'a>(&'a self, batch: &'a UsageBatch) -> Answer<'a, Vec<BudgetTotal>> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            writer.begin().await.map_err(|error| explain(&self.place, &error, Doing::Write))?;
            let written = sql::usage::write(&mut writer.connection, batch, Some(&self.series)).await;
            writer.end(written.map_err(|error| explain(&self.place, &error, Doing::Write)), &self.place).await
        })
    }

    fn budget_totals(&self, after: i64, now: i64) -> Answer<'_, BudgetNews> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::budgets::news(self.reading(&mut reader).await?, after, now, &self.place).await
        })
    }

    fn usage_totals<'a>(&'a self, wanted: &'a UsageQuery) -> Answer<'a, Vec<UsageRow>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::usage_totals::totals(self.reading(&mut reader).await?, wanted, &self.place).await
        })
    }

    fn usage_records<'a>(&'a self, wanted: &'a RecordQuery) -> Answer<'a, RecordPage> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::usage_records::page(self.reading(&mut reader).await?, wanted, &self.place).await
        })
    }

    fn last_uses(&self, account: Option<Uuid>) -> Answer<'_, Vec<LastUse>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::usage_records::last_uses(self.reading(&mut reader).await?, account, &self.place).await
        })
    }

    fn events<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, EventPage> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::event_pages::page(self.reading(&mut reader).await?, limit, filter, &self.place).await
        })
    }

    fn event_lines<'a>(&'a self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            sql::event_pages::lines(self.reading(&mut reader).await?, limit, filter, &self.place).await
        })
    }
}
