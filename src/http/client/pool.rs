//! Idle connections, kept for the next request to the same server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::address::Origin;

/// The most idle connections of one pool; others are closed.
const MAX_IDLE: usize = 256;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The idle connections to one server.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<IdleConnections>>);

#[derive(Default)]
struct IdleConnections {
    /// Their server: a reload of the configuration can name another one.
    origin: Option<Origin>,
    /// Counts the changes of the server.
    generation: u64,
    /// The connection that was used last is at the end, and is used next.
    connections: Vec<(Connection, Instant)>,
    /// A task closes connections that were idle for too long.
    sweeping: bool,
}

/// Returns a connection to the pool that it belongs to.
pub struct PoolHandle {
    pool: Pool,
    generation: u64,
}

impl Pool {
    /// An idle connection to that server, if there is one, and the handle to return this or another connection with.
    pub fn checkout(&self, origin: &Origin) -> (PoolHandle, Option<Connection>) {
        let mut idle = self.lock();
        if idle.origin.as_ref() != Some(origin) {
            idle.connections.clear();
            idle.origin = Some(origin.clone());
            idle.generation += 1;
        }
        let handle = PoolHandle { pool: self.clone(), generation: idle.generation };
        let oldest = Instant::now().checked_sub(IDLE_TIMEOUT);
        while let Some((connection, since)) = idle.connections.pop() {
            if oldest.is_none_or(|oldest| since >= oldest) && connection.is_idle() {
                return (handle, Some(connection));
            }
        }
        (handle, None)
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolHandle {
    /// Returns a connection whose last response was read to its end.
    pub fn put_back(self, connection: Connection) {
        let mut idle = self.pool.lock();
        if idle.generation != self.generation || idle.connections.len() >= MAX_IDLE {
            return;
        }
        idle.connections.push((connection, Instant::now()));
        if !std::mem::replace(&mut idle.sweeping, true) {
            tokio::spawn(sweep(self.pool.clone()));
        }
    }
}

/// Closes connections that were idle for too long, until none is left.
async fn sweep(pool: Pool) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let mut idle = pool.lock();
        let now = Instant::now();
        idle.connections
            .retain(|(connection, since)| now.duration_since(*since) < IDLE_TIMEOUT && connection.is_idle());
        if idle.connections.is_empty() {
            idle.sweeping = false;
            return;
        }
    }
}
