//! The tables of an event log in memory, as they were read from a real file, for tests that change them thousands of times.

use std::collections::BTreeMap;
use std::ops::Range;

use tokio::runtime::{Builder, Runtime};

use crate::gateway::audit::known_tree::KnownTree;
use crate::gateway::audit::report::Verification;
use crate::gateway::audit::verification::verify;
use crate::gateway::store::{
    Answer, AuditLog, AuditReader, AuditRow, BlockTimes, EventCounts, EventFilter, LinePage, StoreError,
    StoredCheckpoint,
};
use crate::transparency_log::{Checkpoint, Frontier, Hash, KeyName, SignedCheckpoint, SignerKey, Subtree};

/// One log, as it lies in a database.
#[derive(Clone)]
pub struct Database {
    pub log: AuditLog,
    /// By their index, as the index of the database has them.
    pub rows: Vec<AuditRow>,
    pub hashes: BTreeMap<Subtree, Hash>,
    pub checkpoints: Vec<StoredCheckpoint>,
}

impl Database {
    /// Everything that is in a database with one log.
    pub async fn read(reader: &mut dyn AuditReader) -> Self {
        let log = reader.logs().await.unwrap().pop().unwrap();
        let rows = reader.rows(log.number, 0, 1_000_000).await.unwrap();
        let mut hashes = BTreeMap::new();
        for level in [0, 8, 16] {
            let stored = reader.hashes(log.number, level, 0..1_000_000).await.unwrap();
            hashes.extend(stored.into_iter().map(|(index, hash)| (Subtree { level, index }, hash)));
        }
        let checkpoints = reader.checkpoints(1000).await.unwrap();
        Self { log, rows, hashes, checkpoints }
    }

    /// What is found.
    pub fn verify(&self, known: &[KnownTree]) -> Verification {
        thread_local! {
            static RUNTIME: Runtime = Builder::new_current_thread().build().unwrap();
        }
        let mut reader = self;
        RUNTIME.with(|runtime| runtime.block_on(verify(&mut reader, known))).unwrap()
    }

    /// Computes all hashes and the tree from the rows, as an attacker does who knows how.
    pub fn recompute(&mut self) {
        let mut tree = Frontier::new();
        self.hashes.clear();
        for (index, row) in (0..).zip(&mut self.rows) {
            row.index = index;
            let hash = Hash::of_record(row.line.as_ref().unwrap().as_bytes());
            tree.append_and_store(hash, |subtree, hash| {
                self.hashes.insert(subtree, hash);
            });
        }
        self.log.size = tree.size().try_into().unwrap();
        self.log.tree = Some(tree);
    }

    /// The tree as it was with so many records.
    pub fn tree_at(&self, size: usize) -> Frontier {
        let mut tree = Frontier::new();
        for row in &self.rows[..size] {
            tree.append(Hash::of_record(row.line.as_ref().unwrap().as_bytes()));
        }
        tree
    }

    /// A checkpoint of the tree as it was with so many records, signed with a key made of that byte.
    pub fn checkpoint(&self, size: usize, seed: u8) -> StoredCheckpoint {
        let key = SignerKey::from_seed(KeyName::new(&self.log.origin).unwrap(), &[seed; 32]);
        let checkpoint = Checkpoint::new(&self.log.origin, self.tree_at(size).head()).unwrap();
        let note = SignedCheckpoint::sign(checkpoint, &[key]).unwrap().to_string();
        StoredCheckpoint { log: self.log.number, size: size.try_into().unwrap(), made_at: 5, note }
    }

    /// The same as it is kept elsewhere.
    pub fn known(&self, size: usize, seed: u8) -> KnownTree {
        let (tree, note) = (self.tree_at(size).head(), self.checkpoint(size, seed).note);
        KnownTree { origin: self.log.origin.clone(), size: tree.size, root: tree.root, note: Some(note) }
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok::<T, StoreError>(value)))
}

impl AuditReader for &Database {
    fn logs(&mut self) -> Answer<'_, Vec<AuditLog>> {
        answer(vec![self.log.clone()])
    }

    fn rows(&mut self, log: i64, from: i64, limit: i64) -> Answer<'_, Vec<AuditRow>> {
        let wanted = self.rows.iter().filter(|row| log == self.log.number && row.index >= from);
        let stored = |row: &AuditRow| {
            let leaf = Subtree { level: 0, index: row.index.try_into().unwrap() };
            AuditRow { hash: self.hashes.get(&leaf).copied(), ..row.clone() }
        };
        answer(wanted.take(limit.try_into().unwrap()).map(stored).collect())
    }

    fn lines<'a>(&'a mut self, _: u32, _: &'a EventFilter) -> Answer<'a, LinePage> {
        answer(LinePage::default())
    }

    fn hashes(&mut self, _: i64, level: u8, indexes: Range<u64>) -> Answer<'_, Vec<(u64, Hash)>> {
        let at = |index| Subtree { level, index };
        let stored = self.hashes.range(at(indexes.start)..at(indexes.end));
        answer(stored.map(|(subtree, hash)| (subtree.index, *hash)).collect())
    }

    fn checkpoints(&mut self, _: i64) -> Answer<'_, Vec<StoredCheckpoint>> {
        answer(self.checkpoints.iter().rev().cloned().collect())
    }

    fn counts(&mut self) -> Answer<'_, EventCounts> {
        answer(EventCounts { all: self.rows.len().try_into().unwrap(), outside: 0 })
    }

    fn times(&mut self) -> Answer<'_, Vec<BlockTimes>> {
        answer(Vec::new())
    }

    fn removals(&mut self) -> Answer<'_, Vec<String>> {
        answer(Vec::new())
    }
}
