//! The statements for events.

use super::{Connection, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Details, Event, EventFilter, RecordedEvent, StoreError};

/// Records an event, or counts it with the `earlier` one. Returns its number.
pub async fn record(connection: &mut Connection, event: &Event, earlier: Option<i64>) -> Result<i64, sqlx::Error> {
    let details = serde_json::to_string(&event.details).map_err(|error| sqlx::Error::Encode(error.into()))?;
    if let Some(id) = earlier {
        let statement = "UPDATE events SET count = count + $1, last_at = $2, details = $3, \
                         uptime = (SELECT seconds FROM uptime) WHERE id = $4";
        let counted = sqlx::query(statement)
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
    let query = sqlx::query_scalar(
        "INSERT INTO events (at, actor, action, subject, detail, address, account_id, account, details, count, uptime) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, (SELECT seconds FROM uptime)) \
         RETURNING id",
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
        .fetch_one(connection)
        .await
}

type EventRow = (
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
);

/// The latest events that are wanted, the newest first.
pub async fn latest(
    connection: &mut Connection,
    limit: u32,
    filter: &EventFilter,
    place: &Place,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address \
         FROM events WHERE id < $1 \
         AND (CAST($2 AS TEXT) IS NULL OR account = $2 OR account_id = $2) \
         AND (CAST($3 AS TEXT) IS NULL OR action = $3 OR substr(action, 1, length($3) + 1) = $3 || '.') \
         AND (CAST($4 AS TEXT) IS NULL OR subject = $4 OR actor IN ($4, 'key:' || $4, 'device:' || $4, 'user:' || $4)) \
         AND (CAST($5 AS TEXT) IS NULL OR address = $5) \
         AND (CAST($6 AS BIGINT) IS NULL OR coalesce(last_at, at) >= $6) AND (CAST($7 AS BIGINT) IS NULL OR at <= $7) \
         ORDER BY id DESC LIMIT $8",
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
    .map_err(|error| explain(place, &error, Doing::Read))?;
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
        count: u32::try_from(count).unwrap_or(u32::MAX),
        actor,
        action,
        subject,
        account,
        account_id: account_id.map(|id| place.parse(&id, "user")).transpose()?,
        detail: details.as_ref().map_or(detail, ToString::to_string),
        details,
        address,
    })
}
