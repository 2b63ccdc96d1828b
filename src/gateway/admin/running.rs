//! What administration uses of a gateway that runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::{OpenStreams, Sessions};
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::limits::{Budgets, Limiter};
use crate::gateway::pending_devices::PendingDevices;
use crate::gateway::status::StatusCollector;

/// Makes a checkpoint of the event log at that Unix second; the error is a message.
pub type MakeCheckpoint = Box<dyn Fn(i64) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// See the module.
pub struct RunningGateway {
    /// The accounts, devices and keys.
    pub directory: Directory,
    /// The unknown keys that can be approved.
    pub pending_devices: Arc<PendingDevices>,
    /// The browser sessions.
    pub sessions: Arc<Sessions>,
    /// The responses under way.
    pub streams: Arc<OpenStreams>,
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// Limits how much callers use.
    pub limiter: Arc<Limiter>,
    /// How many tokens are used of budgets.
    pub budgets: Arc<Budgets>,
    /// Signs the event log; empty where nothing is signed.
    pub make_checkpoint: OnceLock<MakeCheckpoint>,
    /// Reports how the gateway is.
    pub status: Arc<StatusCollector>,
    /// The clock.
    pub clock: Clock,
}
