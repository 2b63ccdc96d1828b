//! Goes through the records of one log, from the first to the last, and computes its tree.

use std::collections::{BTreeMap, HashMap};
use std::mem::Discriminant;

use super::finding::Finding;
use super::known_tree::KnownTree;
use crate::gateway::store::{AuditLog, AuditRow, RecordedEvent, read_event};
use crate::transparency_log::{Frontier, Hash, Subtree};

/// Findings of one kind that are listed; more are not.
const MOST_FINDINGS: usize = 1000;

/// What is known so far.
pub struct LogCheck<'a> {
    log: &'a AuditLog,
    /// The tree of the records so far; `None` once one is missing whose hash is missing too.
    tree: Option<Frontier>,
    /// The index of the next record.
    next: u64,
    last_id: Option<i64>,
    /// Trees that checkpoints name, by their size.
    known: Vec<KnownTree>,
    /// The largest size at which one of them fits.
    proven: Option<u64>,
    is_rewritten: bool,
    /// The hashes of larger subtrees, as the records have them.
    subtrees: BTreeMap<Subtree, Hash>,
    findings: Vec<Finding>,
    /// How many there are of each kind.
    kinds: HashMap<Discriminant<Finding>, usize>,
    /// How many rows were taken.
    rows: i64,
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
}

impl<'a> LogCheck<'a> {
    /// From the record at which the log begins, where the tree was `before`; `None` if that is not known.
    pub fn new(log: &'a AuditLog, first: u64, before: Option<Frontier>, known: &[KnownTree]) -> Self {
        let mut known: Vec<_> = known.iter().filter(|tree| tree.origin == log.origin).cloned().collect();
        known.sort_by_key(|tree| std::cmp::Reverse(tree.size));
        let mut check = Self {
            log,
            tree: before,
            next: first,
            last_id: None,
            known,
            proven: None,
            is_rewritten: false,
            subtrees: BTreeMap::new(),
            findings: Vec::new(),
            kinds: HashMap::new(),
            rows: 0,
        };
        if check.tree.is_none() {
            check.find(Finding::Missing { log: log.origin.clone(), first: 0, last: first.saturating_sub(1) });
        }
        check.compare();
        check
    }

    /// The index of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next records, with the hashes that are stored for their indexes.
    pub fn take(&mut self, rows: &[AuditRow], stored: &BTreeMap<u64, Hash>) {
        for row in rows {
            let index = u64::try_from(row.index).unwrap_or_default();
            // One more at the same index. It is not counted, and so it is found.
            if index < self.next {
                continue;
            }
            self.rows += 1;
            if index > self.next {
                self.find(Finding::Missing { log: self.log.origin.clone(), first: self.next, last: index - 1 });
                self.pass_over(index, stored);
            }
            if self.last_id.is_some_and(|last| row.id <= last) {
                self.find(Finding::Order { log: self.log.origin.clone(), index });
            }
            self.last_id = Some(row.id);
            let hash = row.line.as_ref().map(|line| Hash::of_record(line.as_bytes()));
            if hash.is_none() || stored.get(&index).is_some_and(|stored| Some(*stored) != hash) {
                self.find(Finding::Changed { log: self.log.origin.clone(), index });
            } else if let Some(columns) =
                row.line.as_ref().map(|line| differing(line, row)).filter(|all| !all.is_empty())
            {
                self.find(Finding::Columns { log: self.log.origin.clone(), index, columns });
            }
            if !stored.contains_key(&index) {
                self.find(Finding::Hashes { log: self.log.origin.clone(), first: index, last: index });
            }
            self.append(hash, stored);
        }
    }

    /// Goes on at a record, as far as the hashes before it are stored. Without them the tree is not known any more.
    fn pass_over(&mut self, index: u64, stored: &BTreeMap<u64, Hash>) {
        while self.next < index && stored.contains_key(&self.next) {
            self.append(None, stored);
        }
        if self.next < index {
            (self.tree, self.next) = (None, index);
        }
    }

    /// The hash that is stored counts first: it shows where a record was changed, and goes on to fit.
    fn append(&mut self, hash: Option<Hash>, stored: &BTreeMap<u64, Hash>) {
        let hash = stored.get(&self.next).copied().or(hash);
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
    }

    /// Compares the tree with those that checkpoints name at this size.
    fn compare(&mut self) {
        while let Some(known) = self.known.pop_if(|known| known.size <= self.next) {
            match &self.tree {
                // Below what was removed, and where records are missing, nothing can be compared.
                _ if known.size < self.next => {}
                Some(tree) if tree.root() == known.root => self.proven = Some(self.next),
                Some(_) if !self.is_rewritten => {
                    self.is_rewritten = true;
                    let first = self.proven.unwrap_or_default();
                    self.find(Finding::Rewritten {
                        log: self.log.origin.clone(),
                        first,
                        last: known.size.saturating_sub(1),
                    });
                }
                _ => {}
            }
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
        if let Some(largest) = self.known.first().map(|known| known.size) {
            self.find(Finding::Cut { log: origin, size, checkpoint: largest });
        }
        Checked { tree: self.tree, proven: self.proven, findings: self.findings, rows: self.rows }
    }

    fn find(&mut self, finding: Finding) {
        let count = self.kinds.entry(std::mem::discriminant(&finding)).or_default();
        *count += 1;
        if *count <= MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// The columns of a row that do not say what its line says.
fn differing(line: &str, row: &AuditRow) -> Vec<&'static str> {
    let Ok(event) = read_event(row.id, line) else { return vec!["record"] };
    let RecordedEvent {
        at, last_at, count, actor, action, subject, address, account, account_id, code, request, ..
    } = event;
    let columns = &row.columns;
    let account_id = account_id.map(|id| id.to_string());
    [
        ("at", columns.at == at),
        ("last_at", columns.last_at == last_at),
        ("count", columns.count == i64::from(count)),
        ("actor", columns.actor == actor),
        ("action", columns.action == action),
        ("subject", columns.subject == subject),
        ("address", columns.address == address),
        ("account", columns.account == account),
        ("account_id", columns.account_id == account_id),
        ("code", columns.code == code),
        ("request", columns.request == request),
    ]
    .into_iter()
    .filter_map(|(name, is_same)| (!is_same).then_some(name))
    .collect()
}
