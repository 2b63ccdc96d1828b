//! Proofs as texts that can be checked without the log: a few lines, the hashes, an empty line and a signed checkpoint.
//!
//! - [`TlogProof`], that a record is in the log: <https://c2sp.org/tlog-proof>.
//! - [`ConsistencyProof`], that the log extends an earlier checkpoint: what is sent to a witness (<https://c2sp.org/tlog-witness>).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, decimal};
use super::frontier::TreeHead;
use super::hash::Hash;
use super::note_key::VerifierKey;
use super::proof::{ProofError, verify_consistency, verify_inclusion};

/// The first line of a proof of a record.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// More hashes than a tree has levels prove nothing.
const MAX_HASHES: usize = 64;

/// Why the text of a proof is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofTextError {
    /// Longer than any proof.
    #[error("the proof is longer than {} bytes", TlogProof::MAX_LENGTH)]
    TooLong,
    /// A text and nothing else.
    #[error("the proof is not UTF-8")]
    NotText,
    /// A line is missing, too many, or not what it should be.
    #[error("line {0} of the proof is not as expected")]
    Line(usize),
    /// The checkpoint is not one of this log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is good, and something else was changed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// It begins at another checkpoint.
    #[error("the proof is for a checkpoint of size {found}, not of size {expected}")]
    OldSize {
        /// The size of the checkpoint that was given.
        expected: u64,
        /// The size that the proof is for.
        found: u64,
    },
}

/// A proof that a record is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Whatever the log wants to say beside; nothing proves it.
    pub extra: Option<Vec<u8>>,
    /// The record's index.
    pub index: u64,
    /// The inclusion proof.
    pub hashes: Vec<Hash>,
    /// The checkpoint that it leads to.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// The longest text of a proof that is read, in bytes.
    pub const MAX_LENGTH: usize = 2_000_000;

    /// Reads a proof. Nothing is checked but its form.
    ///
    /// # Errors
    /// [`ProofTextError`] for anything that is not written exactly as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofTextError> {
        let (head, checkpoint) = divide(bytes)?;
        let mut lines = Lines::new(head);
        if lines.next() != Some(HEADER) {
            return Err(lines.wrong());
        }
        let mut line = lines.next();
        let mut extra = None;
        if let Some(text) = line.and_then(|line| line.strip_prefix("extra ")) {
            let data = STANDARD.decode(text).ok().filter(|data| !data.is_empty());
            extra = Some(data.ok_or_else(|| lines.wrong())?);
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(decimal).ok_or_else(|| lines.wrong())?;
        let hashes = lines.hashes()?;
        Ok(Self { extra, index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }

    /// The checkpoint, if this proves that the record is in the log with that name, by a checkpoint that one of the keys has signed.
    ///
    /// # Errors
    /// [`ProofTextError::Checkpoint`] or [`ProofTextError::Proof`].
    pub fn verify(&self, record: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<&Checkpoint, ProofTextError> {
        let checkpoint = self.checkpoint.verify(origin, keys)?;
        verify_inclusion(Hash::of_record(record), self.index, checkpoint.tree(), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// A proof that a log extends what it was at an earlier checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The size of the earlier checkpoint.
    pub old_size: u64,
    /// The consistency proof.
    pub hashes: Vec<Hash>,
    /// The later checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl ConsistencyProof {
    /// Reads a proof. Nothing is checked but its form.
    ///
    /// # Errors
    /// [`ProofTextError`] for anything that is not written exactly as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofTextError> {
        let (head, checkpoint) = divide(bytes)?;
        let mut lines = Lines::new(head);
        let line = lines.next();
        let old_size =
            line.and_then(|line| line.strip_prefix("old ")).and_then(decimal).ok_or_else(|| lines.wrong())?;
        let hashes = lines.hashes()?;
        Ok(Self { old_size, hashes, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }

    /// The later checkpoint, if this proves that the log with that name extends `old`, by a checkpoint that one of the keys has signed.
    /// Where `old` is from is for the caller to know.
    ///
    /// # Errors
    /// [`ProofTextError::Checkpoint`], [`ProofTextError::OldSize`] or [`ProofTextError::Proof`].
    pub fn verify(&self, old: TreeHead, origin: &str, keys: &[VerifierKey]) -> Result<&Checkpoint, ProofTextError> {
        let checkpoint = self.checkpoint.verify(origin, keys)?;
        if self.old_size != old.size {
            return Err(ProofTextError::OldSize { expected: old.size, found: self.old_size });
        }
        verify_consistency(old, checkpoint.tree(), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// What is before the first empty line, and the checkpoint behind it.
fn divide(bytes: &[u8]) -> Result<(&str, &str), ProofTextError> {
    if bytes.len() > TlogProof::MAX_LENGTH {
        return Err(ProofTextError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ProofTextError::NotText)?;
    text.split_once("\n\n").ok_or_else(|| ProofTextError::Line(text.split('\n').count()))
}

/// Lines, and which one was read last.
struct Lines<'a> {
    lines: std::str::Split<'a, char>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.split('\n'), number: 0 }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.number += 1;
        self.lines.next()
    }

    /// That the line that was read last is wrong.
    fn wrong(&self) -> ProofTextError {
        ProofTextError::Line(self.number)
    }

    /// All lines that are left.
    fn hashes(&mut self) -> Result<Vec<Hash>, ProofTextError> {
        let mut hashes = Vec::new();
        while let Some(line) = self.next() {
            if hashes.len() == MAX_HASHES {
                return Err(self.wrong());
            }
            hashes.push(Hash::from_base64(line).ok_or_else(|| self.wrong())?);
        }
        Ok(hashes)
    }
}
