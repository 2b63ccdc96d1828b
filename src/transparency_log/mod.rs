//! A log that an outsider can verify: a Merkle tree over records, and proofs about it. Pure: no I/O, no clock, no database.
//!
//! The tree is that of RFC 6962 over SHA-256. A record is any bytes; it is never changed, and only appended. Whoever knows the root of
//! a tree can be shown that a record is in it ([`verify_inclusion`]), and that a later tree begins with it ([`verify_consistency`]).

mod frontier;
mod hash;
mod proof;
mod proof_plan;
mod subtree;

pub use frontier::{Frontier, TreeHead};
pub use hash::Hash;
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use proof_plan::ProofPlan;
pub use subtree::{StoredHashes, Subtree, cover, root_of_complete, root_of_parts};

#[cfg(test)]
mod tests;
