//! Checkpoints and the texts of proofs: what is refused, and why.

use super::{Log, every_byte_changed, record, signer, unsigned_spellings};
use crate::transparency_log::{
    Checkpoint, CheckpointError, ConsistencyProof, Hash, Note, NoteError, ProofError, ProofPlan, ProofTextError,
    SignedCheckpoint, TlogProof, TreeHead, VerifierKey, split_checkpoints,
};

const ORIGIN: &str = "gate.example/log-1";

fn known() -> Vec<VerifierKey> {
    vec![signer(ORIGIN, 1).verifier().clone()]
}

fn signed(log: &Log) -> SignedCheckpoint {
    SignedCheckpoint::sign(log.checkpoint(ORIGIN), &[signer(ORIGIN, 1)]).unwrap()
}

fn tlog_proof(log: &Log, index: u64, extra: Option<&[u8]>) -> TlogProof {
    let hashes = log.proof(&ProofPlan::inclusion(index, log.frontier.size()).unwrap());
    TlogProof { extra: extra.map(<[u8]>::to_vec), index, hashes, checkpoint: signed(log) }
}

fn consistency_proof(log: &Log, old_size: u64) -> ConsistencyProof {
    let hashes = log.proof(&ProofPlan::consistency(old_size, log.frontier.size()).unwrap());
    ConsistencyProof { old_size, hashes, checkpoint: signed(log) }
}

#[test]
fn a_checkpoint_with_any_byte_changed_is_refused() {
    let text = signed(&Log::of_size(7)).to_string();
    let read = |bytes: &[u8]| {
        let checkpoint = SignedCheckpoint::parse(bytes)?;
        checkpoint.verify(ORIGIN, &known()).cloned()
    };
    assert_eq!(read(text.as_bytes()).unwrap(), Log::of_size(7).checkpoint(ORIGIN));
    for changed in every_byte_changed(&text) {
        assert!(read(&changed).is_err(), "{}", changed.escape_ascii());
    }
    for length in 0..text.len() {
        assert!(read(&text.as_bytes()[..length]).is_err(), "{length} bytes");
    }
    for other in unsigned_spellings(&text) {
        assert!(read(other.as_bytes()).is_err(), "{other:?}");
    }
}

#[test]
fn a_checkpoint_is_of_one_log_and_one_key() {
    let checkpoint = signed(&Log::of_size(7));
    let other_origin = CheckpointError::Origin { expected: "gate.example/log-2".into(), found: ORIGIN.into() };
    assert_eq!(checkpoint.verify("gate.example/log-2", &known()).unwrap_err(), other_origin);
    let other_key = [signer(ORIGIN, 2).verifier().clone()];
    assert_eq!(checkpoint.verify(ORIGIN, &other_key).unwrap_err(), CheckpointError::Note(NoteError::NotSigned));
    assert_eq!(checkpoint.unverified().tree(), Log::of_size(7).frontier.head());
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = Hash::of_record(b"");
    let empty = Hash::of_empty_tree();
    let line = CheckpointError::Line;
    for (text, error) in [
        (String::new(), line(1)),
        ("\n".into(), line(1)),
        ("a".into(), line(1)),
        ("a\n".into(), line(2)),
        ("a\n1\n".into(), line(3)),
        (format!("a\n1\n{root}"), line(3)),
        (format!("\n1\n{root}\n"), line(1)),
        (format!("a\u{85}\n1\n{root}\n"), line(1)),
        (format!("a\n\n{root}\n"), line(2)),
        (format!("a\n01\n{root}\n"), line(2)),
        (format!("a\n+1\n{root}\n"), line(2)),
        (format!("a\n-1\n{root}\n"), line(2)),
        (format!("a\n1 \n{root}\n"), line(2)),
        (format!("a\n0x1\n{root}\n"), line(2)),
        (format!("a\n18446744073709551616\n{root}\n"), line(2)),
        (format!("a\n1\n{root} \n"), line(3)),
        (format!("a\n1\n{}\n", &root.to_string()[..40]), line(3)),
        (format!("a\n1\n{root}\n\n"), line(4)),
        (format!("a\n1\n{root}\nb\n\n"), line(5)),
        (format!("a\n0\n{root}\n"), CheckpointError::EmptyRoot),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
    let largest = format!("a b\n{}\n{root}\n1\n2\n", u64::MAX);
    let read = Checkpoint::parse(&largest).unwrap();
    assert_eq!((read.origin(), read.tree().size, read.to_string()), ("a b", u64::MAX, largest));
    assert_eq!(read.extensions(), ["1", "2"]);
    assert!(Checkpoint::new("a", TreeHead { size: 0, root: empty }).is_ok());
    for origin in ["", "a\nb", "a\n", "a\tb"] {
        assert!(Checkpoint::new(origin, TreeHead { size: 1, root }).is_err(), "{origin:?}");
    }
}

/// A signature over a text that is no checkpoint makes it none.
#[test]
fn a_signed_note_that_is_no_checkpoint_is_refused() {
    let note = Note::sign("a\n01\nb\n", &[signer(ORIGIN, 1)]).unwrap().to_string();
    assert_eq!(SignedCheckpoint::parse(note.as_bytes()), Err(CheckpointError::Line(2)));
}

#[test]
fn a_file_of_checkpoints_is_divided() {
    let texts: Vec<String> = (1..4).map(|size| signed(&Log::of_size(size)).to_string()).collect();
    let file = texts.concat();
    let expected = vec![(1, &*texts[0]), (6, &*texts[1]), (11, &*texts[2])];
    assert_eq!(split_checkpoints(&file), expected);
    assert_eq!(split_checkpoints(&texts.join("\n\n")).len(), 3);
    assert_eq!(split_checkpoints(""), []);
    // The last one is cut off: the others are as they were, and it is refused.
    for length in 1..texts[2].len() {
        // Not in the middle of the dash.
        let Some(cut) = file.get(..file.len() - texts[2].len() + length) else { continue };
        let found = split_checkpoints(cut);
        assert_eq!(found[..2], expected[..2], "{length}");
        assert!(SignedCheckpoint::parse(found[2].1.as_bytes()).is_err(), "{length}");
    }
}

#[test]
fn a_proof_of_a_record_with_any_byte_changed_is_refused() {
    for (size, index) in [(1, 0), (7, 6), (300, 256)] {
        let log = Log::of_size(size);
        let text = tlog_proof(&log, index, None).to_string();
        let read = |bytes: &[u8]| TlogProof::parse(bytes)?.verify(&record(index), ORIGIN, &known()).cloned();
        assert_eq!(read(text.as_bytes()).unwrap(), log.checkpoint(ORIGIN));
        for changed in every_byte_changed(&text) {
            assert!(read(&changed).is_err(), "{}", changed.escape_ascii());
        }
        for length in 0..text.len() {
            assert!(read(&text.as_bytes()[..length]).is_err(), "{length} bytes");
        }
        for other in unsigned_spellings(&text) {
            assert!(read(other.as_bytes()).is_err(), "{other:?}");
        }
    }
}

#[test]
fn a_proof_is_of_one_record_in_one_log() {
    let log = Log::of_size(7);
    let proof = tlog_proof(&log, 2, Some(b"beside"));
    assert_eq!(TlogProof::parse(proof.to_string().as_bytes()).as_ref(), Ok(&proof));
    let verify = |proof: &TlogProof, index| proof.verify(&record(index), ORIGIN, &known()).map(|_| ());
    assert_eq!(verify(&proof, 2), Ok(()));
    assert_eq!(verify(&proof, 3), Err(ProofTextError::Proof(ProofError::Record)));
    let changed = |change: &dyn Fn(&mut TlogProof)| {
        let mut other = proof.clone();
        change(&mut other);
        verify(&other, 2)
    };
    assert_eq!(changed(&|proof| proof.extra = None), Ok(()));
    assert_eq!(changed(&|proof| proof.index = 3), Err(ProofTextError::Proof(ProofError::Record)));
    assert!(changed(&|proof| proof.index = 7).is_err());
    assert!(changed(&|proof| proof.hashes.push(Hash::of_empty_tree())).is_err());
    assert!(changed(&|proof| proof.hashes.swap(0, 1)).is_err());
    assert!(changed(&|proof| proof.checkpoint = signed(&Log::of_size(8))).is_err());
    let other_origin = proof.verify(&record(2), "another", &known());
    assert!(matches!(other_origin, Err(ProofTextError::Checkpoint(CheckpointError::Origin { .. }))));
}

#[test]
fn what_is_no_proof_is_refused() {
    let checkpoint = signed(&Log::of_size(1)).to_string();
    let (header, hash) = ("c2sp.org/tlog-proof@v1", Hash::of_empty_tree());
    for (head, line) in [
        (String::new(), 1),
        ("index 0".into(), 1),
        ("c2sp.org/tlog-proof@v2\nindex 0".into(), 1),
        (header.into(), 2),
        (format!("{header}\nindex"), 2),
        (format!("{header}\nindex 00"), 2),
        (format!("{header}\nindex -1"), 2),
        (format!("{header}\nIndex 0"), 2),
        (format!("{header}\nextra \nindex 0"), 2),
        (format!("{header}\nextra AAAAA\nindex 0"), 2),
        (format!("{header}\nextra AAAA"), 3),
        (format!("{header}\nextra AAAA\nextra AAAA\nindex 0"), 3),
        (format!("{header}\nindex 0\nextra AAAA"), 3),
        (format!("{header}\nindex 0\n{hash} "), 3),
        (format!("{header}\nindex 0\n{hash}\r"), 3),
        (format!("{header}\nindex 0{}", format!("\n{hash}").repeat(65)), 67),
    ] {
        let text = format!("{head}\n\n{checkpoint}");
        assert_eq!(TlogProof::parse(text.as_bytes()), Err(ProofTextError::Line(line)), "{text:?}");
    }
    let most = format!("{header}\nindex 0{}\n\n{checkpoint}", format!("\n{hash}").repeat(64));
    assert!(TlogProof::parse(most.as_bytes()).is_ok());
    let more_lines = format!("{header}\nindex 0\n\n\n{checkpoint}");
    assert!(matches!(TlogProof::parse(more_lines.as_bytes()), Err(ProofTextError::Checkpoint(_))));
    assert_eq!(TlogProof::parse(header.as_bytes()), Err(ProofTextError::Line(1)));
    assert_eq!(TlogProof::parse(b"\xff"), Err(ProofTextError::NotText));
    assert_eq!(TlogProof::parse(&vec![b'a'; TlogProof::MAX_LENGTH + 1]), Err(ProofTextError::TooLong));
    for (head, line) in [("", 1), ("old", 1), ("old 01", 1), ("new 1", 1), ("old 1\nx", 2)] {
        let text = format!("{head}\n\n{checkpoint}");
        assert_eq!(ConsistencyProof::parse(text.as_bytes()), Err(ProofTextError::Line(line)), "{text:?}");
    }
}

#[test]
fn a_proof_of_a_tree_with_any_byte_changed_is_refused() {
    for (old, new) in [(1, 2), (3, 7), (256, 300), (7, 7)] {
        let (log, head) = (Log::of_size(new), Log::of_size(old).frontier.head());
        let text = consistency_proof(&log, old).to_string();
        let read = |bytes: &[u8]| ConsistencyProof::parse(bytes)?.verify(head, ORIGIN, &known()).cloned();
        assert_eq!(read(text.as_bytes()).unwrap(), log.checkpoint(ORIGIN));
        for changed in every_byte_changed(&text) {
            assert!(read(&changed).is_err(), "{}", changed.escape_ascii());
        }
        for length in 0..text.len() {
            assert!(read(&text.as_bytes()[..length]).is_err(), "{length} bytes");
        }
        for other in unsigned_spellings(&text) {
            assert!(read(other.as_bytes()).is_err(), "{other:?}");
        }
    }
    let proof = consistency_proof(&Log::of_size(7), 3);
    let verify = |old| proof.verify(old, ORIGIN, &known()).map(|_| ());
    let (right, forked) = (Log::of_size(3).frontier.head(), TreeHead { size: 3, root: Hash::of_empty_tree() });
    assert_eq!(verify(right), Ok(()));
    assert_eq!(verify(forked), Err(ProofTextError::Proof(ProofError::Tree)));
    assert_eq!(verify(TreeHead { size: 4, ..right }), Err(ProofTextError::OldSize { expected: 4, found: 3 }));
}
