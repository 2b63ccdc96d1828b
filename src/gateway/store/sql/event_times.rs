//! Between which times the events of each block lie: for a page of some time, the other blocks are skipped.
//!
//! The clock can be set back, and a gateway beside can have another one, so the times of events are not in the order of their numbers. What is
//! noted only says where nothing can be; each event's own time is compared all the same.

use std::ops::Range;

use super::Connection;
use crate::gateway::store::{BlockTimes, TIME_BLOCK as BLOCK};

/// How many events are recorded between two times that blocks are noted.
pub const INTERVAL: u64 = 256;
/// Blocks that are noted at a time.
const MOST: i64 = 64;

/// Notes the next blocks that are complete. `last` is the number of the last event. The block before its own waits: a version before this one
/// may still count in it.
pub async fn note(connection: &mut Connection, last: i64) -> Result<(), sqlx::Error> {
    let first: Option<i64> = sqlx::query_scalar(
        "SELECT min(id) FROM events WHERE id >= (SELECT coalesce(max(block) + 1, 0) * $1 FROM event_times)",
    )
    .bind(BLOCK)
    .fetch_one(&mut *connection)
    .await?;
    let Some(first) = first.map(|first| first / BLOCK) else { return Ok(()) };
    let end = (last / BLOCK - 1).min(first + MOST);
    sqlx::query(
        "INSERT INTO event_times (block, first_at, last_at) SELECT id / $1, min(at), max(coalesce(last_at, at)) \
         FROM events WHERE id >= $2 AND id < $3 GROUP BY 1",
    )
    .bind(BLOCK)
    .bind(first * BLOCK)
    .bind(end * BLOCK)
    .execute(connection)
    .await
    .map(drop)
}

/// What is noted, by block.
pub async fn noted(connection: &mut Connection) -> Result<Vec<BlockTimes>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64)> =
        sqlx::query_as("SELECT block, first_at, last_at FROM event_times ORDER BY block").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(block, first_at, last_at)| BlockTimes { block, first_at, last_at }).collect())
}

/// Removes what was noted of blocks of which all events are removed, once those before that number are.
pub async fn remove_before(connection: &mut Connection, end: i64) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM event_times WHERE block < $1").bind(end / BLOCK);
    query.execute(connection).await.map(drop)
}

/// Numbers outside of which no event lies between these times, in their order.
pub async fn ranges(connection: &mut Connection, since: i64, until: i64) -> Result<Vec<Range<i64>>, sqlx::Error> {
    // What is not noted yet can be of any time.
    let noted: i64 =
        sqlx::query_scalar("SELECT coalesce(max(block) + 1, 0) FROM event_times").fetch_one(&mut *connection).await?;
    let (first, last, count): (Option<i64>, Option<i64>, i64) = sqlx::query_as(
        "SELECT min(block), max(block), count(*) FROM event_times WHERE last_at >= $1 AND first_at <= $2",
    )
    .bind(since)
    .bind(until)
    .fetch_one(&mut *connection)
    .await?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(joined([], noted)) };
    // Usually the clock went on evenly.
    if last - first + 1 == count {
        return Ok(joined([(first, last + 1)], noted));
    }
    let blocks: Vec<i64> =
        sqlx::query_scalar("SELECT block FROM event_times WHERE last_at >= $1 AND first_at <= $2 ORDER BY block")
            .bind(since)
            .bind(until)
            .fetch_all(connection)
            .await?;
    Ok(joined(blocks.into_iter().map(|block| (block, block + 1)), noted))
}

/// The numbers in these blocks, each from and to, and all from the block `noted` on.
fn joined(blocks: impl IntoIterator<Item = (i64, i64)>, noted: i64) -> Vec<Range<i64>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    let numbers = blocks.into_iter().map(|(first, end)| first.saturating_mul(BLOCK)..end.saturating_mul(BLOCK));
    for range in numbers.chain(std::iter::once(noted.saturating_mul(BLOCK)..i64::MAX)) {
        match ranges.last_mut() {
            Some(last) if last.end >= range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_beside_each_other_are_one_range() {
        let ends = |blocks: &[(i64, i64)], noted| -> Vec<(i64, i64)> {
            let ranges = joined(blocks.iter().copied(), noted).into_iter();
            ranges.map(|range| (range.start / BLOCK, range.end / BLOCK)).collect()
        };
        let last = i64::MAX / BLOCK;
        assert_eq!(ends(&[], 0), [(0, last)]);
        assert_eq!(ends(&[], 3), [(3, last)]);
        assert_eq!(ends(&[(0, 1), (1, 2), (2, 3)], 3), [(0, last)]);
        assert_eq!(ends(&[(0, 1), (1, 2), (4, 5)], 9), [(0, 2), (4, 5), (9, last)]);
        assert_eq!(ends(&[(2, 7)], 9), [(2, 7), (9, last)]);
    }
}
