//! The checkpoints that are stored in the database. An attacker who can write it can remove and replace them, so they prove nothing. They are
//! compared with the records, and with checkpoints that are kept elsewhere.

use std::collections::HashMap;

use super::finding::Finding;
use super::known_tree::KnownTree;
use crate::gateway::store::{AuditLog, StoredCheckpoint};
use crate::transparency_log::{SignedCheckpoint, TreeHead};

/// Checkpoints that are looked at, the latest ones.
pub const MOST: i64 = 10_000;
/// How a line of a signed note begins that is a signature.
const SIGNATURE: &str = "\u{2014} ";

/// The trees that the stored checkpoints of a log name. One that cannot be read, or is of another log, is a finding.
pub fn stored_trees(log: &AuditLog, stored: &[StoredCheckpoint]) -> (Vec<TreeHead>, Vec<Finding>) {
    let (mut trees, mut findings) = (Vec::new(), Vec::new());
    for checkpoint in stored.iter().filter(|checkpoint| checkpoint.log == log.number) {
        let tree = SignedCheckpoint::parse(checkpoint.note.as_bytes()).ok().and_then(|signed| {
            let named = signed.unverified();
            let is_its = named.origin() == log.origin && i64::try_from(named.tree().size) == Ok(checkpoint.size);
            is_its.then(|| named.tree())
        });
        match tree {
            Some(tree) => trees.push(tree),
            None => {
                let size = u64::try_from(checkpoint.size).unwrap_or_default();
                findings.push(Finding::Checkpoint { log: log.origin.clone(), first: 0, size });
            }
        }
    }
    (trees, findings)
}

/// Checkpoints kept elsewhere that are not stored as they were signed. One that names all records may be younger than the database, which
/// may be a backup. The earliest that are stored may have been left out of [`MOST`].
pub fn missing(log: &AuditLog, size: u64, stored: &[StoredCheckpoint], known: &[KnownTree]) -> Vec<Finding> {
    let mut by_size: HashMap<i64, Vec<&str>> = HashMap::new();
    for checkpoint in stored.iter().filter(|checkpoint| checkpoint.log == log.number) {
        by_size.entry(checkpoint.size).or_default().push(&checkpoint.note);
    }
    let is_whole = i64::try_from(stored.len()).is_ok_and(|count| count < MOST);
    let earliest = if is_whole { 0 } else { by_size.keys().min().copied().unwrap_or_default() };
    let is_due = |known: &&KnownTree| {
        known.origin == log.origin && known.size < size && i64::try_from(known.size).is_ok_and(|size| size >= earliest)
    };
    let is_stored = |known: &KnownTree| {
        let Some(kept) = &known.note else { return true };
        let notes = i64::try_from(known.size).ok().and_then(|size| by_size.get(&size));
        notes.is_some_and(|notes| notes.iter().any(|note| is_same(note, kept)))
    };
    let missing = known.iter().filter(is_due).filter(|known| !is_stored(known));
    missing.map(|known| Finding::CheckpointMissing { log: log.origin.clone(), size: known.size }).collect()
}

/// Whether two notes have the same text and a signature in common: a copy may have got more of them.
fn is_same(stored: &str, known: &str) -> bool {
    let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
    let signatures = |note: &str| -> Vec<String> {
        note.lines().filter(|line| line.starts_with(SIGNATURE)).map(str::to_owned).collect()
    };
    let of_known = signatures(known);
    text(stored) == text(known) && signatures(stored).iter().any(|signature| of_known.contains(signature))
}
