//! The gateway's side of the admin socket, `<database file>.sock`.
//!
//! It is 0600 from its first instant, since it is made in a private folder and then moved to its place; and each caller is
//! asked the system for its account, which must be ours or root.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::message::{AdminError, AdminReply, AdminRequest};
use super::perform::{AdminContext, perform};
use super::talk::socket_path;
use crate::gateway::{Gateway, SqliteStore};

/// Longer than any request, in bytes.
const LONGEST: u64 = 16 << 10;
/// From the first byte to the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// ConnectionSlots at a time; more wait.
const MOST: usize = 16;
/// As many bytes has the system for a path, without the zero at its end.
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why commands cannot reach this gateway.
#[derive(Debug, Error)]
pub enum AdminSocketError {
    /// The system has room for so many bytes only.
    #[error("the path {} is too long for a socket: {} bytes of at most {LONGEST_PATH}", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// Something that is no socket is in its place.
    #[error("{} is in the way: it is no socket", .0.display())]
    InTheWay(PathBuf),
    /// The system refuses.
    #[error("cannot make the socket {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AdminSocketError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong(_) => Some("put the database in a folder with a shorter path: --database".to_owned()),
            Self::InTheWay(path) => Some(format!("move {} away if nothing needs it", path.display())),
            Self::Io { .. } => None,
        }
    }
}

/// The socket in its place. Dropping it takes it away.
pub struct AdminSocket {
    listener: UnixListener,
    pub(super) path: PathBuf,
    // Holds the lock on the database while the socket is there: only so it is ours to remove.
    _store: Arc<SqliteStore>,
}

impl AdminSocket {
    /// Makes the socket beside the database. One that a killed gateway left is replaced: whoever has the store open has the lock.
    /// Must be called on a runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`].
    pub fn bind(store: &Arc<SqliteStore>) -> Result<Self, AdminSocketError> {
        let path = socket_path(store.path());
        let failed = |source| AdminSocketError::Io { path: path.clone(), source };
        if fs::symlink_metadata(&path).is_ok_and(|found| !is_socket(&found)) {
            return Err(AdminSocketError::InTheWay(path));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let private =
            tempfile::Builder::new().prefix(".").permissions(Permissions::from_mode(0o700)).tempdir_in(folder);
        let private = private.map_err(failed)?;
        let first = private.path().join("s");
        if let Some(long) = [&path, &first].into_iter().find(|path| path.as_os_str().len() > LONGEST_PATH) {
            return Err(AdminSocketError::TooLong(long.clone()));
        }
        let listener = UnixListener::bind(&first).map_err(failed)?;
        fs::set_permissions(&first, Permissions::from_mode(0o600)).map_err(failed)?;
        // Takes the place of a stale one in the same step.
        fs::rename(&first, &path).map_err(failed)?;
        Ok(Self { listener, path, _store: store.clone() })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

/// Answers administrators until it is dropped.
pub async fn serve(socket: AdminSocket, gateway: Arc<Gateway>) {
    let mut callers = JoinSet::new();
    loop {
        while callers.len() >= MOST {
            callers.join_next().await;
        }
        tokio::select! {
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(tokio::time::timeout(DEADLINE, answer(stream, gateway.clone())));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would only burn time.
                    tracing::warn!(%error, "the admin socket takes no caller");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

async fn answer(stream: UnixStream, gateway: Arc<Gateway>) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    if caller != 0 && caller != rustix::process::geteuid().as_raw() {
        tracing::warn!(caller, "another account is refused at the admin socket");
        return Ok(());
    }
    let (reader, mut writer) = stream.into_split();
    // The hash of a password may be in it. Room for all of it at once, so that growing leaves no copies.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    BufReader::new(reader).take(LONGEST).read_until(b'\n', &mut line).await?;
    let reply = if line.last() == Some(&b'\n') { obey(&line, &gateway).await } else { Err(not_understood()) };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    writer.shutdown().await
}

async fn obey(line: &[u8], gateway: &Gateway) -> Result<AdminReply, AdminError> {
    let request: AdminRequest = serde_json::from_slice(line).map_err(|_| not_understood())?;
    perform(&AdminContext::of(gateway, gateway.clock.now()), request).await
}

fn not_understood() -> AdminError {
    AdminError::Failed {
        message: "the running gateway does not understand this request".to_owned(),
        hint: Some("it may be of another version than this command: restart it after an update".to_owned()),
    }
}
