//! For systems without Unix sockets: commands work on the database while the gateway is not running.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::error::AdminError;
use super::message::{AdminReply, AdminRequest, ReplicaReply};
use super::running::RunningGateway;
use crate::gateway::Store;

/// Never happens here.
#[derive(Debug, Error)]
#[error("there is no admin socket on this system")]
pub struct AdminSocketError(Infallible);

impl AdminSocketError {
    /// There is no hint.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Why there is no reply.
#[derive(Debug, Error)]
pub enum AskError {
    /// There is no socket to ask through.
    #[error("the gateway is not running")]
    NotRunning,
}

/// Stands for the socket.
pub struct AdminSocket(());

impl AdminSocket {
    /// Creates nothing.
    ///
    /// # Errors
    /// Never.
    pub fn bind(_store: &Arc<dyn Store>) -> Result<Option<Self>, AdminSocketError> {
        Ok(None)
    }

    /// Creates nothing.
    ///
    /// # Errors
    /// Never.
    pub async fn bind_shared(_folder: &Path) -> Result<Option<Self>, AdminSocketError> {
        Ok(None)
    }
}

/// Waits until it is dropped.
pub async fn serve(_socket: AdminSocket, _gateway: Arc<RunningGateway>) {
    std::future::pending().await
}

/// Asks nothing.
///
/// # Errors
/// Always [`AskError::NotRunning`].
pub async fn ask(_database: &Path, _request: &AdminRequest) -> Result<Result<AdminReply, AdminError>, AskError> {
    Err(AskError::NotRunning)
}

/// Asks nothing.
///
/// # Errors
/// Never.
pub async fn ask_all(
    _folder: &Path,
    _request: &AdminRequest,
) -> Result<Vec<Result<ReplicaReply, AskError>>, AdminSocketError> {
    Ok(Vec::new())
}
