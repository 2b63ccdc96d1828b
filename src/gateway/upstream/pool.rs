//! The connections to the server behind that wait for their next request. Each thread has its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::wire::Wire;
use crate::address::Origin;

/// As many wait on one thread; others are ended.
const MOST: usize = 256;
/// How long one waits.
const IDLE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// Whose they are: the configuration can come to name another server.
    origin: Option<Origin>,
    /// The one that was used last is at the end, and is used next.
    wires: Vec<(Wire, Instant)>,
    /// Somebody ends those that waited too long.
    swept: bool,
}

impl Pool {
    /// One that can be used, if there is any.
    pub fn take(&self, origin: &Origin) -> Option<Wire> {
        let mut waiting = self.lock();
        if waiting.origin.as_ref() != Some(origin) {
            waiting.wires.clear();
            return None;
        }
        let oldest = Instant::now().checked_sub(IDLE);
        while let Some((wire, since)) = waiting.wires.pop() {
            if oldest.is_none_or(|oldest| since >= oldest) && wire.is_quiet() {
                return Some(wire);
            }
        }
        None
    }

    /// Takes back one whose last answer was read to its end.
    pub fn put(&self, origin: &Origin, wire: Wire) {
        let mut waiting = self.lock();
        if waiting.origin.as_ref() != Some(origin) {
            waiting.wires.clear();
            waiting.origin = Some(origin.clone());
        }
        if waiting.wires.len() >= MOST {
            return;
        }
        waiting.wires.push((wire, Instant::now()));
        if !std::mem::replace(&mut waiting.swept, true) {
            tokio::spawn(sweep(self.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what waited too long, until nothing waits any more.
async fn sweep(pool: Pool) {
    loop {
        tokio::time::sleep(IDLE).await;
        let mut waiting = pool.lock();
        let now = Instant::now();
        waiting.wires.retain(|(wire, since)| now.duration_since(*since) < IDLE && wire.is_quiet());
        if waiting.wires.is_empty() {
            waiting.swept = false;
            return;
        }
    }
}
