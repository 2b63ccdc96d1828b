//! Good and forged proofs of github.com/transparency-dev/merkle, as its own verifier judges them.

use serde::Deserialize;

use crate::transparency_log::{Hash, TreeHead, verify_consistency, verify_inclusion};

#[derive(Deserialize)]
struct Vectors {
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    file: String,
    leaf_idx: u64,
    tree_size: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    file: String,
    size1: u64,
    size2: u64,
    root1: Option<String>,
    root2: Option<String>,
    proof: Option<Vec<String>>,
    want_err: bool,
}

/// `None` for what is no hash at all: it is refused before there is a proof.
fn hash(text: Option<&String>) -> Option<Hash> {
    Hash::from_base64(text?)
}

fn hashes(proof: Option<&Vec<String>>) -> Option<Vec<Hash>> {
    proof.into_iter().flatten().map(|text| hash(Some(text))).collect()
}

fn is_included(case: &Inclusion) -> Option<()> {
    let tree = TreeHead { size: case.tree_size, root: hash(case.root.as_ref())? };
    let proof = hashes(case.proof.as_ref())?;
    verify_inclusion(hash(case.leaf_hash.as_ref())?, case.leaf_idx, tree, &proof).ok()
}

fn is_consistent(case: &Consistency) -> Option<()> {
    let old = TreeHead { size: case.size1, root: hash(case.root1.as_ref())? };
    let new = TreeHead { size: case.size2, root: hash(case.root2.as_ref())? };
    verify_consistency(old, new, &hashes(case.proof.as_ref())?).ok()
}

#[test]
fn proofs_are_judged_as_by_the_library_of_transparency_dev() {
    let text = include_str!("../../../tests/it/fixtures/vectors/merkle-proofs.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    assert_eq!((vectors.inclusion.len(), vectors.consistency.len()), (98, 98));
    for case in &vectors.inclusion {
        assert_eq!(is_included(case).is_none(), case.want_err, "{}", case.file);
    }
    for case in &vectors.consistency {
        // One case has a text for both roots, which the library only compares. Here that is no hash.
        let is_wrong = case.want_err || hash(case.root1.as_ref()).is_none();
        assert_eq!(is_consistent(case).is_none(), is_wrong, "{}", case.file);
    }
}
