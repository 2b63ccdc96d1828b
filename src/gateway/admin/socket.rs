//! The admin socket, `<database file>.sock`: the gateway's side and a command's side. Where gateways share a database, `socket_folder` has
//! the place of it.
//!
//! It has mode 0600 from its first instant, since it is created in a private folder and then moved to its place. Each side asks the
//! system for the account of the other, which must be its own or root.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::error::AdminError;
use super::message::{AdminReply, AdminRequest};
use super::perform::{AdminContext, perform};
use super::running::RunningGateway;
use super::withdraw::withdraw;
use crate::disk::{DiskError, shell_quoted};
use crate::gateway::Store;

/// Longer than any request, in bytes.
const LONGEST_REQUEST: u64 = 2 << 20;
/// No request with the hash of a password is longer, in bytes.
const USUAL_REQUEST: usize = 16 << 10;
/// From the connection to the reply, in the gateway.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Connections at a time; more wait.
const MOST_CONNECTIONS: usize = 16;
/// From connecting to the reply, in a command.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any reply, in bytes.
const LONGEST_REPLY: u64 = 64 << 20;
/// The longest path of a socket that the system takes, in bytes.
pub(super) const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why commands cannot reach this gateway.
#[derive(Debug, Error)]
pub enum AdminSocketError {
    /// Longer than the system allows.
    #[error("the path {} is too long for a socket: {} bytes, at most {LONGEST_PATH}", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// Another file is in its place.
    #[error("cannot create the admin socket: {} exists and is not a socket", .0.display())]
    InTheWay(PathBuf),
    /// There is no folder for it.
    #[error(transparent)]
    Folder(#[from] DiskError),
    /// Another account controls its folder.
    #[error("the folder {} of admin sockets is not used: {reason}", path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// The system refuses.
    #[error("cannot create the admin socket {}: {source}", path.display())]
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
            Self::TooLong(_) => Some("put the database in a folder with a shorter path: --database PATH".to_owned()),
            Self::InTheWay(path) => Some(format!("if nothing needs that file, remove it: rm {}", shell_quoted(path))),
            Self::Folder(error) => error.hint(),
            Self::Unsafe { path, .. } => Some(format!("remove it: rm -r {}", shell_quoted(path))),
            Self::Io { .. } => None,
        }
    }
}

/// The listening socket. Dropping it removes the file.
pub struct AdminSocket {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
    /// Holds the lock on the database as long as the socket exists: only then is it ours to remove. `None` where gateways share a database:
    /// there each has a socket of its own.
    pub(super) store: Option<Arc<dyn Store>>,
}

impl AdminSocket {
    /// Creates the socket beside the database, if that is a file: a command on this machine cannot open it, too. One that a killed gateway left is replaced: an open store holds the lock. Must be called
    /// on a runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`].
    pub fn bind(store: &Arc<dyn Store>) -> Result<Option<Self>, AdminSocketError> {
        let Some(path) = store.file().map(socket_path) else { return Ok(None) };
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
        // Replaces a stale socket in the same step.
        fs::rename(&first, &path).map_err(failed)?;
        Ok(Some(Self { listener, path, store: Some(store.clone()) }))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

/// Answers administrators until it is dropped.
pub async fn serve(socket: AdminSocket, gateway: Arc<RunningGateway>) {
    let (mut callers, is_shared) = (JoinSet::new(), socket.store.is_none());
    loop {
        while callers.len() >= MOST_CONNECTIONS {
            callers.join_next().await;
        }
        tokio::select! {
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(tokio::time::timeout(REQUEST_DEADLINE, answer(stream, gateway.clone(), is_shared)));
                }
                Err(error) => {
                    // Usually out of file descriptors: an immediate retry would only use the processor.
                    tracing::warn!(%error, "admin socket: accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

async fn answer(stream: UnixStream, gateway: Arc<RunningGateway>, is_shared: bool) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    if caller != 0 && caller != own_account() {
        tracing::warn!(uid = caller, "admin socket: another account was refused");
        return Ok(());
    }
    let (reader, mut writer) = stream.into_split();
    // The hash of a password may be in it. Room for all of it at once, so that growing leaves no copies.
    let mut line = Zeroizing::new(Vec::with_capacity(USUAL_REQUEST));
    BufReader::new(reader).take(LONGEST_REQUEST).read_until(b'\n', &mut line).await?;
    let whole = Some(&*line).filter(|line| line.last() == Some(&b'\n'));
    let request = whole.and_then(|line| serde_json::from_slice(line).ok()).ok_or_else(not_understood);
    let context = AdminContext::of(&gateway, gateway.clock.now());
    let text = if is_shared {
        as_line(&withdraw(&gateway, &context, request).await)?
    } else {
        as_line(&match request {
            Ok(request) => perform(&context, request).await,
            Err(error) => Err(error),
        })?
    };
    writer.write_all(&text).await?;
    writer.shutdown().await
}

fn as_line(reply: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(reply)?;
    text.push(b'\n');
    Ok(text)
}

fn not_understood() -> AdminError {
    AdminError::Failed {
        message: "the running gateway does not understand this request".to_owned(),
        hint: Some("it may be of another version than this command: restart it after an update".to_owned()),
    }
}

/// Why there is no reply.
#[derive(Debug, Error)]
pub enum AskError {
    /// No gateway listens there.
    #[error("the gateway is not running")]
    NotRunning,
    /// The connection failed; whether the request was performed is unknown.
    #[error("the gateway at {} does not answer: {reason}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The reply is of another version of the gateway; the request may have been performed.
    #[error("the running gateway sent a reply that this command does not understand")]
    NotUnderstood,
}

/// The socket that belongs to a database file.
pub(super) fn socket_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}

/// Sends a request to the gateway that has this database open, and waits for the reply.
///
/// # Errors
/// [`AskError`]; the reply itself may be an [`AdminError`].
pub async fn ask(database: &Path, request: &AdminRequest) -> Result<Result<AdminReply, AdminError>, AskError> {
    let path = socket_path(database);
    // When root asks, to the account that the gateway runs as.
    let ours = own_account();
    exchange(&path, &path, request, REPLY_DEADLINE, |server| server == ours || server == 0 || ours == 0).await
}

pub(super) fn own_account() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Sends a request to the gateway that listens at `address`, which is `path` in a form that the system takes, if `trusts` its account.
pub(super) async fn exchange<T: DeserializeOwned>(
    address: &Path,
    path: &Path,
    request: &AdminRequest,
    deadline: Duration,
    trusts: impl Fn(u32) -> bool,
) -> Result<T, AskError> {
    let failed = |reason: String| AskError::Failed { path: path.to_owned(), reason };
    let exchange = async {
        let stream = match UnixStream::connect(address).await {
            Ok(stream) => stream,
            // The socket is missing, or a killed gateway left it behind, or its path is too long for a socket.
            Err(error) if is_not_running(&error) => return Err(AskError::NotRunning),
            Err(error) => return Err(failed(error.to_string())),
        };
        let text = send(stream, request, &trusts).await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| match error.is_eof() {
            true => failed("its reply is cut off".to_owned()),
            false => AskError::NotUnderstood,
        })
    };
    tokio::time::timeout(deadline, exchange)
        .await
        .unwrap_or_else(|_| Err(failed(format!("no reply within {} s", deadline.as_secs()))))
}

fn is_not_running(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput | NotADirectory)
}

async fn send(mut stream: UnixStream, request: &AdminRequest, trusts: &impl Fn(u32) -> bool) -> io::Result<Vec<u8>> {
    // A password hash goes to the gateway only.
    let server = stream.peer_cred()?.uid();
    if !trusts(server) {
        let reason = format!("it belongs to another account (user id {server})");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let mut line = Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = Vec::new();
    stream.take(LONGEST_REPLY).read_to_end(&mut text).await?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection, or refuses this account"));
    }
    Ok(text)
}
