//! The gateways that run: each says so every few seconds. Times are the database's.

use std::num::NonZeroU32;

use sqlx::Error;
use uuid::Uuid;

use super::Connection;

/// So long after it was seen last a gateway counts, in seconds: it has missed three signs then.
const COUNTS_SECONDS: f64 = 15.0;

/// Notes that one runs, and returns how many do.
pub(super) async fn count(connection: &mut Connection, id: Uuid) -> Result<NonZeroU32, Error> {
    let seen = "INSERT INTO gateways (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()";
    sqlx::query(seen).bind(id.to_string()).execute(&mut *connection).await?;
    // Those of the future are of a time when the clock was wrong.
    let running = "SELECT count(*) FROM gateways WHERE seen_at > clock_timestamp() - make_interval(secs => $1) \
                   AND seen_at <= clock_timestamp()";
    let count: i64 = sqlx::query_scalar(running).bind(COUNTS_SECONDS).fetch_one(connection).await?;
    Ok(u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN))
}

/// Notes that one runs no more.
pub(super) async fn leave(connection: &mut Connection, id: Uuid) -> Result<(), Error> {
    sqlx::query("DELETE FROM gateways WHERE id = $1").bind(id.to_string()).execute(connection).await.map(drop)
}

/// Deletes those that do not count any more.
pub(super) async fn sweep(connection: &mut Connection) -> Result<(), Error> {
    let old = "DELETE FROM gateways WHERE seen_at <= clock_timestamp() - make_interval(secs => $1)";
    sqlx::query(old).bind(COUNTS_SECONDS).execute(connection).await.map(drop)
}
