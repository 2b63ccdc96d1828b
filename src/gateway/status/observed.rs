//! What parts of a gateway have a status report know of them: each says where that is to be found, once it is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::report::{SigningStatus, Usage};
use crate::gateway::audit::{Signer, SinkState, SinkStates};

/// Whether checkpoints of the event log are signed.
#[derive(Clone)]
pub enum Signing {
    /// By that signer.
    By(Arc<Signer>),
    /// They are to be, and cannot; with the reason.
    Failed(String),
}

/// See the module.
#[derive(Default)]
pub struct Observed(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    certificate: Option<i64>,
    connections: Option<(Arc<Semaphore>, usize)>,
    signing: Option<Signing>,
    sinks: Option<SinkStates>,
}

impl Observed {
    /// The certificate in use expires at that Unix second; `None` without one.
    pub fn set_certificate(&self, not_after: Option<i64>) {
        self.lock().certificate = not_after;
    }

    /// Each connection holds one of these permits, of so many, and who accepts the next one.
    pub fn set_connections(&self, permits: Arc<Semaphore>, limit: usize) {
        self.lock().connections = Some((permits, limit));
    }

    /// Checkpoints are signed.
    pub fn set_signing(&self, signing: Signing) {
        self.lock().signing = Some(signing);
    }

    /// There are sinks.
    pub fn set_sinks(&self, sinks: SinkStates) {
        self.lock().sinks = Some(sinks);
    }

    /// When the certificate in use expires.
    pub(super) fn certificate(&self) -> Option<i64> {
        self.lock().certificate
    }

    pub(super) fn connections(&self) -> Option<Usage> {
        let parts = self.lock();
        let (permits, limit) = parts.connections.as_ref()?;
        // One permit is held for the next caller.
        let used = limit.saturating_sub(permits.available_permits()).saturating_sub(1);
        Some(Usage { used: used as u64, limit: *limit as u64 })
    }

    pub(super) fn signing(&self) -> SigningStatus {
        let problem = |kind: &str, message: String| SigningStatus {
            on: true,
            problem: Some(kind.to_owned()),
            message: Some(message),
        };
        match self.lock().signing.as_ref() {
            None => SigningStatus::default(),
            Some(Signing::Failed(message)) => problem("key-file", message.clone()),
            Some(Signing::By(signer)) => match signer.problem() {
                None => SigningStatus { on: true, ..SigningStatus::default() },
                Some(found) => problem(found.kind, found.message),
            },
        }
    }

    pub(super) fn sinks(&self) -> Vec<SinkState> {
        self.lock().sinks.as_ref().map(SinkStates::all).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
