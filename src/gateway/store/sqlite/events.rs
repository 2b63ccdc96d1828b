//! The statements for events.

use sqlx::SqliteConnection;

use super::error::{Doing, Place, parsed};
use crate::gateway::store::{Details, Event, EventFilter, RecordedEvent, StoreError};

/// Records an event, or counts it with the `earlier` one. Returns its number.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    event: &Event,
    earlier: Option<i64>,
) -> Result<i64, sqlx::Error> {
    let details = serde_json::to_string(&event.details).map_err(|error| sqlx::Error::Encode(error.into()))?;
    if let Some(id) = earlier {
        let counted = sqlx::query("UPDATE events SET count = count + ?, last_at = ?, details = ?, uptime = (SELECT seconds FROM uptime) WHERE id = ?")
            .bind(i64::from(event.repeats) + 1)
            .bind(event.at)
            .bind(&details)
            .bind(id)
            .execute(&mut *connection)
            .await?;
        if counted.rows_affected() > 0 {
            return Ok(id);
        }
    }
    let query = sqlx::query(
        "INSERT INTO events (at, actor, action, subject, detail, address, account_id, account, details, count, uptime) \
         VALUES (?, ?, ?, ?, '', ?, ?, ?, ?, ?, (SELECT seconds FROM uptime))",
    );
    query
        .bind(event.at)
        .bind(&event.actor)
        .bind(event.action)
        .bind(&event.subject)
        .bind(&event.address)
        .bind(event.account.as_ref().map(|account| account.id.to_string()))
        .bind(event.account.as_ref().map(|account| &account.name))
        .bind(details)
        .bind(i64::from(event.repeats) + 1)
        .execute(connection)
        .await
        .map(|done| done.last_insert_rowid())
}

type EventRow = (
    i64,
    i64,
    Option<i64>,
    u32,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    String,
);

/// The latest events that are wanted, the newest first.
pub(super) async fn latest(
    connection: &mut SqliteConnection,
    limit: u32,
    filter: &EventFilter,
    place: &Place,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address \
         FROM events WHERE id < ?1 \
         AND (?2 IS NULL OR account = ?2 OR account_id = ?2) \
         AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.') \
         AND (?4 IS NULL OR subject = ?4 OR actor IN (?4, 'key:' || ?4, 'device:' || ?4, 'user:' || ?4)) \
         AND (?5 IS NULL OR address = ?5) \
         AND (?6 IS NULL OR coalesce(last_at, at) >= ?6) AND (?7 IS NULL OR at <= ?7) \
         ORDER BY id DESC LIMIT ?8",
    )
    .bind(filter.before.unwrap_or(i64::MAX))
    .bind(&filter.account)
    .bind(&filter.action)
    .bind(&filter.subject)
    .bind(&filter.address)
    .bind(filter.since)
    .bind(filter.until)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(|error| place.explain(&error, Doing::Read))?;
    rows.into_iter().map(|row| event(row, place)).collect()
}

fn event(row: EventRow, place: &Place) -> Result<RecordedEvent, StoreError> {
    let (id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address) = row;
    let details: Option<Details> = details
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|_| place.damaged(format!("the details of the event {id} cannot be read")))?;
    Ok(RecordedEvent {
        id,
        at,
        last_at,
        count,
        actor,
        action,
        subject,
        account,
        account_id: account_id.map(|id| parsed(&id, "user", place)).transpose()?,
        detail: details.as_ref().map_or(detail, ToString::to_string),
        details,
        address,
    })
}
