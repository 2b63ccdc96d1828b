//! A file as one side of a copy, and backups of it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use sqlx::Connection as _;
use tempfile::TempDir;

use super::*;
use crate::gateway::store::transfer::{
    COPIED, Column, CopiedTable, Kind, RecordedBy, Selection, Side, Table, Value, has_defaults,
};
use crate::gateway::store::{
    AuditLog, AuditReader, AuditRow, BlockTimes, EventCounts, EventFilter, LinePage, StoredCheckpoint,
};
use crate::transparency_log::Hash;

/// Fields are dropped in order: the connection before its lock and its folder.
pub struct SqliteSide {
    connection: Connection,
    place: Place,
    _lock: Option<Lock>,
    _folder: Option<TempDir>,
}

/// Opens a file to read everything. It is not changed: of one of an older version, an updated copy is read.
///
/// # Errors
/// [`StoreError`]: not there, in use, damaged, newer than this program, open to other accounts.
pub async fn source(path: &Path) -> Result<Box<dyn Side>, StoreError> {
    let path = existing(path)?;
    let lock = lock(&path, PATIENCE).await?;
    files::prepare(&path)?;
    let place = Place(path.display().to_string());
    let (mut connection, mut folder) = (read_only(&path, &place).await?, None);
    let version = find_version(&mut connection, &place).await?;
    check(&mut connection, &place).await?;
    if version != newest() {
        let failed = |error: std::io::Error| StoreError::Read { place: place.0.clone(), reason: error.to_string() };
        let temporary = folder.insert(tempfile::tempdir().map_err(failed)?).path().join("updated.db");
        vacuum_into(&mut connection, &temporary, &place).await?;
        connection = new_file(&temporary, &place).await?;
    }
    begin(&mut connection, "BEGIN", &place).await?;
    Ok(Box::new(SqliteSide { connection, place, _lock: Some(lock), _folder: folder }))
}

/// Opens a file to read its event log. A gateway may have the database open, and go on writing.
///
/// # Errors
/// [`StoreError`]: not there, damaged, of another version of this program.
pub async fn audit(path: &Path) -> Result<Box<dyn AuditReader>, StoreError> {
    let path = existing(path)?;
    files::prepare(&path)?;
    let place = Place(path.display().to_string());
    let mut connection = read_only(&path, &place).await?;
    if find_version(&mut connection, &place).await? != newest() {
        let reason = "a gateway of this version has not opened it yet".to_owned();
        return Err(StoreError::Open { place: place.0, reason });
    }
    begin(&mut connection, "BEGIN", &place).await?;
    Ok(Box::new(SqliteSide { connection, place, _lock: None, _folder: None }))
}

/// Opens or makes a file to write everything.
///
/// # Errors
/// As for [`SqliteStore::open`].
pub async fn target(path: &Path) -> Result<Box<dyn Side>, StoreError> {
    refuse_used(path).await?;
    let SqliteStore { writer, place, _lock, .. } = SqliteStore::open(path).await?;
    let mut connection = writer.into_inner().connection;
    begin(&mut connection, "BEGIN IMMEDIATE", &place).await?;
    Ok(Box::new(SqliteSide { connection, place, _lock: Some(_lock), _folder: None }))
}

/// Before the tables of an older version are updated: the file may have been named by mistake.
async fn refuse_used(path: &Path) -> Result<(), StoreError> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let path = existing(path)?;
    let _lock = lock(&path, PATIENCE).await?;
    files::prepare(&path)?;
    let place = Place(path.display().to_string());
    let mut connection = read_only(&path, &place).await?;
    let has_tables = find_version(&mut connection, &place).await?.is_some();
    let is_used = has_tables
        && counts(&mut connection, &place).await?.iter().any(|(name, rows)| !has_defaults(name) && *rows > 0);
    connection.close().await.map_err(|error| explain(&place, &error, Doing::Read))?;
    if is_used { Err(StoreError::NotEmpty { place: place.0 }) } else { Ok(()) }
}

/// Opens an empty private file to write everything; it is thrown away if this fails.
///
/// # Errors
/// [`StoreError::Write`], [`StoreError::Open`].
pub async fn target_in(file: &Path, place: &Path) -> Result<Box<dyn Side>, StoreError> {
    let place = Place(place.display().to_string());
    let mut connection = new_file(file, &place).await?;
    begin(&mut connection, "BEGIN IMMEDIATE", &place).await?;
    Ok(Box::new(SqliteSide { connection, place, _lock: None, _folder: None }))
}

/// Writes everything as it is at one moment into an empty file. A gateway may have the database open, and go on writing.
///
/// # Errors
/// [`StoreError`]: not there, damaged, made by another program; [`StoreError::Write`] when the file cannot be written.
pub async fn back_up(path: &Path, file: &Path, shown: &Path) -> Result<Vec<CopiedTable>, StoreError> {
    let path = existing(path)?;
    files::prepare(&path)?;
    let (place, copy) = (Place(path.display().to_string()), Place(shown.display().to_string()));
    let mut connection = read_only(&path, &place).await?;
    if find_version(&mut connection, &place).await?.is_none() {
        let reason = "no gateway has used it".to_owned();
        return Err(StoreError::Open { place: place.0, reason });
    }
    let before = (version_of_data(&mut connection, &place).await?, counts(&mut connection, &place).await?);
    vacuum_into(&mut connection, file, &copy).await?;
    let is_unchanged = version_of_data(&mut connection, &place).await? == before.0;
    let mut written = read_only(file, &copy).await?;
    check(&mut written, &copy).await?;
    let after = counts(&mut written, &copy).await?;
    written.close().await.map_err(|error| explain(&copy, &error, Doing::Write))?;
    // Otherwise a gateway may have added some in the meantime.
    let as_before = |table: &(&'static str, u64)| is_unchanged.then(|| before.1.contains(table));
    Ok(after.iter().map(|table| CopiedTable { name: table.0, rows: table.1, verified: as_before(table) }).collect())
}

/// Rows that are read before they are asked for.
const READ_AHEAD: usize = 2000;

/// The path of a database that must be there.
fn existing(path: &Path) -> Result<PathBuf, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => files::locate(path),
        Err(error) => Err(StoreError::Open { place: path.display().to_string(), reason: error.to_string() }),
    }
}

/// Keeps the journal mode of the file.
async fn read_only(path: &Path, place: &Place) -> Result<Connection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    // Otherwise reader and database wait for each other after every 50 rows.
    options
        .row_buffer_size(READ_AHEAD)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| explain(place, &error, Doing::Open))
}

/// With this program's tables. It has no journal file: after a failure it is thrown away.
async fn new_file(path: &Path, place: &Place) -> Result<Connection, StoreError> {
    let options = options(path).journal_mode(SqliteJournalMode::Memory);
    let mut connection = options.connect().await.map_err(|error| explain(place, &error, Doing::Write))?;
    bring_up_to_date(&mut connection, place).await?;
    Ok(connection)
}

async fn vacuum_into(connection: &mut Connection, file: &Path, place: &Place) -> Result<(), StoreError> {
    let Some(file) = file.to_str() else {
        let reason = "its path is not valid UTF-8".to_owned();
        return Err(StoreError::Write { place: place.0.clone(), reason });
    };
    let written = sqlx::query("VACUUM INTO $1").bind(file).execute(connection).await;
    if written.is_err() {
        // A full disk leaves it there.
        let _ = std::fs::remove_file(files::beside(Path::new(file), "-journal"));
    }
    written.map(drop).map_err(|error| explain(place, &error, Doing::Write))
}

async fn begin(connection: &mut Connection, statement: &'static str, place: &Place) -> Result<(), StoreError> {
    let begun = sqlx::query(statement).execute(connection).await;
    begun.map(drop).map_err(|error| explain(place, &error, Doing::Open))
}

/// Changes when another process changes the database.
async fn version_of_data(connection: &mut Connection, place: &Place) -> Result<i64, StoreError> {
    let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await;
    version.map_err(|error| explain(place, &error, Doing::Read))
}

/// How many rows there are. Tables of later versions may be missing.
async fn counts(connection: &mut Connection, place: &Place) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let mut counts = Vec::new();
    for table in COPIED {
        let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
        if columns(connection, table.name).await.map_err(failed)?.is_empty() {
            continue;
        }
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT count(*) FROM ");
        let query = query.push(table.name).build_query_scalar::<i64>();
        let count = query.fetch_one(&mut *connection).await.map_err(failed)?;
        counts.push((table.name, count.unsigned_abs()));
    }
    Ok(counts)
}

async fn columns(connection: &mut Connection, table: &str) -> Result<Vec<Column>, sqlx::Error> {
    let query = sqlx::query_as("SELECT name, type FROM pragma_table_info($1)").bind(table);
    let rows: Vec<(String, String)> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(name, kind)| Column { name, kind: Kind::of(&kind) }).collect())
}

impl SqliteSide {
    fn failed(&self, doing: Doing) -> impl Fn(sqlx::Error) -> StoreError + use<> {
        let place = self.place.clone();
        move |error| explain(&place, &error, doing)
    }
}

impl Side for SqliteSide {
    fn place(&self) -> &Place {
        &self.place
    }

    fn columns<'a>(&'a mut self, table: &'a str) -> Answer<'a, Vec<Column>> {
        let failed = self.failed(Doing::Read);
        Box::pin(async move { columns(&mut self.connection, table).await.map_err(failed) })
    }

    fn page<'a>(&'a mut self, selection: &'a Selection, after: Option<&'a Value>) -> Answer<'a, Vec<Vec<Value>>> {
        let failed = self.failed(Doing::Read);
        Box::pin(async move { sql::rows::page(&mut self.connection, selection, after).await.map_err(failed) })
    }

    fn clear<'a>(&'a mut self, table: &'a Table) -> Answer<'a, ()> {
        let failed = self.failed(Doing::Write);
        Box::pin(async move { sql::rows::clear(&mut self.connection, table.name).await.map_err(failed) })
    }

    fn insert<'a>(&'a mut self, selection: &'a Selection, rows: Vec<Vec<Value>>) -> Answer<'a, ()> {
        let failed = self.failed(Doing::Write);
        Box::pin(async move { sql::rows::insert(&mut self.connection, selection, rows).await.map_err(failed) })
    }

    fn last_event(&mut self) -> Answer<'_, i64> {
        let failed = self.failed(Doing::Read);
        let last = "SELECT max(coalesce((SELECT max(id) FROM events), 0), \
                    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0))";
        Box::pin(async move { sqlx::query_scalar(last).fetch_one(&mut self.connection).await.map_err(failed) })
    }

    fn finish<'a>(mut self: Box<Self>, last_event: i64, begins_log: Option<&'a RecordedBy<'a>>) -> Answer<'a, ()> {
        let failed = self.failed(Doing::Write);
        Box::pin(async move {
            let connection = &mut self.connection;
            // Before the first event there is no row.
            for statement in [
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'events', 0 \
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events')",
                "UPDATE sqlite_sequence SET seq = max(seq, $1) WHERE name = 'events'",
            ] {
                let query = sqlx::query(statement);
                let query = if statement.contains("$1") { query.bind(last_event) } else { query };
                query.execute(&mut *connection).await.map_err(&failed)?;
            }
            if let Some(RecordedBy { event, replica }) = begins_log {
                sql::events::begin_log(connection, event, replica).await.map_err(&failed)?;
            }
            sqlx::query("COMMIT").execute(&mut *connection).await.map_err(&failed)?;
            check(connection, &self.place).await?;
            // Into the one file; of a journal in memory there is nothing to do.
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await.map_err(&failed)?;
            self.connection.close().await.map_err(failed)
        })
    }
}

impl AuditReader for SqliteSide {
    fn logs(&mut self) -> Answer<'_, Vec<AuditLog>> {
        Box::pin(async move {
            sql::audit_log::logs(&mut self.connection).await.map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn lines<'a>(&'a mut self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage> {
        Box::pin(sql::event_pages::lines(&mut self.connection, limit, filter, &self.place))
    }

    fn rows(&mut self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            sql::audit_log::rows(&mut self.connection, log, from, limit)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn hashes(&mut self, log: i64, level: u8, indexes: Range<u64>) -> Answer<'_, Vec<(u64, Hash)>> {
        Box::pin(async move {
            sql::audit_log::hashes(&mut self.connection, log, level, indexes)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn checkpoints(&mut self, limit: i64) -> Answer<'_, Vec<StoredCheckpoint>> {
        Box::pin(async move {
            sql::audit_log::checkpoints(&mut self.connection, limit)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn times(&mut self) -> Answer<'_, Vec<BlockTimes>> {
        Box::pin(async move {
            sql::event_times::noted(&mut self.connection)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn counts(&mut self) -> Answer<'_, EventCounts> {
        Box::pin(async move {
            sql::audit_log::counts(&mut self.connection)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }

    fn removals(&mut self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            sql::audit_log::removals(&mut self.connection)
                .await
                .map_err(|error| explain(&self.place, &error, Doing::Read))
        })
    }
}
