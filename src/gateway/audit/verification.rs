//! Verifies all logs of a database.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::Finding;
use super::known_tree::KnownTree;
use super::log_check::{LogCheck, MOST_FINDINGS};
use super::log_link::LogLink;
use super::report::{LogReport, Verification};
use super::stored_checkpoints::{self, MOST, stored_trees};
use super::times::Times;
use crate::gateway::store::{AuditLog, AuditReader, AuditRow, EventCounts, StoreError, StoredCheckpoint};
use crate::transparency_log::{Frontier, Hash, Subtree};

/// Records that are read at a time.
const PAGE: i64 = 2000;
/// The levels of subtrees whose hashes are stored.
const LEVELS: [u8; 5] = [8, 16, 24, 32, 40];

/// Reads everything, and compares it with trees that are known from elsewhere.
///
/// # Errors
/// [`StoreError`].
pub async fn verify(reader: &mut dyn AuditReader, known: &[KnownTree]) -> Result<Verification, StoreError> {
    let EventCounts { all, outside } = reader.counts().await?;
    let mut found = Verification { logs: Vec::new(), outside, findings: Vec::new() };
    let mut stray = all - outside;
    let removals: Vec<Removal> = reader.removals().await?.iter().filter_map(|line| Removal::read(line)).collect();
    let checkpoints = reader.checkpoints(MOST).await?;
    let (noted, mut times) = (reader.times().await?, Times::default());
    for log in reader.logs().await? {
        let first = reader.rows(log.number, 0, 1).await?.pop().filter(|row| row.index == 0);
        let link = first.and_then(|row| LogLink::read(row.line.as_deref()?));
        found.findings.extend(link.and_then(|link| link.check(found.logs.last())));
        let (report, findings, rows, of_log) = one(reader, &log, &removals, known, &checkpoints).await?;
        found.logs.push(report);
        found.findings.extend(findings);
        stray -= rows;
        times.extend(of_log);
    }
    found.findings.extend(times.hidden(&noted).into_iter().take(MOST_FINDINGS));
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
    checkpoints: &[StoredCheckpoint],
) -> Result<(LogReport, Vec<Finding>, i64, Times), StoreError> {
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
        return Ok((report, Vec::new(), 0, Times::default()));
    }
    let (trees, mut findings) = stored_trees(log, checkpoints);
    let mut check = LogCheck::new(log, first, before, known).with_stored(trees);
    let mut hashes = hashes_of(reader, log, check.next(), &rows).await?;
    while let Some(last) = rows.last() {
        let end = u64::try_from(last.index).unwrap_or_default() + 1;
        // While these are looked at, the next ones are read.
        let taken = tokio::task::spawn_blocking(move || {
            check.take(&rows, &hashes);
            check
        });
        let next = async {
            let rows = reader.rows(log.number, i64::try_from(end).unwrap_or(i64::MAX), PAGE).await?;
            let hashes = hashes_of(reader, log, end, &rows).await?;
            Ok::<_, StoreError>((rows, hashes))
        };
        let (taken, next) = tokio::join!(taken, next);
        check = taken.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        (rows, hashes) = next?;
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
    findings.extend(stored_checkpoints::missing(log, size, checkpoints, known));
    let checked = check.finish();
    findings.splice(0..0, checked.findings);
    let root = checked.tree.map(|tree| tree.root().to_string());
    let report = LogReport { origin: log.origin.clone(), first, size, root, proven_until: checked.proven };
    Ok((report, findings, checked.rows, checked.times))
}

/// The hashes that are stored for these records and for those that are missing before or between them, from the index `next` on.
async fn hashes_of(
    reader: &mut dyn AuditReader,
    log: &AuditLog,
    next: u64,
    rows: &[AuditRow],
) -> Result<Vec<(u64, Hash)>, StoreError> {
    // Without a gap, they were read with the records.
    if (next..).zip(rows).all(|(index, row)| u64::try_from(row.index) == Ok(index)) {
        return Ok((next..).zip(rows).filter_map(|(index, row)| Some((index, row.hash?))).collect());
    }
    let Some(last) = rows.last() else { return Ok(Vec::new()) };
    reader.hashes(log.number, 0, next..u64::try_from(last.index).unwrap_or_default() + 1).await
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
