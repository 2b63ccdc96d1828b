//! What is known of a log from elsewhere.

use crate::transparency_log::Hash;

/// A tree that is known from elsewhere: of a checkpoint whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTree {
    /// The origin of its log.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The checkpoint itself, as it is kept there.
    pub note: Option<String>,
}
