//! A file of checkpoints, one after the other, as it is kept elsewhere.

use thiserror::Error;

use super::known_tree::KnownTree;
use crate::transparency_log::{CheckpointError, NoteError, SignedCheckpoint, VerifierKey, split_checkpoints};

/// Why a file of checkpoints is refused.
#[derive(Debug, Error)]
pub enum CheckpointFileError {
    /// It holds none.
    #[error("it holds no checkpoint")]
    Empty,
    /// One of them is not good.
    #[error("line {line}: {reason}")]
    Checkpoint {
        /// Where it begins.
        line: usize,
        /// What is wrong.
        reason: CheckpointError,
    },
}

/// What a file of checkpoints holds.
#[derive(Debug, Default)]
pub struct CheckpointFile {
    /// The trees that its checkpoints name.
    pub known: Vec<KnownTree>,
    /// How many checkpoints are signed with other keys alone: before a key was replaced, for example. They prove nothing.
    pub unknown_keys: usize,
}

/// Reads the checkpoints of a file that one of these keys has signed. One that was cut off at the end is left out.
///
/// # Errors
/// [`CheckpointFileError`].
pub fn read_checkpoints(text: &str, keys: &[VerifierKey]) -> Result<CheckpointFile, CheckpointFileError> {
    let all = split_checkpoints(text);
    let (mut file, last, mut unknown) = (CheckpointFile::default(), all.len().saturating_sub(1), None);
    for (number, (line, note)) in all.into_iter().enumerate() {
        let is_cut = number == last && !note.ends_with('\n');
        let read = SignedCheckpoint::parse(note.as_bytes()).and_then(|signed| {
            let origin = signed.unverified().origin().to_owned();
            signed.verify(&origin, keys).map(|checkpoint| (origin.clone(), checkpoint.tree()))
        });
        match read {
            Ok((origin, tree)) => {
                file.known.push(KnownTree { origin, size: tree.size, root: tree.root, note: Some(note.to_owned()) });
            }
            Err(_) if is_cut && number > 0 => {}
            Err(reason @ CheckpointError::Note(NoteError::NotSigned)) => {
                file.unknown_keys += 1;
                unknown.get_or_insert(CheckpointFileError::Checkpoint { line, reason });
            }
            Err(reason) => return Err(CheckpointFileError::Checkpoint { line, reason }),
        }
    }
    match unknown {
        _ if !file.known.is_empty() => Ok(file),
        Some(unknown) => Err(unknown),
        None => Err(CheckpointFileError::Empty),
    }
}
