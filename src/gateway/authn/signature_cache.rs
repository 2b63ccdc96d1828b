//! Signatures that were verified lately. A client that asks for the same thing again within a second sends the same signature again
//! (measured: its time is in seconds, and Ed25519 leaves nothing to chance), and verifying one costs more than all else that is done for a
//! request.
//!
//! What is kept says that this very header proves that very request, and nothing else: whether its time is now, whose device it is and
//! whether it was used already is asked each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::signature::Proof;
use crate::gateway::target::Target;

/// As many are kept. Beyond it all are forgotten, which costs a verification each.
const MOST: usize = 8192;

/// A header and the request that it came with, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim([u8; 32]);

impl Claim {
    /// Of a request.
    pub fn new(header: &str, target: &Target<'_>) -> Self {
        let mut digest = Sha256::new();
        // Each with its length, so that no two requests are written the same.
        for part in [header, target.method, target.path, target.query.unwrap_or_default()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct SignatureCache(Mutex<HashMap<Claim, Proof>>);

impl SignatureCache {
    /// What was proven by it.
    pub fn get(&self, claim: &Claim) -> Option<Proof> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(claim).cloned()
    }

    /// Keeps what was verified. Only for devices that are known: a stranger's keys are not to fill it.
    pub fn insert(&self, claim: Claim, proof: Proof) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(claim, proof);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_of_one_request() {
        let claim = |header, method, path, query| Claim::new(header, &Target { method, path, query });
        let one = claim("a:b", "GET", "/api/tags", Some("ts=1"));
        assert_eq!(one, claim("a:b", "GET", "/api/tags", Some("ts=1")));
        for other in [
            claim("a:c", "GET", "/api/tags", Some("ts=1")),
            claim("a:b", "POST", "/api/tags", Some("ts=1")),
            claim("a:b", "GET", "/api/tag", Some("sts=1")),
            claim("a:b", "GET", "/api/tags", Some("ts=2")),
            claim("a:bG", "ET", "/api/tags", Some("ts=1")),
        ] {
            assert_ne!(one, other);
        }
    }
}
