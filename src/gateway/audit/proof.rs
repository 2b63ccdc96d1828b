//! Proves that a record is in the log: its inclusion in the tree of a checkpoint, as a text that can be checked without the database.

use thiserror::Error;

use crate::gateway::store::{AuditReader, StoreError, StoredCheckpoint};
use crate::transparency_log::{
    Hash, ProofPlan, SignedCheckpoint, StoredHashes, TlogProof, root_of_complete, verify_inclusion,
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
    let mut hashes = Vec::new();
    for subtree in plan.subtrees() {
        let StoredHashes { level, indexes } = subtree.stored_hashes();
        let stored: Vec<Hash> =
            reader.hashes(log.number, level, indexes.clone()).await?.into_iter().map(|(_, hash)| hash).collect();
        let is_whole = stored.len() as u64 == indexes.end - indexes.start;
        hashes.push(root_of_complete(&stored).filter(|_| is_whole).ok_or(ProveError::Hashes)?);
    }
    let hashes = plan.assemble(&hashes).ok_or(ProveError::Hashes)?;
    // Somebody may have changed the record or the hashes: what proves nothing is not printed.
    let leaf = Hash::of_record(record.as_bytes());
    verify_inclusion(leaf, index, checkpoint.unverified().tree(), &hashes).map_err(|_| ProveError::Hashes)?;
    Ok((record, TlogProof { extra: None, index, hashes, checkpoint }))
}
