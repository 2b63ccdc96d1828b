//! The hashes of a Merkle tree, as RFC 6962 section 2.1 defines them over SHA-256.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// What is hashed before a record and before two hashes, so that neither can be taken for the other.
const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

/// The hash of a record, of a subtree or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; Self::LENGTH]);

impl Hash {
    /// How many bytes it has.
    pub const LENGTH: usize = 32;

    /// The hash of a leaf: of a record, byte for byte.
    pub fn of_record(record: &[u8]) -> Self {
        Self(Sha256::new().chain_update(LEAF_PREFIX).chain_update(record).finalize().into())
    }

    /// The hash of the tree over two subtrees.
    pub fn of_node(left: Self, right: Self) -> Self {
        Self(Sha256::new().chain_update(NODE_PREFIX).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// The root of a tree without records.
    pub fn of_empty_tree() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// A hash that was computed before.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The same from bytes that may have another length, which gives `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes, and no other spelling of it.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().and_then(|bytes| Self::from_slice(&bytes))
    }
}

/// Base64, as checkpoints and proofs contain it.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
