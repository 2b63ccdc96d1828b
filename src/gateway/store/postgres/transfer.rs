//! A PostgreSQL database as one side of a copy.

use std::ops::Range;

use sqlx::ConnectOptions as _;
use tokio::time::{Instant, timeout};

use super::*;
use crate::gateway::store::transfer::{Column, Kind, RecordedBy, Selection, Side, Table, Value};
use crate::gateway::store::{
    AuditLog, AuditReader, AuditRow, BlockTimes, EventCounts, EventFilter, LinePage, StoredCheckpoint,
};
use crate::transparency_log::Hash;

/// Not that of gateways: those are looked for.
const COPY_APPLICATION: &str = "ollama-auth db";
/// How long an answer is waited for: a page of rows, or a commit of all of them.
const COPY_ANSWER: Duration = Duration::from_secs(120);
/// Numbers of later rows are above those that were copied. (In SQLite they are always above those that are there.)
const CONTINUED: [&str; 3] = [
    "SELECT setval(pg_get_serial_sequence('usage_series', 'number'), max(number)) FROM usage_series HAVING count(*) > 0",
    "SELECT setval(pg_get_serial_sequence('usage_records', 'id'), max(id)) FROM usage_records HAVING count(*) > 0",
    "SELECT setval(pg_get_serial_sequence('last_uses', 'number'), max(number)) FROM last_uses HAVING count(*) > 0",
];
/// What a connection is told: the other side may be slow.
const COPY_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "120s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10min"),
    ("default_transaction_isolation", "read committed"),
];
/// How long gateways that end are waited for.
const IN_USE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// See the module.
pub struct PostgresSide {
    connection: Connection,
    place: Place,
}

/// Opens a database to read everything as it is at one moment. With `may_be_in_use`, gateways may run on it.
///
/// # Errors
/// [`StoreError`]: not reachable, no gateway has used it, in use, of an older or newer version.
pub async fn source(address: &PostgresAddress, may_be_in_use: bool) -> Result<Box<dyn Side>, StoreError> {
    Ok(Box::new(reading(address, may_be_in_use).await?))
}

/// Opens a database to read its event log. Gateways may run on it.
///
/// # Errors
/// As for [`source`].
pub async fn audit(address: &PostgresAddress) -> Result<Box<dyn AuditReader>, StoreError> {
    Ok(Box::new(reading(address, true).await?))
}

async fn reading(address: &PostgresAddress, may_be_in_use: bool) -> Result<PostgresSide, StoreError> {
    open(address, async |side| {
        schema::require_current(&mut side.connection, &side.place).await?;
        if !may_be_in_use {
            wait_until_unused(side).await?;
        }
        side.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    })
    .await
}

/// Opens a database to write everything, and makes or updates its tables.
///
/// # Errors
/// As for [`PostgresStore::open`], and in use.
pub async fn target(address: &PostgresAddress) -> Result<Box<dyn Side>, StoreError> {
    let side = open(address, async |side| {
        // Before the tables are updated: gateways may run.
        wait_until_unused(side).await?;
        schema::bring_up_to_date(&mut side.connection, &side.place).await?;
        schema::require_current(&mut side.connection, &side.place).await?;
        side.execute("BEGIN").await?;
        // Gateways that start now, and other copies, wait before they change something.
        let locked = log::lock(&mut side.connection).await;
        locked.map(drop).map_err(|error| explain(&side.place, &error, Doing::Write))
    })
    .await?;
    Ok(Box::new(side))
}

/// At the first host where it succeeds.
async fn open(
    address: &PostgresAddress,
    prepare: impl AsyncFn(&mut PostgresSide) -> Result<(), StoreError>,
) -> Result<PostgresSide, StoreError> {
    let place = Place(address.to_string());
    let bad = |reason: String| StoreError::Open { place: place.0.clone(), reason };
    let mut last = bad("no host".to_owned());
    for options in address.options().map_err(|error| bad(error.to_string()))? {
        let options = options.application_name(COPY_APPLICATION).options(COPY_SETTINGS);
        let opened = async {
            let connected = timeout(PATIENCE, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let connection = connected.map_err(|error| explain(&place, &error, Doing::Open))?;
            let mut side = PostgresSide { connection, place: place.clone() };
            prepare(&mut side).await?;
            Ok(side)
        };
        match answered(&place, opened).await {
            Ok(side) => return Ok(side),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn answered<T>(place: &Place, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(COPY_ANSWER, asked).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {} s", COPY_ANSWER.as_secs());
        Err(StoreError::Unreachable { place: place.0.clone(), reason })
    })
}

/// A gateway that runs would change what was copied, or not know it.
async fn wait_until_unused(side: &mut PostgresSide) -> Result<(), StoreError> {
    let end = Instant::now() + IN_USE;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";
    loop {
        let query = sqlx::query_scalar(others).bind(APPLICATION).fetch_one(&mut side.connection);
        let others: i64 = query.await.map_err(|error| explain(&side.place, &error, Doing::Open))?;
        match others {
            0 => return Ok(()),
            _ if Instant::now() >= end => return Err(StoreError::Busy { place: side.place.0.clone() }),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

impl PostgresSide {
    async fn execute(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let done = sqlx::query(statement).execute(&mut self.connection).await;
        done.map(drop).map_err(|error| explain(&self.place, &error, Doing::Write))
    }
}

/// What a statement gives, or why not.
async fn asked<T>(
    place: &Place,
    doing: Doing,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    answered(place, async { statement.await.map_err(|error| explain(place, &error, doing)) }).await
}

impl Side for PostgresSide {
    fn place(&self) -> &Place {
        &self.place
    }

    fn columns<'a>(&'a mut self, table: &'a str) -> Answer<'a, Vec<Column>> {
        let statement = "SELECT column_name::text, data_type::text FROM information_schema.columns \
                         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position";
        Box::pin(async move {
            let query = sqlx::query_as(statement).bind(table).fetch_all(&mut self.connection);
            let rows: Vec<(String, String)> = asked(&self.place, Doing::Read, query).await?;
            Ok(rows.into_iter().map(|(name, kind)| Column { name, kind: Kind::of(&kind) }).collect())
        })
    }

    fn page<'a>(&'a mut self, selection: &'a Selection, after: Option<&'a Value>) -> Answer<'a, Vec<Vec<Value>>> {
        Box::pin(asked(&self.place, Doing::Read, sql::rows::page(&mut self.connection, selection, after)))
    }

    fn clear<'a>(&'a mut self, table: &'a Table) -> Answer<'a, ()> {
        Box::pin(asked(&self.place, Doing::Write, sql::rows::clear(&mut self.connection, table.name)))
    }

    fn insert<'a>(&'a mut self, selection: &'a Selection, rows: Vec<Vec<Value>>) -> Answer<'a, ()> {
        Box::pin(asked(&self.place, Doing::Write, sql::rows::insert(&mut self.connection, selection, rows)))
    }

    fn last_event(&mut self) -> Answer<'_, i64> {
        let last = "SELECT greatest(coalesce((SELECT max(id) FROM events), 0), \
                    coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'id')::regclass), 0))";
        Box::pin(asked(&self.place, Doing::Read, sqlx::query_scalar(last).fetch_one(&mut self.connection)))
    }

    fn finish<'a>(mut self: Box<Self>, last_event: i64, begins_log: Option<&'a RecordedBy<'a>>) -> Answer<'a, ()> {
        Box::pin(async move {
            let place = self.place.clone();
            let stored = async {
                let connection = &mut self.connection;
                if last_event > 0 {
                    let continued = "SELECT setval(pg_get_serial_sequence('events', 'id'), $1)";
                    sqlx::query(continued).bind(last_event).execute(&mut *connection).await?;
                }
                for continued in CONTINUED {
                    sqlx::query(continued).execute(&mut *connection).await?;
                }
                if let Some(RecordedBy { event, replica }) = begins_log {
                    sql::events::begin_log(connection, event, replica).await?;
                }
                // A gateway that was started in the meantime loads everything.
                let position = log::lock(connection).await?;
                log::append(connection, position, vec![Subject::Everything]).await?;
                sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *connection).await.map(drop)
            };
            asked(&place, Doing::Write, stored).await?;
            let committed = async { sqlx::query("COMMIT").execute(&mut self.connection).await.map(drop) };
            match asked(&place, Doing::Write, committed).await {
                Err(StoreError::Unreachable { .. }) => Err(StoreError::Doubtful { place: place.0 }),
                other => other,
            }
        })
    }
}

impl AuditReader for PostgresSide {
    fn logs(&mut self) -> Answer<'_, Vec<AuditLog>> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::logs(&mut self.connection)))
    }

    fn lines<'a>(&'a mut self, limit: u32, filter: &'a EventFilter) -> Answer<'a, LinePage> {
        let place = self.place.clone();
        Box::pin(
            async move { answered(&place, sql::event_pages::lines(&mut self.connection, limit, filter, &place)).await },
        )
    }

    fn rows(&mut self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::rows(&mut self.connection, log, from, limit)))
    }

    fn hashes(&mut self, log: i64, level: u8, indexes: Range<u64>) -> Answer<'_, Vec<(u64, Hash)>> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::hashes(&mut self.connection, log, level, indexes)))
    }

    fn checkpoints(&mut self, limit: i64) -> Answer<'_, Vec<StoredCheckpoint>> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::checkpoints(&mut self.connection, limit)))
    }

    fn times(&mut self) -> Answer<'_, Vec<BlockTimes>> {
        Box::pin(asked(&self.place, Doing::Read, sql::event_times::noted(&mut self.connection)))
    }

    fn counts(&mut self) -> Answer<'_, EventCounts> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::counts(&mut self.connection)))
    }

    fn removals(&mut self) -> Answer<'_, Vec<String>> {
        Box::pin(asked(&self.place, Doing::Read, sql::audit_log::removals(&mut self.connection)))
    }
}
