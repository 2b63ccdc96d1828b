//! Verifies all logs of a database.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::finding::Finding;
use super::known_tree::KnownTree;
use super::log_check::LogCheck;
use crate::gateway::store::{AuditLog, AuditReader, EventCounts, StoreError};
use crate::transparency_log::{Frontier, Hash, Subtree};

/// Records that are read at a time.
const PAGE: i64 = 2000;
/// The levels of subtrees whose hashes are stored.
const LEVELS: [u8; 5] = [8, 16, 24, 32, 40];

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Each log, the oldest first.
    pub logs: Vec<LogReport>,
    /// Events of a version before this one, which no tree has yet.
    pub outside: i64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What a log is.
#[derive(Debug, Serialize)]
pub struct LogReport {
    /// Its origin.
    pub origin: String,
    /// The first record that was not removed.
    pub first: u64,
    /// How many records it had in all.
    pub size: u64,
    /// The root of its tree; null if a record is missing.
    pub root: Option<String>,
    /// So many records are proven by a tree that is known from elsewhere.
    pub proven_until: Option<u64>,
}

/// Reads everything, and compares it with trees that are known from elsewhere.
///
/// # Errors
/// [`StoreError`].
pub async fn verify(reader: &mut dyn AuditReader, known: &[KnownTree]) -> Result<Verification, StoreError> {
    let EventCounts { all, outside } = reader.counts().await?;
    let mut found = Verification { logs: Vec::new(), outside, findings: Vec::new() };
    let mut stray = all - outside;
    let removals: Vec<Removal> = reader.removals().await?.iter().filter_map(|line| Removal::read(line)).collect();
    for log in reader.logs().await? {
        let (report, findings, rows) = one(reader, &log, &removals, known).await?;
        found.logs.push(report);
        found.findings.extend(findings);
        stray -= rows;
    }
    if stray != 0 {
        found.findings.push(Finding::Stray { count: stray });
    }
    Ok(found)
}

async fn one(
    reader: &mut dyn AuditReader,
    log: &AuditLog,
    removals: &[Removal],
    known: &[KnownTree],
) -> Result<(LogReport, Vec<Finding>, i64), StoreError> {
    let mut rows = reader.rows(log.number, 0, PAGE).await?;
    let first = rows.first().map_or(0, |row| u64::try_from(row.index).unwrap_or_default());
    let before = match first {
        0 => Some(Frontier::new()),
        _ => {
            removals.iter().find(|removal| removal.log == log.number && removal.first == first).and_then(Removal::tree)
        }
    };
    // A later log is all that was kept.
    if rows.is_empty() && removals.iter().any(|removal| removal.log > log.number) {
        let size = u64::try_from(log.size).unwrap_or_default();
        let report = LogReport { origin: log.origin.clone(), first: size, size, root: None, proven_until: None };
        return Ok((report, Vec::new(), 0));
    }
    let mut check = LogCheck::new(log, first, before, known);
    while let Some(last) = rows.last() {
        let end = u64::try_from(last.index).unwrap_or_default() + 1;
        let stored: BTreeMap<u64, Hash> = reader.hashes(log.number, 0, check.next()..end).await?.into_iter().collect();
        check.take(&rows, &stored);
        rows = reader.rows(log.number, i64::try_from(end).unwrap_or(i64::MAX), PAGE).await?;
    }
    for level in LEVELS {
        let wanted: BTreeMap<u64, Hash> = check.subtrees_of(level).collect();
        let (Some(first), Some(last)) = (wanted.keys().next(), wanted.keys().next_back()) else { continue };
        let stored: BTreeMap<u64, Hash> =
            reader.hashes(log.number, level, *first..*last + 1).await?.into_iter().collect();
        for (index, _) in wanted.iter().filter(|(index, hash)| stored.get(index) != Some(hash)) {
            check.wrong_subtree(Subtree { level, index: *index });
        }
    }
    let size = check.next();
    let checked = check.finish();
    let root = checked.tree.map(|tree| tree.root().to_string());
    let report = LogReport { origin: log.origin.clone(), first, size, root, proven_until: checked.proven };
    Ok((report, checked.findings, checked.rows))
}

/// A record that says which records were removed.
struct Removal {
    log: i64,
    first: u64,
    hashes: Vec<String>,
}

impl Removal {
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let details = line.get("details")?;
        let hashes = details.get("hashes")?.as_array()?.iter().map(|hash| hash.as_str().map(str::to_owned));
        Some(Self {
            log: details.get("log")?.as_i64()?,
            first: details.get("first_kept")?.as_u64()?,
            hashes: hashes.collect::<Option<_>>()?,
        })
    }

    /// What the tree was where the rest begins.
    fn tree(&self) -> Option<Frontier> {
        let hashes: Option<Vec<Hash>> = self.hashes.iter().map(|hash| Hash::from_base64(hash)).collect();
        Frontier::from_hashes(self.first, hashes?)
    }
}
