//! Notes, checkpoints and proofs that the libraries of Go and of transparency-dev wrote, and changed ones that these refuse. They are
//! written by `tests/go_log`.

use serde::Deserialize;

use super::{Hash, record};
use crate::transparency_log::{
    ConsistencyProof, Note, SignedCheckpoint, SignerKey, TlogProof, TreeHead, VerifierKey, verify_consistency,
    verify_inclusion,
};

#[derive(Deserialize)]
struct Vectors {
    origin: String,
    keys: Vec<Key>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    signer: String,
    verifier: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Case {
    name: String,
    kind: String,
    text: String,
    keys: Vec<String>,
    origin: String,
    record: String,
    index: u64,
    size: u64,
    root: Option<String>,
    old_size: u64,
    old_root: Option<String>,
    hashes: Vec<String>,
    accepted: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/it/fixtures/vectors/transparency-log.json")).unwrap()
}

/// What the case asks for; an error is why it is refused.
fn judge(case: &Case) -> Result<(), Box<dyn std::error::Error>> {
    let keys = case.keys.iter().map(|key| key.parse()).collect::<Result<Vec<VerifierKey>, _>>()?;
    let hashes: Option<Vec<Hash>> = case.hashes.iter().map(|text| Hash::from_base64(text)).collect();
    let hashes = hashes.ok_or("no hash")?;
    let head = |size, root: &Option<String>| {
        root.as_ref().and_then(|root| Hash::from_base64(root)).map(|root| TreeHead { size, root }).ok_or("no root")
    };
    let bytes = case.text.as_bytes();
    match &*case.kind {
        "note" => drop(Note::parse(bytes)?.verify(&keys)?),
        "checkpoint" => {
            SignedCheckpoint::parse(bytes)?.verify(&case.origin, &keys)?;
        }
        "record" => {
            let record = Hash::of_record(case.record.as_bytes());
            verify_inclusion(record, case.index, head(case.size, &case.root)?, &hashes)?;
        }
        "tree" => verify_consistency(head(case.old_size, &case.old_root)?, head(case.size, &case.root)?, &hashes)?,
        "tlog_proof" => {
            TlogProof::parse(bytes)?.verify(case.record.as_bytes(), &case.origin, &keys)?;
        }
        "consistency_proof" => {
            let old = head(case.old_size, &case.old_root)?;
            ConsistencyProof::parse(bytes)?.verify(old, &case.origin, &keys)?;
        }
        kind => panic!("unknown kind {kind}"),
    }
    Ok(())
}

#[test]
fn what_go_wrote_is_accepted_and_what_go_refuses_is_refused() {
    let cases = vectors().cases;
    for case in &cases {
        let judged = judge(case);
        assert_eq!(judged.is_ok(), case.accepted, "{} {}: {judged:?}", case.kind, case.name);
    }
    for kind in ["note", "checkpoint", "record", "tree", "tlog_proof", "consistency_proof"] {
        let count = |accepted| cases.iter().filter(|case| case.kind == kind && case.accepted == accepted).count();
        assert!(count(true) > 3 && count(false) > 10, "hardly any case of a {kind}");
    }
}

#[test]
fn what_go_wrote_is_written_in_the_same_way() {
    for case in vectors().cases.iter().filter(|case| case.accepted && !case.text.is_empty()) {
        let bytes = case.text.as_bytes();
        let written = match &*case.kind {
            "note" => Note::parse(bytes).unwrap().to_string(),
            "checkpoint" => SignedCheckpoint::parse(bytes).unwrap().to_string(),
            "tlog_proof" => TlogProof::parse(bytes).unwrap().to_string(),
            _ => ConsistencyProof::parse(bytes).unwrap().to_string(),
        };
        assert_eq!(written, case.text, "{} {}", case.kind, case.name);
    }
}

#[test]
fn keys_and_signatures_are_those_of_go() {
    use secrecy::ExposeSecret as _;

    let vectors = vectors();
    let signers: Vec<SignerKey> = vectors.keys.iter().map(|key| SignerKey::parse(&key.signer).unwrap()).collect();
    for (key, signer) in vectors.keys.iter().zip(&signers) {
        assert_eq!(signer.to_text().expose_secret(), key.signer);
        assert_eq!(signer.verifier().to_string(), key.verifier);
        assert_eq!(key.verifier.parse::<VerifierKey>().unwrap(), *signer.verifier());
    }
    let case = vectors.cases.iter().find(|case| case.name == "two keys").unwrap();
    let text = super::Log::of_size(9).checkpoint(&vectors.origin).to_string();
    assert_eq!(Note::sign(&text, &signers[..2]).unwrap().to_string(), case.text);
    assert_eq!(record(0), b"{\"index\":0}");
}
