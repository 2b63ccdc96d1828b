//! Names for events that are recorded: if it is unknown whether one was, it is recorded again, and the store tells by its name that it is the
//! same.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Gives every event that is to be recorded a name that no other has.
#[derive(Debug)]
pub struct Attempts {
    /// Of this gateway since its start.
    gateway: Uuid,
    next: AtomicU64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { gateway: Uuid::new_v4(), next: AtomicU64::new(0) }
    }
}

impl Attempts {
    /// The next name.
    pub fn next(&self) -> String {
        format!("{}-{}", self.gateway, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
