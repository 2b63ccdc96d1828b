//! Verifying proofs, by the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. A proof is exactly as long as its tree requires: one
//! that has a hash too many or too few is refused.

use super::frontier::TreeHead;
use super::hash::Hash;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such record.
    #[error("a log of {size} records has no record with index {index}")]
    NoSuchRecord {
        /// The record's index.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A log does not get smaller.
    #[error("a log of {new} records cannot extend one of {old} records")]
    Shrinks {
        /// The size of the tree before.
        old: u64,
        /// The size of the tree now.
        new: u64,
    },
    /// Every tree begins with the empty one, so nothing would be proven.
    #[error("there is no proof that a log extends an empty log")]
    FromEmpty,
    /// A hash too many or too few.
    #[error("the proof has {found} hashes, which are too many or too few for this log")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// The record, its index, the log or the proof is another one.
    #[error("the proof does not lead from this record to the root of the log")]
    Record,
    /// Records of the old tree are missing in the new one, or are others there.
    #[error("the proof does not show that the log begins with the earlier log")]
    Tree,
}

/// A walk from two leaves to the root at once: that which is proven, and the last one of the tree.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// Whether the next hash of the proof is a left sibling.
    fn sibling_is_left(&self) -> bool {
        self.node % 2 == 1 || self.node == self.last
    }

    fn up(&mut self) {
        self.node /= 2;
        self.last /= 2;
    }

    /// Goes up from a node that had a left sibling. A last node without one stays as it is on the levels between.
    fn up_after_left(&mut self) {
        while self.node != 0 && self.node.is_multiple_of(2) {
            self.up();
        }
        self.up();
    }
}

/// Verifies that the record with this hash and index is in the tree.
///
/// # Errors
/// [`ProofError`] when that is not proven.
pub fn verify_inclusion(record: Hash, index: u64, tree: TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= tree.size {
        return Err(ProofError::NoSuchRecord { index, size: tree.size });
    }
    let wrong_length = ProofError::Length { found: proof.len() };
    let mut walk = Walk { node: index, last: tree.size - 1 };
    let mut root = record;
    for hash in proof {
        if walk.last == 0 {
            return Err(wrong_length);
        }
        if walk.sibling_is_left() {
            root = Hash::of_node(*hash, root);
            walk.up_after_left();
        } else {
            root = Hash::of_node(root, *hash);
            walk.up();
        }
    }
    if walk.last != 0 {
        return Err(wrong_length);
    }
    if root == tree.root { Ok(()) } else { Err(ProofError::Record) }
}

/// Verifies that the records of the tree `new` begin with those of the tree `old`, which has one at least.
///
/// # Errors
/// [`ProofError`] when that is not proven.
pub fn verify_consistency(old: TreeHead, new: TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    if old.size == 0 {
        return Err(ProofError::FromEmpty);
    }
    if old.size > new.size {
        return Err(ProofError::Shrinks { old: old.size, new: new.size });
    }
    let wrong_length = ProofError::Length { found: proof.len() };
    if old.size == new.size {
        return match (proof.is_empty(), old.root == new.root) {
            (false, _) => Err(wrong_length),
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Tree),
        };
    }
    // The largest complete subtree at the end of the old tree is where both begin. If it is the whole of it, the proof does not
    // contain its hash, which is known.
    let (start, rest) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        let (start, rest) = proof.split_first().ok_or(wrong_length)?;
        (*start, rest)
    };
    let mut walk = Walk { node: old.size - 1, last: new.size - 1 };
    while walk.node % 2 == 1 {
        walk.up();
    }
    let (mut old_root, mut new_root) = (start, start);
    for hash in rest {
        if walk.last == 0 {
            return Err(wrong_length);
        }
        if walk.sibling_is_left() {
            old_root = Hash::of_node(*hash, old_root);
            new_root = Hash::of_node(*hash, new_root);
            walk.up_after_left();
        } else {
            new_root = Hash::of_node(new_root, *hash);
            walk.up();
        }
    }
    if walk.last != 0 {
        return Err(wrong_length);
    }
    if old_root == old.root && new_root == new.root { Ok(()) } else { Err(ProofError::Tree) }
}
