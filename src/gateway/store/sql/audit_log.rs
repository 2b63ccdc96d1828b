//! The statements for the trees of the event log: each event is a leaf of the last one.
//!
//! They run in the transaction that records the event. No other one records any until it ends: SQLite has one writer, and on PostgreSQL
//! the transaction has locked the change log in a statement before these, so they read what the one before has committed.

use std::ops::Range;

use sqlx::{Database, Row as _};

use super::Connection;
use crate::gateway::store::{AuditColumns, AuditLog, AuditRow, EventCounts, LogState, StoredCheckpoint};
use crate::transparency_log::{Frontier, Hash, StoredHashes, Subtree, cover, root_of_complete};

/// The last leaf that a log can have.
const LAST_LEAF: Subtree = Subtree { level: 0, index: (1 << INDEX_BITS) - 1 };
/// Bits of a place that say which subtree of its level it is, and which level.
const INDEX_BITS: u32 = 48;
const LEVEL_BITS: u32 = 3;
/// Levels whose hashes are stored are so far apart.
const STEP: u8 = 8;

/// The tree that grows.
pub struct Log {
    /// The number of the log.
    pub number: i64,
    /// Its origin.
    pub origin: String,
    /// Its leaves.
    pub tree: Frontier,
    /// Whether a version before this one has written events that are in no tree yet, or the event that tells of them is missing.
    pub misses_events: bool,
    /// While they are taken in: the index of the first.
    pub importing_from: Option<i64>,
    /// How many bytes the lines have that were added since it was saved.
    added: usize,
}

/// The log that grows.
pub async fn current(connection: &mut Connection) -> Result<Log, sqlx::Error> {
    type Row = (i64, String, i64, Vec<u8>, Option<i64>, bool);
    let (number, origin, size, frontier, importing_from, misses_events): Row = sqlx::query_as(
        "SELECT number, origin, size, frontier, importing_from, EXISTS (SELECT 1 FROM events WHERE log IS NULL) \
         FROM audit_logs ORDER BY number DESC LIMIT 1",
    )
    .fetch_one(connection)
    .await?;
    let tree = Frontier::from_bytes(&frontier).filter(|tree| i64::try_from(tree.size()) == Ok(size));
    let tree = tree.ok_or_else(|| damaged(format!("the tree of the log {origin} cannot be read")))?;
    let misses_events = misses_events || importing_from.is_some();
    Ok(Log { number, origin, tree, misses_events, importing_from, added: 0 })
}

/// Begins another log, without records.
pub async fn begin(connection: &mut Connection) -> Result<Log, sqlx::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let origin = format!("ollama-auth-gateway/{:016x}", u64::from_be_bytes(random));
    let tree = Frontier::new();
    let statement = "INSERT INTO audit_logs (number, origin, size, frontier) \
                     SELECT max(number) + 1, $1, 0, $2 FROM audit_logs RETURNING number";
    let number = sqlx::query_scalar(statement).bind(&origin).bind(tree.to_bytes()).fetch_one(connection).await?;
    Ok(Log { number, origin, tree, misses_events: false, importing_from: None, added: 0 })
}

impl Log {
    /// Adds a leaf, and returns its index. [`save`](Self::save) is to follow.
    pub async fn append(&mut self, connection: &mut Connection, line: &str) -> Result<i64, sqlx::Error> {
        let index = self.tree.size();
        self.added += line.len();
        let mut stored = Vec::new();
        self.tree.append_and_store(Hash::of_record(line.as_bytes()), |subtree, hash| stored.push((subtree, hash)));
        for (subtree, hash) in stored {
            let place = place(self.number, subtree).ok_or_else(|| damaged("the log is full".to_owned()))?;
            let query = sqlx::query("INSERT INTO audit_hashes (place, hash) VALUES ($1, $2)").bind(place);
            query.bind(hash.as_bytes().to_vec()).execute(&mut *connection).await?;
        }
        i64::try_from(index).map_err(|_| damaged("the log is full".to_owned()))
    }

    /// Stores what the tree is now.
    pub async fn save(&mut self, connection: &mut Connection) -> Result<(), sqlx::Error> {
        let statement = "UPDATE audit_logs SET size = $1, frontier = $2, bytes = bytes + $3, importing_from = $5 \
                         WHERE number = $4";
        sqlx::query(statement)
            .bind(i64::try_from(self.tree.size()).unwrap_or(i64::MAX))
            .bind(self.tree.to_bytes())
            .bind(i64::try_from(std::mem::take(&mut self.added)).unwrap_or(i64::MAX))
            .bind(self.number)
            .bind(self.importing_from)
            .execute(connection)
            .await
            .map(drop)
    }
}

/// What the tree of a log was when it had that size.
pub async fn frontier_at(connection: &mut Connection, log: i64, size: u64) -> Result<Frontier, sqlx::Error> {
    let mut hashes = Vec::new();
    for subtree in cover(0..size) {
        hashes.push(hash_of(connection, log, subtree).await?);
    }
    Frontier::from_hashes(size, hashes).ok_or_else(|| damaged(format!("the log {log} has no size {size}")))
}

/// The hash of a subtree whose leaves are all there, from those that are stored.
pub async fn hash_of(connection: &mut Connection, log: i64, subtree: Subtree) -> Result<Hash, sqlx::Error> {
    let missing = || damaged(format!("hashes of the log {log} are missing"));
    let StoredHashes { level, indexes } = subtree.stored_hashes();
    let first = place(log, Subtree { level, index: indexes.start }).ok_or_else(missing)?;
    let count = indexes.end - indexes.start;
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM audit_hashes WHERE place >= $1 AND place < $2 ORDER BY place")
            .bind(first)
            .bind(first.saturating_add_unsigned(count))
            .fetch_all(connection)
            .await?;
    let hashes: Option<Vec<Hash>> = stored.iter().map(|hash| Hash::from_slice(hash)).collect();
    hashes
        .filter(|hashes| hashes.len() as u64 == count)
        .and_then(|hashes| root_of_complete(&hashes))
        .ok_or_else(missing)
}

/// Removes the hashes of leaves that are not needed any more, once the events before that index of a log are removed. Those of larger
/// subtrees stay.
pub async fn remove_before(connection: &mut Connection, log: i64, index: u64) -> Result<(), sqlx::Error> {
    // Those of the subtree of 256 that the first one is in.
    let whole = Subtree { level: 0, index: index >> STEP << STEP };
    for (log, end) in (0..log).map(|earlier| (earlier, LAST_LEAF)).chain([(log, whole)]) {
        let (Some(first), Some(end)) = (place(log, Subtree { level: 0, index: 0 }), place(log, end)) else { continue };
        let query = sqlx::query("DELETE FROM audit_hashes WHERE place >= $1 AND place < $2").bind(first).bind(end);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// How many bytes the lines of all logs have together.
pub async fn bytes(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    let statement = "SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM audit_logs";
    sqlx::query_scalar(statement).fetch_one(connection).await
}

/// Takes the lines of the events with a lower number than that from the bytes of their logs.
pub async fn subtract_before(connection: &mut Connection, end: i64) -> Result<(), sqlx::Error> {
    let statement = "SELECT log, CAST(coalesce(sum(octet_length(record)), 0) AS BIGINT) FROM events \
                     WHERE id < $1 AND log IS NOT NULL GROUP BY log";
    let removed: Vec<(i64, i64)> = sqlx::query_as(statement).bind(end).fetch_all(&mut *connection).await?;
    for (log, bytes) in removed {
        let statement =
            "UPDATE audit_logs SET bytes = CASE WHEN bytes > $1 THEN bytes - $1 ELSE 0 END WHERE number = $2";
        sqlx::query(statement).bind(bytes).bind(log).execute(&mut *connection).await?;
    }
    Ok(())
}

/// All logs, the oldest first.
pub async fn logs(connection: &mut Connection) -> Result<Vec<AuditLog>, sqlx::Error> {
    let rows: Vec<(i64, String, i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, origin, size, frontier FROM audit_logs ORDER BY number")
            .fetch_all(connection)
            .await?;
    let log = |(number, origin, size, frontier): (i64, String, i64, Vec<u8>)| AuditLog {
        number,
        origin,
        size,
        tree: Frontier::from_bytes(&frontier),
    };
    Ok(rows.into_iter().map(log).collect())
}

/// The first rows of a log from that index, in its order.
pub async fn rows(connection: &mut Connection, log: i64, from: i64, limit: i64) -> Result<Vec<AuditRow>, sqlx::Error> {
    let first =
        place(log, Subtree { level: 0, index: 0 }).ok_or_else(|| damaged("no log has that number".to_owned()))?;
    let rows = sqlx::query(
        "SELECT id, log_index, record, at, last_at, count, actor, action, subject, address, account, account_id, code, \
         request, hash FROM events LEFT JOIN audit_hashes ON place = $5 + log_index \
         WHERE log = $1 AND log_index >= $2 AND log_index < $4 ORDER BY log_index, id LIMIT $3",
    )
    .bind(log)
    .bind(from)
    .bind(limit)
    .bind(1_i64 << INDEX_BITS)
    .bind(first)
    .fetch_all(connection)
    .await?;
    rows.iter().map(audit_row).collect()
}

fn audit_row(row: &<<Connection as sqlx::Connection>::Database as Database>::Row) -> Result<AuditRow, sqlx::Error> {
    Ok(AuditRow {
        id: row.try_get(0)?,
        index: row.try_get(1)?,
        line: row.try_get(2)?,
        hash: row.try_get::<Option<&[u8]>, _>(14)?.and_then(Hash::from_slice),
        columns: AuditColumns {
            at: row.try_get(3)?,
            last_at: row.try_get(4)?,
            count: row.try_get(5)?,
            actor: row.try_get(6)?,
            action: row.try_get(7)?,
            subject: row.try_get(8)?,
            address: row.try_get(9)?,
            account: row.try_get(10)?,
            account_id: row.try_get(11)?,
            code: row.try_get(12)?,
            request: row.try_get(13)?,
        },
    })
}

/// The stored hashes of subtrees of a level, by their index. What cannot be a hash is left out.
pub async fn hashes(
    connection: &mut Connection,
    log: i64,
    level: u8,
    indexes: Range<u64>,
) -> Result<Vec<(u64, Hash)>, sqlx::Error> {
    let at = |index| place(log, Subtree { level, index }).ok_or_else(|| damaged("no log is so large".to_owned()));
    let (first, end) = (at(indexes.start)?, at(indexes.end)?);
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT place, hash FROM audit_hashes WHERE place >= $1 AND place < $2 ORDER BY place")
            .bind(first)
            .bind(end)
            .fetch_all(connection)
            .await?;
    let index = |place: i64| indexes.start.wrapping_add_signed(place - first);
    Ok(rows.iter().filter_map(|(place, hash)| Some((index(*place), Hash::from_slice(hash)?))).collect())
}

/// The last checkpoints, the latest first.
pub async fn checkpoints(connection: &mut Connection, limit: i64) -> Result<Vec<StoredCheckpoint>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, String)> =
        sqlx::query_as("SELECT log, size, made_at, note FROM audit_checkpoints ORDER BY number DESC LIMIT $1")
            .bind(limit)
            .fetch_all(connection)
            .await?;
    let checkpoint = |(log, size, made_at, note)| StoredCheckpoint { log, size, made_at, note };
    Ok(rows.into_iter().map(checkpoint).collect())
}

/// The log that grows, with its roots at these sizes.
pub async fn state(connection: &mut Connection, sizes: &[u64]) -> Result<LogState, sqlx::Error> {
    let Log { number, origin, tree, .. } = current(connection).await?;
    let mut roots = Vec::new();
    for size in sizes {
        roots.push(match *size <= tree.size() {
            true => frontier_at(connection, number, *size).await.ok().map(|tree| tree.root()),
            false => None,
        });
    }
    let last = checkpoints(connection, 1).await?.into_iter().find(|last| last.log == number);
    let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    Ok(LogState { log: AuditLog { number, origin, size, tree: Some(tree) }, last, roots })
}

/// Stores a checkpoint.
pub async fn add_checkpoint(connection: &mut Connection, checkpoint: &StoredCheckpoint) -> Result<(), sqlx::Error> {
    let statement = "INSERT INTO audit_checkpoints (number, log, size, made_at, note) \
                     SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4 FROM audit_checkpoints";
    let query = sqlx::query(statement).bind(checkpoint.log).bind(checkpoint.size).bind(checkpoint.made_at);
    query.bind(&checkpoint.note).execute(connection).await.map(drop)
}

/// How many events there are, and how many of them in no log.
pub async fn counts(connection: &mut Connection) -> Result<EventCounts, sqlx::Error> {
    let (all, outside) = sqlx::query_as("SELECT count(*), count(CASE WHEN log IS NULL THEN 1 END) FROM events")
        .fetch_one(connection)
        .await?;
    Ok(EventCounts { all, outside })
}

/// The lines that tell of removals, the latest first. One that is in no log proves nothing: an attacker can have written it.
pub async fn removals(connection: &mut Connection) -> Result<Vec<String>, sqlx::Error> {
    let statement = "SELECT record FROM events WHERE action = 'audit.removed' AND record IS NOT NULL AND log IS NOT NULL ORDER BY id DESC LIMIT 100";
    sqlx::query_scalar(statement).fetch_all(connection).await
}

/// Where the hash of a subtree is stored; `None` beyond some 280 trillion leaves or 4,096 logs.
pub fn place(log: i64, subtree: Subtree) -> Option<i64> {
    let (level, index) = (i64::from(subtree.level / STEP), i64::try_from(subtree.index).ok()?);
    let fits = (0..1 << 12).contains(&log) && level < 1 << LEVEL_BITS && index < 1 << INDEX_BITS;
    (fits && subtree.level.is_multiple_of(STEP))
        .then_some((log << (LEVEL_BITS + INDEX_BITS)) | (level << INDEX_BITS) | index)
}

fn damaged(reason: String) -> sqlx::Error {
    sqlx::Error::Decode(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subtree_has_a_place_of_its_own() {
        let at = |log, level, index| place(log, Subtree { level, index });
        let places = [at(1, 0, 0), at(1, 0, 1), at(1, 8, 0), at(1, 56, 5), at(2, 0, 0), at(4095, 56, (1 << 48) - 1)];
        for (number, one) in places.iter().enumerate() {
            assert!(one.is_some_and(|place| place > 0) && !places[..number].contains(one), "{number}");
        }
        assert_eq!([at(4096, 0, 0), at(-1, 0, 0), at(1, 4, 0), at(1, 64, 0), at(1, 0, 1 << 48)], [None; 5]);
    }
}
