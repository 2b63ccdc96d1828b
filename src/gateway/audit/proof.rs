//! Proves that a record is in the log, and that the log extends what it was: as texts that can be checked without the database.

use thiserror::Error;

use crate::gateway::store::{AuditReader, StoreError, StoredCheckpoint};
use crate::transparency_log::{
    ConsistencyProof, Frontier, Hash, ProofPlan, SignedCheckpoint, StoredHashes, Subtree, TlogProof, cover,
    root_of_complete, verify_consistency, verify_inclusion,
};

/// Checkpoints that are looked through.
const CHECKPOINTS: i64 = 1000;

/// Why nothing can be proven.
#[derive(Debug, Error)]
pub enum ProveError {
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No checkpoint has it.
    #[error("no checkpoint of the log has the record {0} yet")]
    NoCheckpoint(u64),
    /// Hashes are missing, or do not lead to the checkpoint.
    #[error("the record, or stored hashes, are not what the checkpoint names: verify the log")]
    Hashes,
    /// The log was never so large when it was signed.
    #[error("the latest checkpoint of the log has {latest} records, not {from} or more")]
    Size {
        /// What was asked for.
        from: u64,
        /// The size of the latest checkpoint.
        latest: u64,
    },
    /// The record was removed, or is not there.
    #[error("there is no record {0}")]
    NoRecord(u64),
}

/// The record with that index of the log that grows, and the proof that it is in the tree of its latest checkpoint.
///
/// # Errors
/// [`ProveError`].
pub async fn prove_record(reader: &mut dyn AuditReader, index: u64) -> Result<(String, TlogProof), ProveError> {
    let log = reader.logs().await?.pop().ok_or(ProveError::Hashes)?;
    let at = i64::try_from(index).map_err(|_| ProveError::NoRecord(index))?;
    let record = reader.rows(log.number, at, 1).await?.pop().filter(|row| row.index == at);
    let record = record.and_then(|row| row.line).ok_or(ProveError::NoRecord(index))?;
    let has_it = |checkpoint: &StoredCheckpoint| checkpoint.log == log.number && checkpoint.size > at;
    let checkpoint = reader.checkpoints(CHECKPOINTS).await?.into_iter().find(has_it);
    let checkpoint = checkpoint.ok_or(ProveError::NoCheckpoint(index))?;
    let checkpoint = SignedCheckpoint::parse(checkpoint.note.as_bytes()).map_err(|_| ProveError::Hashes)?;
    let plan = ProofPlan::inclusion(index, checkpoint.unverified().tree().size).ok_or(ProveError::NoRecord(index))?;
    let hashes = hashes_of(reader, log.number, plan.subtrees()).await?;
    let hashes = plan.assemble(&hashes).ok_or(ProveError::Hashes)?;
    // The record or the hashes may have been changed: only a proof that verifies is printed.
    let leaf = Hash::of_record(record.as_bytes());
    verify_inclusion(leaf, index, checkpoint.unverified().tree(), &hashes).map_err(|_| ProveError::Hashes)?;
    Ok((record, TlogProof { extra: None, index, hashes, checkpoint }))
}

/// The proof that the latest checkpoint of the log that grows extends what the log was with so many records.
///
/// # Errors
/// [`ProveError`].
pub async fn prove_extension(reader: &mut dyn AuditReader, from: u64) -> Result<ConsistencyProof, ProveError> {
    let log = reader.logs().await?.pop().ok_or(ProveError::Hashes)?;
    let latest = reader.checkpoints(CHECKPOINTS).await?.into_iter().find(|checkpoint| checkpoint.log == log.number);
    let latest = latest.ok_or(ProveError::Size { from, latest: 0 })?;
    let checkpoint = SignedCheckpoint::parse(latest.note.as_bytes()).map_err(|_| ProveError::Hashes)?;
    let new = checkpoint.unverified().tree();
    let plan = ProofPlan::consistency(from, new.size).ok_or(ProveError::Size { from, latest: new.size })?;
    let hashes = hashes_of(reader, log.number, plan.subtrees()).await?;
    let hashes = plan.assemble(&hashes).ok_or(ProveError::Hashes)?;
    // What proves nothing is not printed.
    let old = hashes_of(reader, log.number, cover(0..from).into_iter()).await?;
    let old = Frontier::from_hashes(from, old).ok_or(ProveError::Hashes)?;
    verify_consistency(old.head(), new, &hashes).map_err(|_| ProveError::Hashes)?;
    Ok(ConsistencyProof { old_size: from, hashes, checkpoint })
}

/// The hashes of whole subtrees, from those that are stored.
async fn hashes_of(
    reader: &mut dyn AuditReader,
    log: i64,
    subtrees: impl Iterator<Item = Subtree>,
) -> Result<Vec<Hash>, ProveError> {
    let mut hashes = Vec::new();
    for subtree in subtrees {
        let StoredHashes { level, indexes } = subtree.stored_hashes();
        let stored: Vec<Hash> =
            reader.hashes(log, level, indexes.clone()).await?.into_iter().map(|(_, hash)| hash).collect();
        let is_whole = stored.len() as u64 == indexes.end - indexes.start;
        hashes.push(root_of_complete(&stored).filter(|_| is_whole).ok_or(ProveError::Hashes)?);
    }
    Ok(hashes)
}
