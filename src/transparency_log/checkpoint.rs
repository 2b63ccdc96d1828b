//! Checkpoints (<https://c2sp.org/tlog-checkpoint>): what a log commits itself to by signing it.
//!
//! ```text
//! ORIGIN
//! SIZE
//! ROOT
//!
//! — NAME BASE64
//! ```

use std::fmt;

use super::frontier::TreeHead;
use super::hash::Hash;
use super::note::{Note, NoteError, SIGNATURE_PREFIX};
use super::note_key::{SignerKey, VerifierKey};

/// Why a checkpoint is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not even a signed note, or one with wrong signatures.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line is missing, empty, or not what it should be.
    #[error("line {0} of the checkpoint is not as expected: they are the origin, the size and the root")]
    Line(usize),
    /// A tree without records has one root only.
    #[error("the checkpoint of an empty log has another root than that of an empty log")]
    EmptyRoot,
    /// It is of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Origin {
        /// The log that was asked for.
        expected: String,
        /// The log that it is of.
        found: String,
    },
}

/// The state of a log at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    tree: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of the log with that name.
    ///
    /// # Errors
    /// [`CheckpointError`] when the origin does not fit on a line, and for an empty tree with another root.
    pub fn new(origin: &str, tree: TreeHead) -> Result<Self, CheckpointError> {
        Self::parse(&Self { origin: origin.to_owned(), tree, extensions: Vec::new() }.to_string())
    }

    /// Reads the text of a checkpoint, without signatures.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that is not written exactly as the specification says.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let count = text.matches('\n').count();
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Line(count + 1))?;
        let mut lines = lines.split('\n').enumerate().map(|(at, line)| {
            let is_good = !line.is_empty() && !line.contains(char::is_control);
            if is_good { Ok(line) } else { Err(CheckpointError::Line(at + 1)) }
        });
        let mut line = |number| lines.next().unwrap_or(Err(CheckpointError::Line(number)));
        let origin = line(1)?.to_owned();
        let size = decimal(line(2)?).ok_or(CheckpointError::Line(2))?;
        let root = Hash::from_base64(line(3)?).ok_or(CheckpointError::Line(3))?;
        if size == 0 && root != Hash::of_empty_tree() {
            return Err(CheckpointError::EmptyRoot);
        }
        let extensions = lines.map(|line| line.map(str::to_owned)).collect::<Result<_, _>>()?;
        Ok(Self { origin, tree: TreeHead { size, root }, extensions })
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its size and root.
    pub fn tree(&self) -> TreeHead {
        self.tree
    }

    /// Lines without a meaning here, which other logs may add.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.tree.size, self.tree.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

impl SignedCheckpoint {
    /// Signs a checkpoint with each of the keys. Who signs must know that the tree extends every tree that was signed before.
    ///
    /// # Errors
    /// [`NoteError`] as [`Note::sign`].
    pub fn sign(checkpoint: Checkpoint, keys: &[SignerKey]) -> Result<Self, NoteError> {
        Ok(Self { note: Note::sign(&checkpoint.to_string(), keys)?, checkpoint })
    }

    /// Reads a signed checkpoint. Its signatures are not checked.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that is not written exactly as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { note, checkpoint })
    }

    /// The checkpoint, if it is of that log and one of the keys has signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] as [`Note::verify`]; [`CheckpointError::Origin`].
    pub fn verify(&self, origin: &str, keys: &[VerifierKey]) -> Result<&Checkpoint, CheckpointError> {
        self.signers(keys)?;
        if self.checkpoint.origin != origin {
            let (expected, found) = (origin.to_owned(), self.checkpoint.origin.clone());
            return Err(CheckpointError::Origin { expected, found });
        }
        Ok(&self.checkpoint)
    }

    /// The known keys that have signed it.
    ///
    /// # Errors
    /// [`NoteError`] as [`Note::verify`].
    pub fn signers<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        self.note.verify(known)
    }

    /// What it says, without a check whether any key has signed it: to choose the keys, or to name it in a message.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// The signed note.
impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// The signed checkpoints of a file to which one was appended after the other, each with the number of its first line, from 1. They are
/// not read yet: the last one may be cut off. Empty lines between them are left out.
pub fn split_checkpoints(text: &str) -> Vec<(usize, &str)> {
    let mut found: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    let (mut at, mut is_open, mut has_signature) = (0, false, false);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        let is_signature = line.starts_with(SIGNATURE_PREFIX);
        if is_open && has_signature && !is_signature {
            is_open = false;
        }
        if is_open {
            if let Some((_, range)) = found.last_mut() {
                range.end = end;
            }
            has_signature |= is_signature;
        } else if line != "\n" {
            found.push((number + 1, at..end));
            (is_open, has_signature) = (true, is_signature);
        }
        at = end;
    }
    found.into_iter().map(|(number, range)| (number, &text[range])).collect()
}

/// A number in its one spelling: digits without a zero before them.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number = text.parse().ok()?;
    // `parse` takes a plus sign and zeros too.
    (u64::to_string(&number) == text).then_some(number)
}
