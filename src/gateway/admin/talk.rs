//! A command's side of the admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::message::{AdminError, AdminReply, AdminRequest};

/// From connecting to the answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any answer, in bytes.
const LONGEST: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no gateway runs")]
    NotRunning,
    /// It broke off; whether the request was performed is unknown.
    #[error("the gateway at {} does not answer: {reason}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// The socket that belongs to a database file.
pub(super) fn socket_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}

/// Asks the gateway that has this database open.
///
/// # Errors
/// [`AskError`]; the answer itself may be an [`AdminError`].
pub async fn ask(database: &Path, request: &AdminRequest) -> Result<Result<AdminReply, AdminError>, AskError> {
    let path = socket_path(database);
    let failed = |reason: String| AskError::Failed { path: path.clone(), reason };
    let talk = async {
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            // There is none; or it was left by a gateway that was killed; or its path is longer than a socket's can be.
            Err(error) if is_absence(&error) => return Err(AskError::NotRunning),
            Err(error) => return Err(failed(error.to_string())),
        };
        exchange(stream, request).await.map_err(|error| failed(error.to_string()))
    };
    tokio::time::timeout(DEADLINE, talk)
        .await
        .unwrap_or_else(|_| Err(failed(format!("nothing within {} s", DEADLINE.as_secs()))))
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput | NotADirectory)
}

async fn exchange(mut stream: UnixStream, request: &AdminRequest) -> io::Result<Result<AdminReply, AdminError>> {
    // A hash is told to nobody but the gateway: our own account, root, or, when root asks, whoever it runs as.
    let (server, ours) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if server != ours && server != 0 && ours != 0 {
        let reason = format!("it belongs to another account (user id {server})");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let mut line = Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = Vec::new();
    stream.take(LONGEST).read_to_end(&mut text).await?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended, or refuses this account"));
    }
    Ok(serde_json::from_slice(&text)?)
}
