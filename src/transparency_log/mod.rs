//! A log that an outsider can verify: a Merkle tree over records, signed checkpoints, and proofs. Pure: no I/O, no clock, no database.
//!
//! The tree is that of RFC 6962 over SHA-256. A record is any bytes; it is never changed, and only appended. A [`Checkpoint`] names the
//! size and root of the tree, and is signed. Whoever has one can be shown that a record is in the log ([`TlogProof`]), and that a later
//! checkpoint is of the same log ([`ConsistencyProof`]).
//!
//! The texts are those of C2SP, which other programs read too: `signed-note`, `tlog-checkpoint` and `tlog-proof`.

mod checkpoint;
mod frontier;
mod hash;
mod note;
mod note_key;
mod proof;
mod proof_plan;
mod proof_text;
mod subtree;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, split_checkpoints};
pub use frontier::{Frontier, TreeHead};
pub use hash::Hash;
pub use note::{Note, NoteError};
pub use note_key::{KeyName, NoteKeyError, SignerKey, VerifierKey};
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use proof_plan::ProofPlan;
pub use proof_text::{ConsistencyProof, ProofTextError, TlogProof};
pub use subtree::{StoredHashes, Subtree, cover, root_of_complete, root_of_parts};

#[cfg(test)]
mod tests;
