//! What `transparency_log` writes is accepted by the libraries of Go and of transparency-dev, and what was changed of it is refused.

use std::collections::BTreeMap;

use ollama_auth::transparency_log::{
    Checkpoint, ConsistencyProof, Frontier, Hash, KeyName, Note, ProofPlan, SignedCheckpoint, SignerKey, Subtree,
    TlogProof, root_of_complete,
};
use serde_json::{Value, json};

use crate::harness::go_log::{check, vectors};

const ORIGIN: &str = "gate.example/log-7b21";
const SIZES: [u64; 8] = [1, 2, 3, 7, 8, 255, 256, 300];

/// A log with the hashes that a store keeps.
#[derive(Default)]
struct Log {
    frontier: Frontier,
    stored: BTreeMap<Subtree, Hash>,
}

fn record(index: u64) -> String {
    format!("{{\"index\":{index},\"text\":\"ü\"}}")
}

impl Log {
    fn of_size(size: u64) -> Self {
        let mut log = Self::default();
        for index in 0..size {
            let hash = Hash::of_record(record(index).as_bytes());
            log.frontier.append_and_store(hash, |subtree, hash| {
                log.stored.insert(subtree, hash);
            });
        }
        log
    }

    fn proof(&self, plan: &ProofPlan) -> Vec<Hash> {
        let hash = |subtree: Subtree| {
            let reads = subtree.stored_hashes();
            let hashes: Vec<Hash> =
                reads.indexes.map(|index| self.stored[&Subtree { level: reads.level, index }]).collect();
            root_of_complete(&hashes).unwrap()
        };
        plan.assemble(&plan.subtrees().map(hash).collect::<Vec<_>>()).unwrap()
    }

    fn checkpoint(&self, key: &SignerKey) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(ORIGIN, self.frontier.head()).unwrap();
        SignedCheckpoint::sign(checkpoint, std::slice::from_ref(key)).unwrap()
    }

    fn root(&self) -> String {
        self.frontier.root().to_string()
    }
}

fn key() -> SignerKey {
    SignerKey::generate(KeyName::new(ORIGIN).unwrap()).unwrap()
}

/// A case of each kind, for logs of all sizes.
fn cases(key: &SignerKey) -> Vec<Value> {
    let keys = json!([key.verifier().to_string()]);
    let logs: Vec<Log> = SIZES.iter().map(|size| Log::of_size(*size)).collect();
    let mut cases = Vec::new();
    for text in ["a\n", "a\n\nb\n\n", "ü — ✓\n"] {
        let note = Note::sign(text, std::slice::from_ref(key)).unwrap();
        cases.push(json!({ "kind": "note", "text": note.to_string(), "keys": keys }));
    }
    let empty = Log::default().checkpoint(key).to_string();
    cases.push(json!({ "kind": "checkpoint", "text": empty, "keys": keys, "origin": ORIGIN }));
    for (at, log) in logs.iter().enumerate() {
        let (size, checkpoint) = (log.frontier.size(), log.checkpoint(key));
        let text = checkpoint.to_string();
        cases.push(json!({ "kind": "checkpoint", "text": text, "keys": keys, "origin": ORIGIN }));
        for index in [0, size / 3, size / 2, size - 1] {
            let hashes = log.proof(&ProofPlan::inclusion(index, size).unwrap());
            let texts: Vec<String> = hashes.iter().map(Hash::to_string).collect();
            cases.push(json!({
                "kind": "record", "size": size, "root": log.root(), "index": index, "record": record(index), "hashes": texts,
            }));
            let proof = TlogProof { extra: None, index, hashes, checkpoint: checkpoint.clone() };
            cases.push(json!({
                "kind": "tlog_proof", "text": proof.to_string(), "keys": keys, "origin": ORIGIN, "record": record(index),
            }));
        }
        for old in &logs[..=at] {
            let old_size = old.frontier.size();
            let hashes = log.proof(&ProofPlan::consistency(old_size, size).unwrap());
            let texts: Vec<String> = hashes.iter().map(Hash::to_string).collect();
            cases.push(json!({
                "kind": "tree", "size": size, "root": log.root(), "old_size": old_size, "old_root": old.root(), "hashes": texts,
            }));
            let proof = ConsistencyProof { old_size, hashes, checkpoint: checkpoint.clone() };
            cases.push(json!({
                "kind": "consistency_proof", "text": proof.to_string(), "keys": keys, "origin": ORIGIN,
                "old_size": old_size, "old_root": old.root(),
            }));
        }
    }
    cases
}

fn with(case: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut changed = case.clone();
    changed[member] = value.into();
    changed
}

/// The text with each of its bytes changed in turn. Of a digit of base64 the highest bit is, since Go ignores the unused low bits of a
/// last digit, and reads the same from it.
fn every_byte_changed(text: &str) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let changed = |at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = match DIGITS.iter().position(|digit| *digit == bytes[at]) {
            Some(value) => DIGITS[value ^ 32],
            None => bytes[at] ^ 1,
        };
        String::from_utf8(bytes).ok()
    };
    let all: Vec<String> = (0..text.len()).filter_map(changed).collect();
    assert!(all.len() + 8 > text.len(), "hardly any change is text");
    all
}

#[test]
fn go_accepts_notes_checkpoints_and_proofs() {
    let cases = cases(&key());
    for (case, verdict) in cases.iter().zip(check(&cases)) {
        assert_eq!(verdict, "", "{case:#}");
    }
}

#[test]
fn go_refuses_each_with_any_byte_changed() {
    let cases = cases(&key());
    let mut changed = Vec::new();
    for kind in ["note", "checkpoint", "tlog_proof", "consistency_proof"] {
        // The first has no hashes, the last has many.
        let of_kind = || cases.iter().filter(|case| case["kind"] == kind);
        let longest = of_kind().max_by_key(|case| case["text"].as_str().unwrap().len());
        for case in of_kind().next().into_iter().chain(longest) {
            let texts = every_byte_changed(case["text"].as_str().unwrap());
            changed.extend(texts.into_iter().map(|text| with(case, "text", text)));
        }
    }
    assert!(changed.len() > 2000);
    for (case, verdict) in changed.iter().zip(check(&changed)) {
        assert_ne!(verdict, "", "{case:#}");
    }
}

#[test]
fn go_refuses_what_is_said_of_another_log_record_or_tree() {
    let wrong_key = key().verifier().to_string();
    let mut changed = Vec::new();
    for case in cases(&key()) {
        let kind = case["kind"].as_str().unwrap();
        let has = |member: &str| !case[member].is_null();
        let number = |member: &str| case[member].as_u64().unwrap();
        if has("keys") {
            changed.push(with(&case, "keys", json!([wrong_key])));
        }
        if has("origin") {
            changed.push(with(&case, "origin", format!("{ORIGIN}x")));
        }
        if has("record") {
            changed.push(with(&case, "record", format!("{} ", case["record"].as_str().unwrap())));
        }
        if has("old_size") {
            changed.push(with(&case, "old_root", Hash::of_empty_tree().to_string()));
            changed.push(with(&case, "old_size", number("old_size") + 1));
        }
        if has("root") {
            changed.push(with(&case, "root", Hash::of_empty_tree().to_string()));
        }
        if kind == "record" {
            changed.push(with(&case, "index", number("index") + 1));
        }
        if let Some(hashes) = case["hashes"].as_array() {
            let more: Vec<Value> = hashes.iter().cloned().chain([json!(Hash::of_empty_tree().to_string())]).collect();
            changed.push(with(&case, "hashes", more));
            if let Some((_, fewer)) = hashes.split_last() {
                changed.push(with(&case, "hashes", fewer.to_vec()));
                changed.push(with(&case, "hashes", hashes[1..].to_vec()));
            }
        }
    }
    for (case, verdict) in changed.iter().zip(check(&changed)) {
        assert_ne!(verdict, "", "{case:#}");
    }
}

/// Unit tests read them (`src/transparency_log/tests/go_vectors.rs`), where this program need not be built.
#[test]
fn the_vectors_are_those_that_go_writes() {
    let kept = include_str!("fixtures/vectors/transparency-log.json");
    assert!(vectors() == kept.as_bytes(), "they are not: run scripts/go_log vectors");
}
