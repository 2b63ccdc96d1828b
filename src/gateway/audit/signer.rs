//! Makes checkpoints: signs what the log is, if it extends all that was signed before.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

use super::key_file::{KeyFileError, read_keys};
use crate::disk::{DiskError, read_private, write_atomic};
use crate::gateway::store::{LogState, Store, StoreError, StoredCheckpoint};
use crate::transparency_log::{Checkpoint, SignedCheckpoint, SignerKey, TreeHead, VerifierKey};

/// So many new records make a checkpoint at once.
const RECORDS: i64 = 1000;
/// Fewer ones after so many seconds.
const PAUSE: i64 = 300;
/// Without any, one is made after so many seconds: it proves that nothing happened.
const DAY: i64 = 86_400;

/// Signs the log of a database.
pub struct Signer {
    /// With the keys. Read each time, since keys are replaced while gateways run.
    key_file: PathBuf,
    /// In which the last checkpoint of each log is kept that this gateway has seen: a database may go back, and this does not.
    folder: PathBuf,
    /// To which each checkpoint is appended.
    copies: Option<PathBuf>,
    /// Whether it was looked whose the last checkpoint is.
    has_looked: AtomicBool,
    problem: Mutex<Option<SigningProblem>>,
}

/// Why nothing is signed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningProblem {
    /// `other-key`, `log-went-back`, `key-file`, `copy` or `failed`.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

/// Why nothing is signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was seen before cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log is not what it was.
    #[error(
        "the event log {origin} does not extend its checkpoint of {size} records: the database went back, or was changed"
    )]
    WentBack {
        /// The origin of the log.
        origin: String,
        /// The size of the checkpoint.
        size: u64,
    },
    /// Another gateway has signed with other keys.
    #[error("the last checkpoint of the event log {0} is signed with another key")]
    OtherKey(String),
    /// A checkpoint was made, and could not be appended.
    #[error("the checkpoint cannot be appended to {}: {reason}", .path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl SignError {
    /// A word for it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Keys(_) => "key-file",
            Self::Store(_) | Self::Disk(_) => "failed",
            Self::WentBack { .. } => "log-went-back",
            Self::OtherKey(_) => "other-key",
            Self::Copy { .. } => "copy",
        }
    }
}

impl Signer {
    /// With the keys of that file. Keeps what it has seen in that folder.
    pub fn new(key_file: PathBuf, folder: PathBuf, copies: Option<PathBuf>) -> Self {
        Self { key_file, folder, copies, has_looked: AtomicBool::new(false), problem: Mutex::default() }
    }

    /// Why the last attempt failed, until one succeeds.
    pub fn problem(&self) -> Option<SigningProblem> {
        lock(&self.problem).clone()
    }

    /// Makes a checkpoint if one is due at that Unix second, or if it is wanted `now`. Returns it.
    ///
    /// # Errors
    /// [`SignError`]. After [`SignError::Copy`] it was made.
    pub async fn sign(
        &self,
        store: &dyn Store,
        at: i64,
        is_wanted: bool,
    ) -> Result<Option<StoredCheckpoint>, SignError> {
        let made = self.try_to_sign(store, at, is_wanted).await;
        let mut problem = lock(&self.problem);
        match &made {
            Ok(Some(_)) => *problem = None,
            // Nothing was due: that says that the database can be read, and nothing of the key or the log.
            Ok(None) if problem.as_ref().is_some_and(|problem| problem.kind == "failed") => *problem = None,
            Ok(None) => {}
            Err(error) => *problem = Some(SigningProblem { kind: error.kind(), message: error.to_string() }),
        }
        drop(problem);
        made
    }

    async fn try_to_sign(
        &self,
        store: &dyn Store,
        at: i64,
        is_wanted: bool,
    ) -> Result<Option<StoredCheckpoint>, SignError> {
        let found = Mutex::new(None);
        let look = |state: &LogState| {
            *lock(&found) = Some(state.clone());
            None
        };
        store.sign_log(&[], &look).await?;
        let Some(state) = lock(&found).take() else { return Ok(None) };
        // A wrong key is to show when the gateway starts, and not when the next checkpoint is due.
        let is_first = !self.has_looked.swap(true, Ordering::Relaxed);
        if !is_wanted && !is_first && !is_due(&state, at, is_wanted) {
            return Ok(None);
        }
        let keys = read_keys(&self.key_file)?;
        let verifiers: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
        let is_foreign = |last: &StoredCheckpoint| tree_of(&last.note, &state.log.origin, &verifiers).is_none();
        if is_first && state.last.as_ref().is_some_and(is_foreign) {
            return Err(SignError::OtherKey(state.log.origin));
        }
        // After a key was added, although nothing else happened since.
        let is_due = |state: &LogState| {
            let lacks = |last: &StoredCheckpoint| signers(&last.note, &verifiers) < keys.len();
            is_due(state, at, is_wanted) || is_wanted && state.last.as_ref().is_some_and(lacks)
        };
        if !is_due(&state) {
            return Ok(None);
        }
        let origin = state.log.origin.clone();
        let seen = self.seen(&origin, &verifiers)?;
        let stored = match &state.last {
            None => None,
            Some(last) => match tree_of(&last.note, &origin, &verifiers) {
                None => return Err(SignError::OtherKey(origin)),
                stored => stored,
            },
        };
        let before: Vec<TreeHead> = seen.into_iter().chain(stored).collect();
        let sizes: Vec<u64> = before.iter().map(|tree| tree.size).collect();
        let lost = Mutex::new(None);
        let sign = |state: &LogState| {
            let differs = before.iter().zip(&state.roots).find(|(tree, root)| **root != Some(tree.root));
            if let Some((tree, _)) = differs {
                *lock(&lost) = Some(tree.size);
                return None;
            }
            checkpoint(&keys, state, at).filter(|_| is_due(state))
        };
        let made = store.sign_log(&sizes, &sign).await?;
        if let Some(size) = lock(&lost).take() {
            return Err(SignError::WentBack { origin, size });
        }
        if let Some(made) = &made {
            write_atomic(&self.seen_file(&origin), made.note.as_bytes())?;
            self.copy(&made.note)?;
        }
        Ok(made)
    }

    /// The tree that this gateway has signed last.
    fn seen(&self, origin: &str, verifiers: &[VerifierKey]) -> Result<Option<TreeHead>, DiskError> {
        let Some(bytes) = read_private(&self.seen_file(origin))? else { return Ok(None) };
        Ok(std::str::from_utf8(&bytes).ok().and_then(|note| tree_of(note, origin, verifiers)))
    }

    fn seen_file(&self, origin: &str) -> PathBuf {
        let name: String = origin.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.folder.join(format!("{name}.checkpoint"))
    }

    fn copy(&self, note: &str) -> Result<(), SignError> {
        let Some(path) = &self.copies else { return Ok(()) };
        append(path, note).map_err(|error| SignError::Copy { path: path.clone(), reason: error.to_string() })
    }
}

fn append(path: &Path, note: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe without a reader is refused instead of waited for.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    // In one piece: several gateways may write.
    file.write_all(note.as_bytes())?;
    file.sync_data()
}

fn checkpoint(keys: &[SignerKey], state: &LogState, at: i64) -> Option<StoredCheckpoint> {
    let tree = state.log.tree.as_ref()?.head();
    let checkpoint = Checkpoint::new(&state.log.origin, tree).ok()?;
    let note = SignedCheckpoint::sign(checkpoint, keys).ok()?.to_string();
    Some(StoredCheckpoint { log: state.log.number, size: state.log.size, made_at: at, note })
}

fn is_due(state: &LogState, at: i64, is_wanted: bool) -> bool {
    let size = state.log.size;
    match &state.last {
        None => size > 0,
        Some(last) => {
            let (grown, age) = (size - last.size, at - last.made_at);
            // A clock that was set back must not keep it from being made.
            grown >= RECORDS || grown > 0 && (!(0..PAUSE).contains(&age) || is_wanted) || age >= DAY
        }
    }
}

/// How many of the keys have signed a checkpoint.
fn signers(note: &str, verifiers: &[VerifierKey]) -> usize {
    let signed = SignedCheckpoint::parse(note.as_bytes()).ok();
    signed.and_then(|signed| signed.signers(verifiers).ok().map(|signers| signers.len())).unwrap_or_default()
}

fn tree_of(note: &str, origin: &str, verifiers: &[VerifierKey]) -> Option<TreeHead> {
    let signed = SignedCheckpoint::parse(note.as_bytes()).ok()?;
    signed.verify(origin, verifiers).ok().map(Checkpoint::tree)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
