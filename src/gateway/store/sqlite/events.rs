//! The statements for events.

use sqlx::SqliteConnection;

use super::error::{Doing, Place, parsed};
use crate::gateway::store::{Details, Event, RecordedEvent, StoreError};

/// Records an event.
pub(super) async fn record(connection: &mut SqliteConnection, event: &Event) -> Result<(), sqlx::Error> {
    let details = serde_json::to_string(&event.details).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let query = sqlx::query(
        "INSERT INTO events (at, actor, action, subject, detail, address, account_id, account, details) \
         VALUES (?, ?, ?, ?, '', ?, ?, ?, ?)",
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
        .execute(connection)
        .await
        .map(drop)
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

/// The latest events, the newest first.
pub(super) async fn latest(
    connection: &mut SqliteConnection,
    limit: u32,
    place: &Place,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address \
         FROM events ORDER BY id DESC LIMIT ?",
    )
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
