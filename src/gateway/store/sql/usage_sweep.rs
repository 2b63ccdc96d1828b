//! Deletes usage that was kept long enough, the oldest first, by the clock and by the time that gateways have run since, as all of a sweep.

use std::ops::Range;

use sqlx::{Error, QueryBuilder};

use super::Connection;
use super::budgets::LONGEST_WINDOW;
use crate::gateway::store::Retention;
use crate::gateway::store::usage_spans::{last_spans, past_spans, places, stored_day};

type Engine = <Connection as sqlx::Connection>::Database;

/// Rows of a table that are deleted at a time.
const MOST: i64 = 1000;
/// In seconds.
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// A batch of which it is not known whether it was written is tried again for less than that, in seconds.
const BATCHES_KEPT: i64 = 30 * DAY;
/// How long totals of budgets are kept after the end of their window, in seconds.
const BUDGETS_KEPT: i64 = DAY;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweptUsage {
    /// Rows.
    pub count: u64,
    /// Whether there are more to delete at once.
    pub has_more: bool,
}

impl SweptUsage {
    fn add(&mut self, deleted: u64) {
        self.count += deleted;
        self.has_more |= deleted == MOST.unsigned_abs();
    }
}

/// In a transaction of the caller's. `now` in Unix seconds; `uptime` after `ran` was added to it.
pub async fn sweep(
    connection: &mut Connection,
    now: i64,
    uptime: i64,
    ran: i64,
    retention: Retention,
) -> Result<SweptUsage, Error> {
    let mut swept = SweptUsage::default();
    if let Some(kept) = retention.usage_records {
        swept.add(delete_records(connection, now, uptime, kept).await?);
    }
    if let Some(kept) = retention.usage_hours {
        let old = 0..(now - kept).div_euclid(HOUR);
        // Perhaps another gateway's clock is ahead a little.
        let future = (now + DAY).div_euclid(HOUR)..i64::MAX;
        for hours in [old, future] {
            swept.add(delete_totals(connection, "usage_hours", &hours, uptime - kept).await?);
        }
    }
    if let Some(kept) = retention.usage_days {
        // A date begins and ends up to half a day before or after that of UTC.
        let (end, future) = ((now - kept - DAY).div_euclid(DAY), (now + DAY).div_euclid(DAY) + 1);
        for days in [0..end, future..i64::MAX] {
            swept.add(delete_totals(connection, "usage_days", &days, uptime - kept).await?);
        }
        for spans in past_spans(stored_day(end)).chain(last_spans(stored_day(future))) {
            swept.add(delete_totals(connection, "usage_spans", &spans, uptime - kept).await?);
        }
    }
    // One that ends later than any window was written with a wrong clock: then the time that gateways have run decides alone.
    for ended in [
        format!("ends_at <= {} ORDER BY ends_at", now.saturating_sub(BUDGETS_KEPT)),
        format!("ends_at > {} ORDER BY ends_at DESC", now.saturating_add(LONGEST_WINDOW)),
    ] {
        swept.add(delete_budgets(connection, &ended, uptime - BUDGETS_KEPT).await?);
    }
    // These are few, and have no index by time.
    if uptime.div_euclid(HOUR) != (uptime - ran).div_euclid(HOUR) {
        if let Some(kept) = retention.usage_days {
            delete_notes(connection, "last_uses", now, uptime, kept).await?;
        }
        delete_notes(connection, "usage_batches", now, uptime, BATCHES_KEPT).await?;
        // Of requests that ended after their account was removed.
        let orphans = "DELETE FROM last_uses WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = last_uses.account)";
        sqlx::query(orphans).execute(&mut *connection).await?;
    }
    Ok(swept)
}

/// A time that is still to come was taken from a wrong clock: then the time that gateways have run decides alone.
async fn delete_records(connection: &mut Connection, now: i64, uptime: i64, kept: i64) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "DELETE FROM usage_records WHERE id IN (SELECT id FROM \
         (SELECT id, ended_at, uptime FROM usage_records ORDER BY id LIMIT $1) AS old \
         WHERE uptime <= $2 AND (ended_at <= $3 OR ended_at > $4))",
    )
    .bind(MOST)
    .bind(uptime - kept)
    .bind(now - kept)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Of these periods, what nothing was added to since `uptime`.
async fn delete_totals(
    connection: &mut Connection,
    table: &str,
    periods: &Range<i64>,
    uptime: i64,
) -> Result<u64, Error> {
    let Range { start, end } = places(periods);
    let mut query = QueryBuilder::<Engine>::new("DELETE FROM ");
    query.push(format_args!(
        "{table} WHERE place IN (SELECT place FROM (SELECT place, uptime FROM {table} \
         WHERE place >= {start} AND place < {end} ORDER BY place LIMIT {MOST}) AS old WHERE uptime <= {uptime})"
    ));
    Ok(query.build().persistent(false).execute(connection).await?.rows_affected())
}

/// Of these windows of budgets, those that ended at `uptime` at the latest.
async fn delete_budgets(connection: &mut Connection, ended: &str, uptime: i64) -> Result<u64, Error> {
    let mut query = QueryBuilder::<Engine>::new("DELETE FROM budget_totals WHERE id IN (SELECT id FROM ");
    query.push(format_args!(
        "(SELECT id, uptime FROM budget_totals WHERE {ended} LIMIT {MOST}) AS old WHERE uptime <= {uptime})"
    ));
    Ok(query.build().persistent(false).execute(connection).await?.rows_affected())
}

async fn delete_notes(connection: &mut Connection, table: &str, now: i64, uptime: i64, kept: i64) -> Result<(), Error> {
    let mut query = QueryBuilder::<Engine>::new("DELETE FROM ");
    query.push(format_args!("{table} WHERE uptime <= {} AND (at <= {} OR at > {now})", uptime - kept, now - kept));
    query.build().persistent(false).execute(connection).await.map(drop)
}
