//! Notes which keys have expired, and deletes what was kept long enough.
//!
//! Something is deleted when it is old enough by the clock and by the time that the gateway has run since. So a clock that is set
//! forward deletes nothing, however far.

use sqlx::Error;

use super::Connection;
use crate::gateway::store::{Retention, Swept};
use crate::keyspec::{KeyHash, KeyId};

/// Records that are deleted at a time, so that no change waits long.
const MOST: i64 = 1000;
/// In seconds.
const DAY: i64 = 86_400;

/// In a transaction of the caller's. `now` in Unix seconds; `ran` are the seconds since the last call.
pub async fn sweep(
    connection: &mut Connection,
    now: i64,
    ran: i64,
    retention: Retention,
    replica: &str,
) -> Result<Swept, Error> {
    let uptime: i64 = sqlx::query_scalar("UPDATE uptime SET seconds = seconds + $1 RETURNING seconds")
        .bind(ran)
        .fetch_one(&mut *connection)
        .await?;
    let revived: Vec<String> = sqlx::query_scalar(
        "UPDATE api_keys SET ended_uptime = NULL \
         WHERE ended_uptime IS NOT NULL AND revoked_at IS NULL AND expires_at > $1 RETURNING id",
    )
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    let expired: Vec<String> = sqlx::query_scalar(
        "UPDATE api_keys SET ended_uptime = $1 WHERE ended_uptime IS NULL AND expires_at <= $2 RETURNING id",
    )
    .bind(uptime)
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    let mut deleted = Vec::new();
    if let Some(kept) = retention.keys {
        deleted = delete_keys(connection, now, uptime, kept).await?;
        deleted.extend(forget_removed_keys(connection, now, uptime, kept).await?);
    }
    let invitations = super::invitations::sweep(connection, now, uptime, retention.keys).await?;
    let RemovedEvents { count: events, has_more: has_more_events } =
        delete_events(connection, now, uptime, retention, replica).await?;
    let usage = super::usage_sweep::sweep(connection, now, uptime, ran, retention).await?;
    let ids = |list: Vec<String>| list.iter().filter_map(|id| id.parse::<KeyId>().ok()).collect();
    Ok(Swept {
        expired: ids(expired),
        revived: ids(revived),
        deleted,
        invitations,
        events,
        has_more_events,
        usage: usage.count,
        has_more_usage: usage.has_more,
    })
}

/// A time that is still to come was taken from a wrong clock: then the time that the gateway has run decides alone.
async fn delete_keys(connection: &mut Connection, now: i64, uptime: i64, kept: i64) -> Result<Vec<KeyHash>, Error> {
    let old: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, hash FROM (SELECT id, hash, \
         CASE WHEN revoked_at < expires_at THEN revoked_at ELSE coalesce(expires_at, revoked_at) END AS ended \
         FROM api_keys WHERE ended_uptime <= $1 ORDER BY ended_uptime LIMIT $2) AS old \
         WHERE ended <= $3 OR ended > $4",
    )
    .bind(uptime - kept)
    .bind(MOST)
    .bind(now - kept)
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    let mut hashes = Vec::new();
    for (id, hash) in old {
        sqlx::query("INSERT INTO deleted_keys (id) VALUES ($1)").bind(&id).execute(&mut *connection).await?;
        sqlx::query("DELETE FROM api_keys WHERE id = $1").bind(&id).execute(&mut *connection).await?;
        hashes.extend(<[u8; 32]>::try_from(hash).map(KeyHash::from_bytes));
    }
    Ok(hashes)
}

/// As [`delete_keys`], for what remains of the keys of removed accounts. Their ids stay.
async fn forget_removed_keys(
    connection: &mut Connection,
    now: i64,
    uptime: i64,
    kept: i64,
) -> Result<Vec<KeyHash>, Error> {
    let old: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, hash FROM deleted_keys WHERE hash IS NOT NULL AND removed_uptime <= $1 \
         AND (removed_at <= $2 OR removed_at > $3) LIMIT $4",
    )
    .bind(uptime - kept)
    .bind(now - kept)
    .bind(now)
    .bind(MOST)
    .fetch_all(&mut *connection)
    .await?;
    let mut hashes = Vec::new();
    for (id, hash) in old {
        let forget = "UPDATE deleted_keys SET hash = NULL, user_id = NULL, removed_at = NULL, removed_uptime = NULL \
                      WHERE id = $1";
        sqlx::query(forget).bind(&id).execute(&mut *connection).await?;
        hashes.extend(<[u8; 32]>::try_from(hash).map(KeyHash::from_bytes));
    }
    Ok(hashes)
}

/// Events that were deleted.
#[derive(Default)]
struct RemovedEvents {
    count: u64,
    /// Whether there are more to delete at once.
    has_more: bool,
}

/// The events with a lower number than `before` are to be deleted.
#[derive(Clone, Copy)]
struct End {
    before: i64,
    /// Perhaps later ones, too.
    has_more: bool,
}

/// Deletes some of the oldest events: what remains is a log that goes on from there, and an event says from where. That itself is an event, so
/// it does not happen for each one.
async fn delete_events(
    connection: &mut Connection,
    now: i64,
    uptime: i64,
    retention: Retention,
    replica: &str,
) -> Result<RemovedEvents, Error> {
    let old = match retention.events {
        Some(kept) => end_of_old(connection, now, uptime, kept, retention.goes_on).await?,
        None => None,
    };
    let surplus = match retention.event_bytes {
        Some(most) => end_of_surplus(connection, most, retention.goes_on).await?,
        None => None,
    };
    let Some(before) = old.into_iter().chain(surplus).map(|end| end.before).max() else {
        return Ok(RemovedEvents::default());
    };
    let count = super::events::remove_before(connection, before, uptime, now, replica).await?;
    Ok(RemovedEvents { count, has_more: count > 0 && old.into_iter().chain(surplus).any(|end| end.has_more) })
}

/// Of the oldest events, those before the first that is to be kept: once in a day, unless there is much to remove.
async fn end_of_old(
    connection: &mut Connection,
    now: i64,
    uptime: i64,
    kept: i64,
    goes_on: bool,
) -> Result<Option<End>, Error> {
    let (removed_before, is_whole_page, first_kept, last): (bool, bool, Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM audit_logs WHERE removed_uptime > $2 - $6), count(*) = $1, \
         min(CASE WHEN uptime <= $2 - $5 AND (last <= $3 OR last > $4) THEN NULL ELSE id END), max(id) FROM \
         (SELECT id, uptime, coalesce(last_at, at) AS last FROM events ORDER BY id LIMIT $1) AS old",
    )
    .bind(MOST)
    .bind(uptime)
    .bind(now - kept)
    .bind(now)
    .bind(kept)
    .bind(DAY)
    .fetch_one(connection)
    .await?;
    let has_more = is_whole_page && first_kept.is_none();
    let before = first_kept.or(last.map(|last| last + 1));
    Ok(before.filter(|_| has_more || goes_on || !removed_before).map(|before| End { before, has_more }))
}

/// Of a log that is too large, the oldest events, until it is a tenth smaller than it may be: it grows again at once.
async fn end_of_surplus(connection: &mut Connection, most: i64, goes_on: bool) -> Result<Option<End>, Error> {
    let (bytes, rest) = (super::audit_log::bytes(connection).await?, most - most / 10);
    if bytes <= if goes_on { rest } else { most } {
        return Ok(None);
    }
    let oldest = "SELECT id, CAST(coalesce(octet_length(record), 0) AS BIGINT) FROM events ORDER BY id LIMIT $1";
    let oldest: Vec<(i64, i64)> = sqlx::query_as(oldest).bind(MOST).fetch_all(connection).await?;
    let mut surplus = bytes - rest;
    let mut end = None;
    for (id, bytes) in oldest {
        if surplus <= 0 {
            break;
        }
        surplus -= bytes;
        end = Some(id + 1);
    }
    Ok(end.map(|before| End { before, has_more: surplus > 0 }))
}
