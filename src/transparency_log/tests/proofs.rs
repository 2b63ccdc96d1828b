//! Proofs of all trees up to 300 records, and what is wrong about them when something is changed.

use proptest::prelude::*;

use super::{Definition, Log, record};
use crate::transparency_log::{Hash, ProofError, ProofPlan, TreeHead, verify_consistency, verify_inclusion};

const SIZES: u64 = 300;

fn heads(definition: &mut Definition) -> Vec<TreeHead> {
    (0..=SIZES).map(|size| TreeHead { size, root: definition.root(0..size) }).collect()
}

#[test]
fn every_record_is_proven_in_every_tree() {
    let mut definition = Definition::of_size(SIZES);
    let (heads, log) = (heads(&mut definition), Log::of_size(SIZES));
    for tree in &heads[1..] {
        for index in 0..tree.size {
            let proof = log.proof(&ProofPlan::inclusion(index, tree.size).unwrap());
            assert_eq!(proof, definition.path(index, 0..tree.size), "{index} in {}", tree.size);
            let record = Hash::of_record(&record(index));
            assert_eq!(verify_inclusion(record, index, *tree, &proof), Ok(()), "{index} in {}", tree.size);
        }
    }
}

#[test]
fn every_tree_is_proven_to_begin_with_every_smaller_one() {
    let mut definition = Definition::of_size(SIZES);
    let (heads, log) = (heads(&mut definition), Log::of_size(SIZES));
    for new in &heads[1..] {
        for old in &heads[1..=new.size as usize] {
            let proof = log.proof(&ProofPlan::consistency(old.size, new.size).unwrap());
            assert_eq!(proof, definition.consistency(old.size, new.size), "{} to {}", old.size, new.size);
            assert_eq!(verify_consistency(*old, *new, &proof), Ok(()), "{} to {}", old.size, new.size);
        }
    }
}

/// Levels 8 and 16 are read, and the ragged edge beside them.
#[test]
fn a_large_log_is_proven_from_few_stored_hashes() {
    let log = Log::of_size(65_536 + 777);
    let tree = log.frontier.head();
    for index in [0, 1, 255, 256, 65_535, 65_536, 65_792, 66_000, tree.size - 1] {
        let proof = log.proof(&ProofPlan::inclusion(index, tree.size).unwrap());
        assert_eq!(verify_inclusion(Hash::of_record(&record(index)), index, tree, &proof), Ok(()), "{index}");
    }
    for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000, tree.size] {
        let proof = log.proof(&ProofPlan::consistency(size, tree.size).unwrap());
        let old = Log::of_size(size).frontier.head();
        assert_eq!(verify_consistency(old, tree, &proof), Ok(()), "{size}");
    }
}

#[test]
fn no_proof_is_planned_for_what_cannot_be() {
    assert_eq!(ProofPlan::inclusion(0, 0), None);
    assert_eq!(ProofPlan::inclusion(7, 7), None);
    assert_eq!(ProofPlan::consistency(0, 7), None);
    assert_eq!(ProofPlan::consistency(8, 7), None);
    let plan = ProofPlan::inclusion(2, 7).unwrap();
    let count = plan.subtrees().count();
    let hash = Hash::of_empty_tree();
    assert!(plan.assemble(&vec![hash; count]).is_some());
    assert_eq!(plan.assemble(&vec![hash; count - 1]), None);
    assert_eq!(plan.assemble(&vec![hash; count + 1]), None);
    assert!(ProofPlan::inclusion(0, u64::MAX).unwrap().subtrees().count() < 128);
    assert!(ProofPlan::consistency(u64::MAX / 3, u64::MAX).unwrap().subtrees().count() < 128);
}

#[test]
fn what_cannot_be_is_refused() {
    let (old, new) = (Log::of_size(5).frontier.head(), Log::of_size(7).frontier.head());
    let empty = Log::default().frontier.head();
    let hash = Hash::of_empty_tree();
    assert_eq!(verify_inclusion(hash, 0, empty, &[]), Err(ProofError::NoSuchRecord { index: 0, size: 0 }));
    assert_eq!(verify_inclusion(hash, 7, new, &[]), Err(ProofError::NoSuchRecord { index: 7, size: 7 }));
    assert_eq!(verify_consistency(new, old, &[]), Err(ProofError::Shrinks { old: 7, new: 5 }));
    assert_eq!(verify_consistency(empty, new, &[]), Err(ProofError::FromEmpty));
    assert_eq!(verify_consistency(empty, empty, &[]), Err(ProofError::FromEmpty));
    assert_eq!(verify_consistency(old, old, &[hash]), Err(ProofError::Length { found: 1 }));
    let forked = TreeHead { root: hash, ..old };
    assert_eq!(verify_consistency(old, forked, &[]), Err(ProofError::Tree));
}

/// One hash of it changed, left out, doubled, or exchanged with its neighbour; one before or behind; and the whole cut short.
fn changes(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut changed = Vec::new();
    let mut with = |change: &dyn Fn(&mut Vec<Hash>)| {
        let mut other = proof.to_vec();
        change(&mut other);
        if other != proof {
            changed.push(other);
        }
    };
    for at in 0..proof.len() {
        for byte in 0..Hash::LENGTH {
            with(&|proof| {
                let mut bytes = *proof[at].as_bytes();
                bytes[byte] ^= 1;
                proof[at] = Hash::from_bytes(bytes);
            });
        }
        with(&|proof| {
            proof.remove(at);
        });
        with(&|proof| proof.insert(at, proof[at]));
        with(&|proof| proof.swap(at, 0));
        with(&|proof| proof.truncate(at));
    }
    with(&|proof| proof.insert(0, Hash::of_empty_tree()));
    with(&|proof| proof.push(Hash::of_empty_tree()));
    with(&|proof| proof.extend([Hash::of_empty_tree(); 64]));
    changed
}

proptest! {
    #[test]
    fn a_changed_proof_of_a_record_is_refused(size in 1..SIZES, at: prop::sample::Index) {
        let index = at.index(size as usize) as u64;
        let log = Log::of_size(size);
        let (tree, hash) = (log.frontier.head(), Hash::of_record(&record(index)));
        let proof = log.proof(&ProofPlan::inclusion(index, size).unwrap());
        for changed in changes(&proof) {
            prop_assert!(verify_inclusion(hash, index, tree, &changed).is_err(), "{changed:?} for {proof:?}");
        }
        let other_record = Hash::of_record(&record(index + 1));
        prop_assert_eq!(verify_inclusion(other_record, index, tree, &proof), Err(ProofError::Record));
        let other_root = TreeHead { root: hash, ..tree };
        prop_assert!(size == 1 || verify_inclusion(hash, index, other_root, &proof).is_err());
        for other in (0..size + 2).filter(|other| *other != index) {
            prop_assert!(verify_inclusion(hash, other, tree, &proof).is_err(), "{index} as {other}");
        }
    }

    #[test]
    fn a_changed_proof_of_a_tree_is_refused(size in 1..SIZES, at: prop::sample::Index) {
        let size_before = at.index(size as usize) as u64 + 1;
        let log = Log::of_size(size);
        let (old, new) = (Log::of_size(size_before).frontier.head(), log.frontier.head());
        let proof = log.proof(&ProofPlan::consistency(size_before, size).unwrap());
        for changed in changes(&proof) {
            prop_assert!(verify_consistency(old, new, &changed).is_err(), "{changed:?} for {proof:?}");
        }
        let wrong = Hash::of_record(b"another");
        let (other_old, other_new) = (TreeHead { root: wrong, ..old }, TreeHead { root: wrong, ..new });
        prop_assert!(verify_consistency(other_old, new, &proof).is_err());
        prop_assert!(verify_consistency(old, other_new, &proof).is_err());
        for other in (0..=size).filter(|other| *other != size_before) {
            prop_assert!(verify_consistency(TreeHead { size: other, ..old }, new, &proof).is_err(), "{other}");
        }
    }
}
