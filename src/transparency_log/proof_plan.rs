//! Making proofs: which subtrees a proof needs, and the proof from their hashes. Whoever stores the hashes fetches them in between.
//!
//! ```text
//! let plan = ProofPlan::inclusion(index, size)?;
//! let mut hashes = Vec::new();
//! for subtree in plan.subtrees() {
//!     let stored = read(subtree.stored_hashes()).await?;
//!     hashes.push(root_of_complete(&stored)?);
//! }
//! let proof = plan.assemble(&hashes)?;
//! ```

use std::ops::Range;

use super::hash::Hash;
use super::subtree::{Subtree, cover, root_of_parts};

/// What a proof consists of: for each of its hashes, in order, the subtrees that it is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofPlan {
    parts: Vec<Vec<Subtree>>,
}

impl ProofPlan {
    /// For the proof that the record with this index is in the tree of that size (RFC 6962, section 2.1.1); `None` if it cannot be.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let mut parts = Vec::new();
        path(index, 0..size, &mut parts);
        Some(Self { parts })
    }

    /// For the proof that a tree of size `new` begins with that of size `old` (RFC 6962, section 2.1.2); `None` if it cannot. There is no
    /// proof for an empty tree, with which every tree begins.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old == 0 || old > new {
            return None;
        }
        let mut parts = Vec::new();
        subproof(old, 0..new, &mut parts);
        Some(Self { parts })
    }

    /// The subtrees whose hashes are needed, in the order that [`assemble`](Self::assemble) takes them in.
    pub fn subtrees(&self) -> impl Iterator<Item = Subtree> + '_ {
        self.parts.iter().flatten().copied()
    }

    /// The proof, from one hash for each of the subtrees; `None` if there are more or fewer.
    pub fn assemble(&self, hashes: &[Hash]) -> Option<Vec<Hash>> {
        let mut rest = hashes;
        let mut proof = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (these, after) = rest.split_at_checked(part.len())?;
            proof.push(root_of_parts(these)?);
            rest = after;
        }
        rest.is_empty().then_some(proof)
    }
}

/// Where a tree over these leaves, more than one, is divided: after the largest power of two that is less than their number.
fn middle(leaves: &Range<u64>) -> u64 {
    let last = leaves.end - leaves.start - 1;
    leaves.start + (1 << last.ilog2())
}

/// `PATH` of RFC 6962: the siblings on the way from a leaf to the root.
fn path(index: u64, leaves: Range<u64>, parts: &mut Vec<Vec<Subtree>>) {
    if leaves.end - leaves.start == 1 {
        return;
    }
    let middle = middle(&leaves);
    if index < middle {
        path(index, leaves.start..middle, parts);
        parts.push(cover(middle..leaves.end));
    } else {
        path(index, middle..leaves.end, parts);
        parts.push(cover(leaves.start..middle));
    }
}

/// `SUBPROOF` of RFC 6962. The old tree itself, which the verifier knows, is left out: it alone begins at 0 and ends at `old`.
fn subproof(old: u64, leaves: Range<u64>, parts: &mut Vec<Vec<Subtree>>) {
    if old == leaves.end {
        if leaves.start > 0 {
            parts.push(cover(leaves));
        }
        return;
    }
    let middle = middle(&leaves);
    if old <= middle {
        subproof(old, leaves.start..middle, parts);
        parts.push(cover(middle..leaves.end));
    } else {
        subproof(old, middle..leaves.end, parts);
        parts.push(cover(leaves.start..middle));
    }
}
