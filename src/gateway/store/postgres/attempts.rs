//! Attempts that all gateways count together. Of each limit the table has the time at which it is full again: each attempt moves that on by
//! the period (the generic cell rate algorithm). Times are the database's.

use std::time::Duration;

use sqlx::Error;

use super::Connection;
use crate::gateway::store::AttemptLimit;

/// Of [`trust`].
const TRUSTED: &str = "30 days";

/// Counts one by each limit, in a transaction of the caller's, and returns how long to wait if it exceeds one.
pub(super) async fn count(connection: &mut Connection, limits: &[AttemptLimit]) -> Result<Option<Duration>, Error> {
    // If the server crashes, the last counts may be lost: that is acceptable.
    sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *connection).await?;
    for limit in limits {
        let wait = count_by(connection, limit).await?;
        if wait.is_some() {
            return Ok(wait);
        }
    }
    Ok(None)
}

async fn count_by(connection: &mut Connection, limit: &AttemptLimit) -> Result<Option<Duration>, Error> {
    let (period, digest) = (limit.period.as_secs_f64(), limit.digest.as_slice());
    let room = period * f64::from(limit.burst.saturating_sub(1));
    if let Some(trusted) = &limit.unless {
        let statement =
            "SELECT EXISTS (SELECT 1 FROM sign_in_attempts WHERE digest = $1 AND until > clock_timestamp())";
        if sqlx::query_scalar(statement).bind(trusted.as_slice()).fetch_one(&mut *connection).await? {
            return Ok(None);
        }
    }
    let counted = sqlx::query(
        "INSERT INTO sign_in_attempts AS kept (digest, until) \
         VALUES ($1, clock_timestamp() + make_interval(secs => $2)) \
         ON CONFLICT (digest) DO UPDATE \
         SET until = greatest(kept.until, clock_timestamp()) + make_interval(secs => $2) \
         WHERE kept.until <= clock_timestamp() + make_interval(secs => $3)",
    )
    .bind(digest)
    .bind(period)
    .bind(room)
    .execute(&mut *connection)
    .await?;
    if counted.rows_affected() > 0 {
        return Ok(None);
    }
    let wait: Option<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM until - clock_timestamp())::float8 - $2 FROM sign_in_attempts WHERE digest = $1",
    )
    .bind(digest)
    .bind(room)
    .fetch_optional(connection)
    .await?;
    Ok(Some(Duration::from_secs_f64(wait.unwrap_or_default().max(0.0))))
}

/// Trusts a digest from now on.
pub(super) async fn trust(connection: &mut Connection, digest: &[u8; 32]) -> Result<(), Error> {
    let statement = "INSERT INTO sign_in_attempts (digest, until) VALUES ($1, clock_timestamp() + $2::interval) \
                     ON CONFLICT (digest) DO UPDATE SET until = excluded.until";
    sqlx::query(statement).bind(digest.as_slice()).bind(TRUSTED).execute(connection).await.map(drop)
}

/// Deletes what counts no more.
pub(super) async fn sweep(connection: &mut Connection) -> Result<(), Error> {
    let statement = "DELETE FROM sign_in_attempts WHERE until <= clock_timestamp()";
    sqlx::query(statement).execute(connection).await.map(drop)
}
