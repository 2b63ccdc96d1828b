//! Compares a tree that grows with the trees that checkpoints name.

use super::finding::Finding;
use super::known_tree::KnownTree;
use crate::transparency_log::Frontier;

/// See the module.
pub struct Comparison {
    origin: String,
    /// The largest first.
    known: Vec<KnownTree>,
    /// The largest size at which one of them fits.
    pub proven: Option<u64>,
    is_rewritten: bool,
}

impl Comparison {
    /// With the trees of that log.
    pub fn new(origin: &str, known: &[KnownTree]) -> Self {
        let mut known: Vec<_> = known.iter().filter(|tree| tree.origin == origin).cloned().collect();
        known.sort_by_key(|tree| std::cmp::Reverse(tree.size));
        Self { origin: origin.to_owned(), known, proven: None, is_rewritten: false }
    }

    /// What the tree is with so many records; `None` where records are missing, so that nothing can be compared. Below what was removed
    /// nothing can be either.
    pub fn compare(&mut self, size: u64, tree: Option<&Frontier>) -> Option<Finding> {
        let mut found = None;
        while let Some(known) = self.known.pop_if(|known| known.size <= size) {
            let Some(tree) = tree.filter(|_| known.size == size) else { continue };
            if tree.root() == known.root {
                self.proven = Some(size);
            } else if !self.is_rewritten {
                self.is_rewritten = true;
                let (log, first) = (self.origin.clone(), self.proven.unwrap_or_default());
                found = Some(Finding::Rewritten { log, first, last: known.size.saturating_sub(1) });
            }
        }
        found
    }

    /// The largest size that a tree has which was not reached.
    pub fn beyond(&self) -> Option<u64> {
        self.known.first().map(|known| known.size)
    }
}
