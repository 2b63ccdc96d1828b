//! A file of checkpoints, one after the other, as it is kept elsewhere.

use thiserror::Error;

use super::known_tree::KnownTree;
use crate::transparency_log::{CheckpointError, SignedCheckpoint, VerifierKey, split_checkpoints};

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

/// The trees that the checkpoints of a file name, which must all be signed by one of these keys. One that was cut off at the end is left
/// out.
///
/// # Errors
/// [`CheckpointFileError`].
pub fn read_checkpoints(text: &str, keys: &[VerifierKey]) -> Result<Vec<KnownTree>, CheckpointFileError> {
    let all = split_checkpoints(text);
    let (mut known, last) = (Vec::new(), all.len().saturating_sub(1));
    for (number, (line, note)) in all.into_iter().enumerate() {
        let is_cut = number == last && !note.ends_with('\n');
        let read = SignedCheckpoint::parse(note.as_bytes()).and_then(|signed| {
            let origin = signed.unverified().origin().to_owned();
            signed.verify(&origin, keys).map(|checkpoint| (origin.clone(), checkpoint.tree()))
        });
        match read {
            Ok((origin, tree)) => {
                known.push(KnownTree { origin, size: tree.size, root: tree.root, note: Some(note.to_owned()) });
            }
            Err(_) if is_cut && number > 0 => {}
            Err(reason) => return Err(CheckpointFileError::Checkpoint { line, reason }),
        }
    }
    if known.is_empty() { Err(CheckpointFileError::Empty) } else { Ok(known) }
}
