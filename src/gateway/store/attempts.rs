//! Limits that all gateways on one database count together.

use std::time::Duration;

/// How often something may be tried.
#[derive(Clone, Debug)]
pub struct AttemptLimit {
    /// What is counted: a keyed hash, since people type passwords where a name belongs.
    pub digest: [u8; 32],
    /// So many at once.
    pub burst: u32,
    /// And from then on one in this time.
    pub period: Duration,
    /// Does not count while this one is trusted.
    pub unless: Option<[u8; 32]>,
}
