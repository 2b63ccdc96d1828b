//! The statements for events.

use super::{Connection, explain};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Details, Event, EventFilter, RecordedEvent, StoreError, event};

/// Records an event of the gateway with that name. Returns its number.
pub async fn record(connection: &mut Connection, event: &Event, replica: &str) -> Result<i64, sqlx::Error> {
    let line = event::write(event, replica).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let query = sqlx::query_scalar(
        "INSERT INTO events (at, actor, action, subject, detail, address, account_id, account, count, last_at, code, \
         request, record, uptime) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, (SELECT seconds FROM uptime)) \
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
    Option<String>,
);

/// The latest events that are wanted, the newest first.
pub async fn latest(
    connection: &mut Connection,
    limit: u32,
    filter: &EventFilter,
    place: &Place,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address, record \
         FROM events WHERE id < $1 \
         AND (CAST($2 AS TEXT) IS NULL OR account = $2 OR account_id = $2) \
         AND (CAST($3 AS TEXT) IS NULL OR action = $3 OR substr(action, 1, length($3) + 1) = $3 || '.') \
         AND (CAST($4 AS TEXT) IS NULL OR subject = $4 OR actor IN ($4, 'key:' || $4, 'device:' || $4, 'user:' || $4, \
         'workload:' || $4)) \
         AND (CAST($5 AS TEXT) IS NULL OR address = $5) \
         AND (CAST($6 AS BIGINT) IS NULL OR coalesce(last_at, at) >= $6) AND (CAST($7 AS BIGINT) IS NULL OR at <= $7) \
         AND (CAST($8 AS TEXT) IS NULL OR code = $8) AND (CAST($9 AS TEXT) IS NULL OR request = $9) \
         ORDER BY id DESC LIMIT $10",
    )
    .bind(filter.before.unwrap_or(i64::MAX))
    .bind(&filter.account)
    .bind(&filter.action)
    .bind(&filter.subject)
    .bind(&filter.address)
    .bind(filter.since)
    .bind(filter.until)
    .bind(&filter.code)
    .bind(&filter.request)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(|error| explain(place, &error, Doing::Read))?;
    rows.into_iter().map(|row| recorded(row, place)).collect()
}

fn recorded(row: EventRow, place: &Place) -> Result<RecordedEvent, StoreError> {
    let (id, at, last_at, count, actor, action, subject, account, account_id, detail, details, address, record) = row;
    let broken = |_| place.damaged(format!("the event {id} cannot be read"));
    if let Some(line) = record {
        return event::read(id, &line).map_err(broken);
    }
    // Of a version that stored no lines.
    let details: Option<Details> = details.map(|text| serde_json::from_str(&text)).transpose().map_err(broken)?;
    Ok(RecordedEvent {
        id,
        at,
        last_at,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        first: None,
        actor,
        actor_account: None,
        action,
        subject,
        account,
        account_id: account_id.map(|id| place.parse(&id, "user")).transpose()?,
        code: None,
        detail: details.as_ref().map_or(detail, ToString::to_string),
        details,
        address,
        request: None,
        replica: None,
    })
}
