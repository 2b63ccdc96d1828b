//! Goes through the records of one log, from the first to the last, and computes its tree.

use std::collections::{BTreeMap, HashMap};
use std::mem::Discriminant;

use super::comparison::Comparison;
use super::finding::Finding;
use super::known_tree::KnownTree;
use super::times::Times;
use crate::gateway::store::{AuditLog, AuditRow, differing_columns};
use crate::transparency_log::{Frontier, Hash, Subtree, TreeHead};

/// Findings of one kind that are listed; more are not.
pub const MOST_FINDINGS: usize = 1000;

/// What is known so far.
pub struct LogCheck {
    log: AuditLog,
    /// The tree of the records so far; `None` once one is missing whose hash is missing too.
    tree: Option<Frontier>,
    /// The index of the next record.
    next: u64,
    last_id: Option<i64>,
    /// With the trees that checkpoints name.
    comparison: Comparison,
    /// Trees that stored checkpoints name, the largest first.
    stored: Vec<TreeHead>,
    /// The largest size at which one of those fits, and whether the last one did.
    stored_until: u64,
    is_stored_good: bool,
    /// The hashes of larger subtrees, as the records have them.
    subtrees: BTreeMap<Subtree, Hash>,
    findings: Vec<Finding>,
    /// How many there are of each kind.
    kinds: HashMap<Discriminant<Finding>, usize>,
    /// How many rows were taken.
    rows: i64,
    times: Times,
}

/// What came of it.
pub struct Checked {
    /// The tree of the records, if none is missing.
    pub tree: Option<Frontier>,
    /// The largest size at which a given tree fits.
    pub proven: Option<u64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many events are in the log.
    pub rows: i64,
    /// Between which times they lie.
    pub times: Times,
}

impl LogCheck {
    /// From the record at which the log begins, where the tree was `before`; `None` if that is not known.
    pub fn new(log: &AuditLog, first: u64, before: Option<Frontier>, known: &[KnownTree]) -> Self {
        let mut check = Self {
            log: log.clone(),
            tree: before,
            next: first,
            last_id: None,
            comparison: Comparison::new(&log.origin, known),
            stored: Vec::new(),
            stored_until: 0,
            is_stored_good: true,
            subtrees: BTreeMap::new(),
            findings: Vec::new(),
            kinds: HashMap::new(),
            rows: 0,
            times: Times::default(),
        };
        if check.tree.is_none() {
            check.find(Finding::Missing { log: log.origin.clone(), first: 0, last: first.saturating_sub(1) });
        }
        check.compare();
        check
    }

    /// Compares the tree with those that stored checkpoints name, too. An attacker who can write the database can remove them; one that was left
    /// there shows what was changed.
    pub fn with_stored(mut self, mut trees: Vec<TreeHead>) -> Self {
        trees.sort_by_key(|tree| std::cmp::Reverse(tree.size));
        self.stored = trees;
        self.compare_stored();
        self
    }

    /// The index of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next records, with the hashes that are stored for their indexes, in their order.
    pub fn take(&mut self, rows: &[AuditRow], stored: &[(u64, Hash)]) {
        let stored = LeafHashes(stored);
        for row in rows {
            let index = u64::try_from(row.index).unwrap_or_default();
            // One more at the same index. It is not counted, and so it is found.
            if index < self.next {
                continue;
            }
            self.rows += 1;
            self.times.add(row);
            if index > self.next {
                self.find(Finding::Missing { log: self.log.origin.clone(), first: self.next, last: index - 1 });
                self.pass_over(index, &stored);
            }
            if self.last_id.is_some_and(|last| row.id <= last) {
                self.find(Finding::Order { log: self.log.origin.clone(), index });
            }
            self.last_id = Some(row.id);
            let hash = row.line.as_ref().map(|line| Hash::of_record(line.as_bytes()));
            let stored_hash = stored.of(index);
            if hash.is_none() || stored_hash.is_some_and(|stored| Some(stored) != hash) {
                self.find(Finding::Changed { log: self.log.origin.clone(), index });
            } else if let Some(line) = &row.line {
                let columns = differing_columns(line, &row.columns);
                if !columns.is_empty() {
                    self.find(Finding::Columns { log: self.log.origin.clone(), index, columns });
                }
            }
            if stored_hash.is_none() {
                self.find(Finding::Hashes { log: self.log.origin.clone(), first: index, last: index });
            }
            self.append(stored_hash.or(hash));
        }
    }

    /// Goes on at a record, as far as the hashes before it are stored. Without them the tree is not known any more.
    fn pass_over(&mut self, index: u64, stored: &LeafHashes<'_>) {
        while self.next < index
            && let Some(hash) = stored.of(self.next)
        {
            self.append(Some(hash));
        }
        if self.next < index {
            (self.tree, self.next) = (None, index);
        }
    }

    /// Goes on with the hash of the next record. The one that is stored counts first: it shows where a record was changed, and goes on to
    /// fit.
    fn append(&mut self, hash: Option<Hash>) {
        self.next += 1;
        match (&mut self.tree, hash) {
            (Some(tree), Some(hash)) => {
                let subtrees = &mut self.subtrees;
                tree.append_and_store(hash, |subtree, hash| {
                    if subtree.level > 0 {
                        subtrees.insert(subtree, hash);
                    }
                });
            }
            _ => self.tree = None,
        }
        self.compare();
        self.compare_stored();
    }

    /// Compares the tree with those that checkpoints name at this size.
    fn compare(&mut self) {
        if let Some(finding) = self.comparison.compare(self.next, self.tree.as_ref()) {
            self.find(finding);
        }
    }

    /// The same with those of stored checkpoints. Once one does not fit, later ones do not either: that is told once.
    fn compare_stored(&mut self) {
        while let Some(stored) = self.stored.pop_if(|stored| stored.size <= self.next) {
            let Some(tree) = self.tree.as_ref().filter(|_| stored.size == self.next) else { continue };
            let is_good = tree.root() == stored.root;
            if is_good {
                self.stored_until = self.next;
            } else if self.is_stored_good {
                let (log, first) = (self.log.origin.clone(), self.stored_until);
                self.find(Finding::Checkpoint { log, first, size: stored.size });
            }
            self.is_stored_good = is_good;
        }
    }

    /// The subtrees of a level, as the records have them, in pages: the caller reads what is stored of them.
    pub fn subtrees_of(&self, level: u8) -> impl Iterator<Item = (u64, Hash)> + '_ {
        let all = Subtree { level, index: 0 }..=Subtree { level, index: u64::MAX };
        self.subtrees.range(all).map(|(subtree, hash)| (subtree.index, *hash))
    }

    /// A stored hash of a subtree is not what the records make it.
    pub fn wrong_subtree(&mut self, subtree: Subtree) {
        let leaves = subtree.leaves();
        self.find(Finding::Hashes { log: self.log.origin.clone(), first: leaves.start, last: leaves.end - 1 });
    }

    /// After the last record.
    pub fn finish(mut self) -> Checked {
        let (origin, size) = (self.log.origin.clone(), self.next);
        let is_stored = self.tree.as_ref().is_none_or(|tree| self.log.tree.as_ref() == Some(tree));
        if i64::try_from(size) != Ok(self.log.size) || !is_stored {
            self.find(Finding::Tree { log: origin.clone(), size, stored_size: self.log.size });
        }
        let known = self.comparison.beyond().into_iter();
        if let Some(largest) = known.chain(self.stored.iter().map(|stored| stored.size)).max() {
            self.find(Finding::Cut { log: origin, size, checkpoint: largest });
        }
        Checked {
            tree: self.tree,
            proven: self.comparison.proven,
            findings: self.findings,
            rows: self.rows,
            times: self.times,
        }
    }

    fn find(&mut self, finding: Finding) {
        let count = self.kinds.entry(std::mem::discriminant(&finding)).or_default();
        *count += 1;
        if *count <= MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// The hashes that are stored for neighbouring records, in their order.
struct LeafHashes<'a>(&'a [(u64, Hash)]);

impl LeafHashes<'_> {
    fn of(&self, index: u64) -> Option<Hash> {
        let (first, _) = self.0.first()?;
        // Usually none is missing.
        let place = usize::try_from(index.checked_sub(*first)?).ok()?;
        match self.0.get(place) {
            Some((at, hash)) if *at == index => Some(*hash),
            _ => self.0.binary_search_by_key(&index, |(at, _)| *at).ok().map(|place| self.0[place].1),
        }
    }
}
