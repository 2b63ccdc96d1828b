//! The admin sockets of gateways that share a database: one folder for each database, one socket for each gateway.
//!
//! A gateway that is killed leaves its socket. Nobody listens there, so it does no harm, and the next gateway that starts removes it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use super::message::{AdminRequest, ReplicaReply};
use super::socket::{AdminSocket, AdminSocketError, AskError, LONGEST_PATH, exchange, is_socket, own_account};
use crate::disk::ensure_private_dir;

/// From connecting to the reply, in a command. A gateway replies at once, or after it has tried to store something.
const REPLY_DEADLINE: Duration = Duration::from_secs(20);
/// How long a gateway may take to accept before it counts as one that runs.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(1);

/// An open folder.
struct SocketFolder {
    path: PathBuf,
    /// By which the system finds it however long its path is.
    folder: OwnedFd,
}

impl SocketFolder {
    /// Opens a folder that is this account's alone.
    fn open(path: &Path) -> Result<Self, AdminSocketError> {
        let failed = |source| AdminSocketError::Io { path: path.to_owned(), source };
        let refused = |reason: String| Err(AdminSocketError::Unsafe { path: path.to_owned(), reason });
        if fs::symlink_metadata(path).map_err(failed)?.is_symlink() {
            return refused("it is a symbolic link".to_owned());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let found = rustix::fs::fstat(&folder).map_err(|error| failed(error.into()))?;
        if found.st_uid != own_account() {
            return refused(format!("it belongs to another account (user id {})", found.st_uid));
        }
        if found.st_mode & 0o077 != 0 {
            return refused(format!("it is open to other accounts (mode {:04o})", found.st_mode & 0o7777));
        }
        Ok(Self { path: path.to_owned(), folder })
    }

    /// The sockets in it.
    fn sockets(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.ends_with(".sock")
                && !name.starts_with('.')
                && entry.metadata().is_ok_and(|found| is_socket(&found))
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where a socket in it is, in a form that is short enough for the system.
    fn address(&self, name: &str) -> Result<PathBuf, AdminSocketError> {
        use std::os::fd::AsRawFd as _;
        let path = self.path.join(name);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(path);
        }
        if cfg!(target_os = "linux") {
            return Ok(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()).into());
        }
        Err(AdminSocketError::TooLong(path))
    }

    /// Removes the sockets at which nobody listens any more. A socket has its name only once somebody listens.
    async fn remove_stale(&self) {
        for name in self.sockets().unwrap_or_default() {
            let Ok(address) = self.address(&name) else { continue };
            let connecting = tokio::time::timeout(ACCEPT_DEADLINE, UnixStream::connect(address));
            if matches!(connecting.await, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused) {
                let _ = fs::remove_file(self.path.join(name));
            }
        }
    }
}

impl AdminSocket {
    /// Creates a socket of its own for this gateway in the folder of its database, and removes those that killed gateways left there. Must
    /// be called on a runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`].
    pub async fn bind_shared(path: &Path) -> Result<Option<Self>, AdminSocketError> {
        ensure_private_dir(path)?;
        let folder = SocketFolder::open(path)?;
        folder.remove_stale().await;
        let id = Uuid::new_v4().simple().to_string();
        let name = format!("{}.sock", &id[..12]);
        let (hidden, path) = (format!(".{name}"), folder.path.join(&name));
        let first = folder.path.join(&hidden);
        let failed = |source| AdminSocketError::Io { path: path.clone(), source };
        let listener = UnixListener::bind(folder.address(&hidden)?).map_err(failed)?;
        let placed =
            fs::set_permissions(&first, Permissions::from_mode(0o600)).and_then(|()| fs::rename(&first, &path));
        if let Err(error) = placed {
            let _ = fs::remove_file(&first);
            return Err(failed(error));
        }
        Ok(Some(Self { listener, path, store: None }))
    }
}

/// Sends a request to each gateway that has a socket in the folder, and waits for the replies. An error in their place is of a gateway that
/// does not reply, or of another account's program.
///
/// # Errors
/// [`AdminSocketError`] for a folder that another account controls.
pub async fn ask_all(
    path: &Path,
    request: &AdminRequest,
) -> Result<Vec<Result<ReplicaReply, AskError>>, AdminSocketError> {
    let folder = match SocketFolder::open(path) {
        Err(AdminSocketError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let names = folder.sockets().map_err(|source| AdminSocketError::Io { path: path.to_owned(), source })?;
    let ask = async |name: &String| {
        let socket = folder.path.join(name);
        match folder.address(name) {
            Ok(address) => exchange(&address, &socket, request, REPLY_DEADLINE, |server| server == own_account()).await,
            Err(error) => Err(AskError::Failed { path: socket, reason: error.to_string() }),
        }
    };
    let mut replies = join_all(names.iter().map(ask)).await;
    replies.retain(|reply| !matches!(reply, Err(AskError::NotRunning)));
    Ok(replies)
}
