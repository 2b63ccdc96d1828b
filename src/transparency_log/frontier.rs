//! The right edge of a growing tree: what is needed of it to append records and to know its root, and nothing else.

use super::hash::Hash;
use super::subtree::{Subtree, cover, root_of_parts};

/// A tree by its size and root, as a checkpoint names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many records it has.
    pub size: u64,
    /// Its root hash.
    pub root: Hash,
}

/// The largest complete subtrees of a tree, from the left: one for each bit that is set in its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The most records that a tree may have: an index is a signed number of 64 bits in databases and in other programs.
    pub const MAX_SIZE: u64 = i64::MAX as u64;

    /// A tree without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree with that many records, from the hashes of the subtrees that [`cover`] them; `None` if there are more or fewer hashes.
    pub fn from_hashes(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (size <= Self::MAX_SIZE && hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// How many records the tree has: the index of the next one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the subtrees that [`cover`] the tree, from the left.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The subtrees that these hashes belong to.
    pub fn subtrees(&self) -> Vec<Subtree> {
        cover(0..self.size)
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        root_of_parts(&self.hashes).unwrap_or_else(Hash::of_empty_tree)
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// Appends a record by its [hash](Hash::of_record).
    pub fn append(&mut self, record: Hash) {
        self.append_and_store(record, |_, _| {});
    }

    /// Appends a record by its [hash](Hash::of_record), and gives to `store` what a store keeps of it: the record's own hash, and
    /// the subtrees on [stored](Subtree::is_stored) levels that it completes, from the lowest.
    pub fn append_and_store(&mut self, record: Hash, mut store: impl FnMut(Subtree, Hash)) {
        let mut subtree = Subtree { level: 0, index: self.size };
        let mut hash = record;
        store(subtree, hash);
        // A record with an odd index completes a subtree of two, of which every second completes one of four, and so on.
        while subtree.index % 2 == 1
            && let Some(left) = self.hashes.pop()
        {
            hash = Hash::of_node(left, hash);
            subtree = Subtree { level: subtree.level + 1, index: subtree.index / 2 };
            if subtree.is_stored() {
                store(subtree, hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// For one column of a database: the size as eight bytes, the highest first, then the hashes from the left.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes = self.hashes.iter().flat_map(Hash::as_bytes);
        self.size.to_be_bytes().iter().chain(hashes).copied().collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, hashes) = bytes.split_first_chunk()?;
        let hashes: Option<Vec<Hash>> = hashes.chunks(Hash::LENGTH).map(Hash::from_slice).collect();
        Self::from_hashes(u64::from_be_bytes(*size), hashes?)
    }
}
