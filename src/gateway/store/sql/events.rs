//! The statements for events.

use super::audit_log::{self, Log};
use super::{Connection, event_times};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::place::Place;
use crate::gateway::store::{Actor, Details, Event, RecordedEvent, StoreError, event};

/// Events that are taken in at a time.
const BATCH: i64 = 5000;
/// The action of an event that tells which events of an earlier version were taken into the tree.
const IMPORTED: &str = "audit.imported";
/// The same of one that tells which events were removed, and what the tree was where the rest begins.
const REMOVED: &str = "audit.removed";

/// Records an event of the gateway with that name, in the tree too. Returns its number. One that is stored already is not stored again.
pub async fn record(connection: &mut Connection, event: &Event, replica: &str) -> Result<i64, sqlx::Error> {
    if let Some(sequence) = &event.sequence {
        let stored = sqlx::query_scalar("SELECT id FROM events WHERE sequence = $1").bind(sequence);
        if let Some(id) = stored.fetch_optional(&mut *connection).await? {
            return Ok(id);
        }
    }
    let mut log = audit_log::current(connection).await?;
    while log.misses_events {
        take_in(connection, &mut log, event.at, replica).await?;
    }
    let id = insert(connection, event, replica, &mut log).await?;
    log.save(connection).await?;
    if log.tree.size().is_multiple_of(event_times::INTERVAL) {
        event_times::note(connection, id).await?;
    }
    Ok(id)
}

/// Takes some of the events into the tree that are in none. Returns whether there may be more.
pub async fn import(connection: &mut Connection, now: i64, replica: &str) -> Result<bool, sqlx::Error> {
    let mut log = audit_log::current(connection).await?;
    if log.misses_events {
        take_in(connection, &mut log, now, replica).await?;
        log.save(connection).await?;
    }
    Ok(log.misses_events)
}

/// Begins another log with that event, which says where the one before it ended. Returns its origin.
pub async fn begin_log(connection: &mut Connection, event: &Event, replica: &str) -> Result<String, sqlx::Error> {
    let mut before = audit_log::current(connection).await?;
    while before.misses_events {
        take_in(connection, &mut before, event.at, replica).await?;
    }
    before.save(connection).await?;
    let checkpoint = audit_log::checkpoints(connection, 1).await?.pop().filter(|last| last.log == before.number);
    let mut log = audit_log::begin(connection).await?;
    let event = event.clone().with("before", &before.origin).with("size", before.tree.size());
    let event = event.with("root", before.tree.root().to_string()).with("checkpoint", checkpoint.map(|last| last.note));
    insert(connection, &Event { subject: log.origin.clone(), ..event }, replica, &mut log).await?;
    log.save(connection).await?;
    Ok(log.origin)
}

/// Takes the oldest events into the tree that are in none, and after the last of them an event that says which they are: so the numbers of
/// events are in the order of the tree. Versions before 0.2.0 stored no line: their events get one.
async fn take_in(connection: &mut Connection, log: &mut Log, now: i64, replica: &str) -> Result<(), sqlx::Error> {
    let rows: Vec<EventRow> = sqlx::query_as(select_events!("WHERE log IS NULL ORDER BY id LIMIT $1"))
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
    let first = *log.importing_from.get_or_insert(i64::try_from(log.tree.size()).unwrap_or(i64::MAX));
    log.misses_events = rows.len() as i64 == BATCH;
    for row in rows {
        let id = row.0;
        let line = match &row.12 {
            Some(line) => line.clone(),
            None => {
                let unreadable = |_| sqlx::Error::Decode(format!("the event {id} cannot be read").into());
                let event = old_event(row).map_err(unreadable)?;
                event::write_old(&event).map_err(|error| sqlx::Error::Encode(error.into()))?
            }
        };
        let index = log.append(connection, &line).await?;
        sqlx::query("UPDATE events SET log = $1, log_index = $2, record = $3 WHERE id = $4")
            .bind(log.number)
            .bind(index)
            .bind(line)
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    if log.misses_events {
        return Ok(());
    }
    log.importing_from = None;
    let count = log.tree.size() - first.unsigned_abs();
    if count > 0 {
        let event = Event::new(now, Actor::Gateway, IMPORTED, &log.origin);
        let event = event.with("first", first).with("count", count).with("root", log.tree.root().to_string());
        insert(connection, &event, replica, log).await?;
    }
    Ok(())
}

/// Removes the events with a lower number than that, and records from where their log goes on. Returns how many they were.
pub async fn remove_before(
    connection: &mut Connection,
    end: i64,
    uptime: i64,
    now: i64,
    replica: &str,
) -> Result<u64, sqlx::Error> {
    let mut log = audit_log::current(connection).await?;
    while log.misses_events {
        take_in(connection, &mut log, now, replica).await?;
    }
    log.save(connection).await?;
    audit_log::subtract_before(connection, end).await?;
    let removed = sqlx::query("DELETE FROM events WHERE id < $1").bind(end).execute(&mut *connection).await?;
    event_times::remove_before(connection, end).await?;
    let count = removed.rows_affected();
    if count == 0 {
        return Ok(0);
    }
    let first: Option<(i64, i64)> = sqlx::query_as("SELECT log, log_index FROM events ORDER BY log, log_index LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    // If none is left, the next one is this.
    let (of_log, first) = match first {
        Some((of_log, first)) => (of_log, u64::try_from(first).unwrap_or_default()),
        None => (log.number, log.tree.size()),
    };
    let before = audit_log::frontier_at(connection, of_log, first).await?;
    let hashes: Vec<String> = before.hashes().iter().map(ToString::to_string).collect();
    let origin: String = sqlx::query_scalar("SELECT origin FROM audit_logs WHERE number = $1")
        .bind(of_log)
        .fetch_one(&mut *connection)
        .await?;
    let event = Event::new(now, Actor::Gateway, REMOVED, &log.origin).with("log", of_log).with("origin", origin);
    let event = event.with("first_kept", first);
    insert(connection, &event.with("count", count).with("hashes", hashes), replica, &mut log).await?;
    log.save(connection).await?;
    audit_log::remove_before(connection, of_log, first).await?;
    sqlx::query("UPDATE audit_logs SET removed_uptime = $1 WHERE number = $2")
        .bind(uptime)
        .bind(log.number)
        .execute(connection)
        .await?;
    Ok(count)
}

async fn insert(connection: &mut Connection, event: &Event, replica: &str, log: &mut Log) -> Result<i64, sqlx::Error> {
    let line = event::write(event, replica).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let index = log.append(connection, &line).await?;
    let query = sqlx::query_scalar(
        "INSERT INTO events (at, actor, action, subject, detail, address, account_id, account, count, last_at, code, \
         request, record, log, log_index, sequence, uptime) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, (SELECT seconds FROM uptime)) \
         RETURNING id",
    );
    query
        .bind(event.at)
        .bind(event.actor.to_string())
        .bind(event.action)
        .bind(&event.subject)
        .bind(event.address().unwrap_or_default())
        .bind(event.account.as_ref().map(|account| account.id.to_string()))
        .bind(event.account.as_ref().map(|account| &account.name))
        .bind(event.repeats.map_or(1, |repeats| i64::from(repeats.count)))
        .bind(event.repeats.map(|repeats| repeats.until))
        .bind(event.code.map(RefusalCode::name))
        .bind(event.request())
        .bind(line)
        .bind(log.number)
        .bind(index)
        .bind(&event.sequence)
        .fetch_one(connection)
        .await
}

/// As [`select_events`] reads it.
pub type EventRow = (
    i64,
    i64,
    Option<i64>,
    i64,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

/// The columns of an [`EventRow`], with what follows.
macro_rules! select_events {
    ($more:literal) => {
        concat!(
            "SELECT id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address, record, \
             log, log_index FROM events ",
            $more
        )
    };
}
pub(super) use select_events;

/// What a row tells: its line, or the columns of an event of a version that stored none.
pub fn recorded(row: EventRow, place: &Place) -> Result<RecordedEvent, StoreError> {
    let id = row.0;
    let read = match &row.12 {
        Some(line) => event::read(id, line).map(|read| RecordedEvent { log: row.13, index: row.14, ..read }).ok(),
        None => old_event(row).ok(),
    };
    read.ok_or_else(|| place.damaged(format!("the event {id} cannot be read")))
}

/// An event of a version that stored no lines, which is all in columns.
pub fn old_event(row: EventRow) -> Result<RecordedEvent, Unreadable> {
    let (id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address, _, log, index) =
        row;
    let details: Option<Details> =
        details.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| Unreadable)?;
    Ok(RecordedEvent {
        id,
        log,
        index,
        at,
        last_at,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        first: None,
        actor,
        actor_account: None,
        action,
        subject,
        account,
        account_id: account_id.map(|id| id.parse()).transpose().map_err(|_| Unreadable)?,
        code: None,
        detail: details.as_ref().map_or(detail, ToString::to_string),
        details,
        address,
        request: None,
        replica: None,
    })
}

/// A row that no version has written.
#[derive(Debug)]
pub struct Unreadable;
