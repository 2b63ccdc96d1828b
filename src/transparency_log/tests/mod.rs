//! The tree and its proofs, against the definitions of RFC 6962, written down as they stand there; the texts; and the vectors of others.

mod go_vectors;
mod merkle_vectors;
mod notes;
mod proofs;
mod texts;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Checkpoint, Frontier, Hash, KeyName, ProofPlan, SignerKey, Subtree, root_of_complete};

/// A record, different for each index.
fn record(index: u64) -> Vec<u8> {
    format!("{{\"index\":{index}}}").into_bytes()
}

/// The key with that name whose secret is made of this byte.
fn signer(name: &str, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).unwrap(), &[seed; 32])
}

/// The text with each of its bytes changed in turn, in several ways: single bits, and another letter.
fn every_byte_changed(text: &str) -> impl Iterator<Item = Vec<u8>> {
    (0..text.len()).flat_map(move |at| {
        [1, 2, 4, 0x20, 0x80].into_iter().map(move |bit| {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= bit;
            changed
        })
    })
}

/// Other spellings of a note, which lax readers take for the same.
fn unsigned_spellings(text: &str) -> Vec<String> {
    let (before, signatures) = text.rsplit_once("\n\n").unwrap();
    vec![
        format!("{text}\n"),
        format!("{text} "),
        format!("\n{text}"),
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        text.trim_end().to_owned(),
        format!("{before}\n\n\n{signatures}"),
        format!("{before}\n{signatures}"),
        text.replace("=\n", "\n"),
        text.replace("\u{2014} ", "- "),
        text.replace("\u{2014} ", "\u{2014}  "),
        format!("{before}\n\n"),
    ]
}

/// What a store keeps of a log, and the log's right edge.
#[derive(Default)]
struct Log {
    frontier: Frontier,
    stored: BTreeMap<Subtree, Hash>,
    /// What was computed from them, for tests of very many proofs.
    computed: RefCell<BTreeMap<Subtree, Hash>>,
}

impl Log {
    fn of_size(size: u64) -> Self {
        let mut log = Self::default();
        (0..size).for_each(|index| log.append(&record(index)));
        log
    }

    fn append(&mut self, record: &[u8]) {
        let stored = &mut self.stored;
        self.frontier.append_and_store(Hash::of_record(record), |subtree, hash| {
            assert_eq!(stored.insert(subtree, hash), None, "{subtree:?} is stored twice");
        });
    }

    fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint::new(origin, self.frontier.head()).unwrap()
    }

    /// A subtree's hash from what is stored.
    fn hash(&self, subtree: Subtree) -> Hash {
        if let Some(hash) = self.computed.borrow().get(&subtree) {
            return *hash;
        }
        let reads = subtree.stored_hashes();
        let hashes: Vec<Hash> =
            reads.indexes.map(|index| self.stored[&Subtree { level: reads.level, index }]).collect();
        assert!(hashes.len() <= 128);
        let hash = root_of_complete(&hashes).unwrap();
        self.computed.borrow_mut().insert(subtree, hash);
        hash
    }

    fn proof(&self, plan: &ProofPlan) -> Vec<Hash> {
        let hashes: Vec<Hash> = plan.subtrees().map(|subtree| self.hash(subtree)).collect();
        plan.assemble(&hashes).unwrap()
    }
}

/// `MTH`, `PATH` and `PROOF` of RFC 6962, section 2.1, word for word.
struct Definition {
    records: Vec<Vec<u8>>,
    known: BTreeMap<(u64, u64), Hash>,
}

impl Definition {
    fn of_size(size: u64) -> Self {
        Self { records: (0..size).map(record).collect(), known: BTreeMap::new() }
    }

    /// The largest power of two smaller than n.
    fn k(leaves: &Range<u64>) -> u64 {
        let mut k = 1;
        while k * 2 < leaves.end - leaves.start {
            k *= 2;
        }
        k
    }

    fn root(&mut self, leaves: Range<u64>) -> Hash {
        match leaves.end - leaves.start {
            0 => return Hash::of_empty_tree(),
            1 => return Hash::of_record(&self.records[leaves.start as usize]),
            _ => {}
        }
        if let Some(hash) = self.known.get(&(leaves.start, leaves.end)) {
            return *hash;
        }
        let middle = leaves.start + Self::k(&leaves);
        let hash = Hash::of_node(self.root(leaves.start..middle), self.root(middle..leaves.end));
        self.known.insert((leaves.start, leaves.end), hash);
        hash
    }

    fn path(&mut self, m: u64, leaves: Range<u64>) -> Vec<Hash> {
        if leaves.end - leaves.start == 1 {
            return Vec::new();
        }
        let k = Self::k(&leaves);
        let middle = leaves.start + k;
        let (mut path, other) = if m < k {
            (self.path(m, leaves.start..middle), self.root(middle..leaves.end))
        } else {
            (self.path(m - k, middle..leaves.end), self.root(leaves.start..middle))
        };
        path.push(other);
        path
    }

    fn consistency(&mut self, m: u64, n: u64) -> Vec<Hash> {
        self.subproof(m, 0..n, true)
    }

    fn subproof(&mut self, m: u64, leaves: Range<u64>, is_known: bool) -> Vec<Hash> {
        if m == leaves.end - leaves.start {
            return if is_known { Vec::new() } else { vec![self.root(leaves)] };
        }
        let k = Self::k(&leaves);
        let middle = leaves.start + k;
        let (mut proof, other) = if m <= k {
            (self.subproof(m, leaves.start..middle, is_known), self.root(middle..leaves.end))
        } else {
            (self.subproof(m - k, middle..leaves.end, false), self.root(leaves.start..middle))
        };
        proof.push(other);
        proof
    }
}
