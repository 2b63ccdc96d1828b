//! The connections to the upstream server that wait for their next request. Each thread has its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::address::Origin;

/// As many wait on one thread; others are ended.
const MOST: usize = 256;
/// How long one waits.
const IDLE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<IdleConnections>>);

#[derive(Default)]
struct IdleConnections {
    /// Whose they are: the configuration can come to name another server.
    origin: Option<Origin>,
    /// How many servers there were before that one.
    number: u64,
    /// The one that was used last is at the end, and is used next.
    connections: Vec<(Connection, Instant)>,
    /// Somebody ends those that waited too long.
    sweeping: bool,
}

/// Where a connection goes back to.
pub struct PoolHandle {
    pool: Pool,
    number: u64,
}

impl Pool {
    /// The place of a connection to that server, and one that can be used if there is any.
    pub fn take(&self, origin: &Origin) -> (PoolHandle, Option<Connection>) {
        let mut waiting = self.lock();
        if waiting.origin.as_ref() != Some(origin) {
            waiting.connections.clear();
            waiting.origin = Some(origin.clone());
            waiting.number += 1;
        }
        let place = PoolHandle { pool: self.clone(), number: waiting.number };
        let oldest = Instant::now().checked_sub(IDLE);
        while let Some((connection, since)) = waiting.connections.pop() {
            if oldest.is_none_or(|oldest| since >= oldest) && connection.is_quiet() {
                return (place, Some(connection));
            }
        }
        (place, None)
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolHandle {
    /// Takes back a connection whose last answer was read to its end.
    pub fn put(self, connection: Connection) {
        let mut waiting = self.pool.lock();
        if waiting.number != self.number || waiting.connections.len() >= MOST {
            return;
        }
        waiting.connections.push((connection, Instant::now()));
        if !std::mem::replace(&mut waiting.sweeping, true) {
            tokio::spawn(sweep(self.pool.clone()));
        }
    }
}

/// Ends what waited too long, until nothing waits any more.
async fn sweep(pool: Pool) {
    loop {
        tokio::time::sleep(IDLE).await;
        let mut waiting = pool.lock();
        let now = Instant::now();
        waiting.connections.retain(|(connection, since)| now.duration_since(*since) < IDLE && connection.is_quiet());
        if waiting.connections.is_empty() {
            waiting.sweeping = false;
            return;
        }
    }
}
