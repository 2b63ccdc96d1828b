//! The credential in use. The files that say which one is stored are looked at before each request, so that a rotation or a
//! new sign-in takes effect without a restart.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::api::Forwarder;
use crate::gateway::Rejection;

/// How long to wait after the stored credential could not be read, before it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// What is stored now.
#[derive(Debug)]
pub enum Stored {
    /// This credential, for the same host.
    Credential(Forwarder),
    /// None: the person signed out. Says so.
    Nothing(String),
    /// It cannot be read now, so the one in use stays.
    Unreadable,
}

/// A question for what is stored now.
pub type StoredQuestion = oneshot::Sender<Stored>;

/// Files, and how they were when they were last looked at.
#[derive(Debug)]
pub struct WatchedFiles(Vec<(PathBuf, Option<FileState>)>);

/// What differs after a file was replaced or changed.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self {
            modified: found.modified().ok(),
            length: found.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&found),
        })
    }
}

impl WatchedFiles {
    /// Looks at the files. To be called before the credential is read.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let look = |path: PathBuf| {
            let state = FileState::of(&path);
            (path, state)
        };
        Self(paths.into_iter().map(look).collect())
    }

    /// Whether one of them has changed since the last look.
    fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, state) in &mut self.0 {
            let now = FileState::of(path);
            changed |= now != *state;
            *state = now;
        }
        changed
    }
}

/// The credential, and where to ask for a newer one.
pub struct CurrentCredential {
    state: Mutex<State>,
    questions: mpsc::Sender<StoredQuestion>,
}

struct State {
    files: WatchedFiles,
    /// The forwarder, or what to say where nothing is stored any more.
    forwarder: Result<Forwarder, String>,
    /// Grows with each credential.
    generation: u64,
    /// When to ask again, after the stored credential could not be read.
    retry_at: Option<Instant>,
}

impl CurrentCredential {
    /// Begins with a credential that was read after `files` were looked at. Whoever holds the receiver answers what is stored.
    pub fn new(files: WatchedFiles, forwarder: Forwarder) -> (Self, mpsc::Receiver<StoredQuestion>) {
        let (questions, receiver) = mpsc::channel(1);
        let state = State { files, forwarder: Ok(forwarder), generation: 0, retry_at: None };
        (Self { state: Mutex::new(state), questions }, receiver)
    }

    /// The forwarder with the credential that is stored now, and the number of that credential.
    ///
    /// # Errors
    /// 502 when none is stored any more.
    pub async fn get(&self) -> Result<(Forwarder, u64), Rejection> {
        // Held while the store is asked: requests that arrive meanwhile need the same answer.
        let mut state = self.state.lock().await;
        if state.files.changed() || state.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.ask(&mut state).await;
        }
        match &state.forwarder {
            Ok(forwarder) => Ok((forwarder.clone(), state.generation)),
            Err(message) => Err(Rejection::new(502, message.clone())),
        }
    }

    async fn ask(&self, state: &mut State) {
        let (question, answer) = oneshot::channel();
        let stored = match self.questions.send(question).await {
            Ok(()) => answer.await.unwrap_or(Stored::Unreadable),
            Err(_) => Stored::Unreadable,
        };
        state.retry_at = None;
        match stored {
            Stored::Credential(forwarder) => {
                state.forwarder = Ok(forwarder);
                state.generation += 1;
            }
            Stored::Nothing(message) => state.forwarder = Err(message),
            Stored::Unreadable => state.retry_at = Some(Instant::now() + RETRY_INTERVAL),
        }
    }
}
