//! Tokens that were verified lately: verifying one costs more than all else that is done for a request.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::gateway::clock::Moment;
use crate::gateway::oidc::Issuers;
use crate::gateway::workload::{WorkloadToken, Workloads};

/// The size of the cache. When it is full it is cleared, which costs one verification for each entry.
const MOST: usize = 4096;
/// An entry is not used for longer: then the keys of its issuer are looked at again.
const LONGEST: Duration = Duration::from_secs(300);

/// An entry says that this very token has a good signature and that a rule accepts it, as long as keys and rules are the same. It is kept
/// by the token's digest.
#[derive(Default)]
pub struct TokenCache(RwLock<HashMap<[u8; 32], Entry>>);

struct Entry {
    token: Arc<WorkloadToken>,
    workloads: Workloads,
    since: Duration,
}

/// The name of a token in the cache.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl TokenCache {
    /// What was verified, if it still counts by these rules and at that moment.
    pub fn get(
        &self,
        digest: &[u8; 32],
        workloads: &Workloads,
        issuers: &Issuers,
        moment: Moment,
    ) -> Option<Arc<WorkloadToken>> {
        let token = {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let entry = kept.get(digest).filter(|entry| {
                entry.workloads.is_same(workloads)
                    && moment.now < entry.token.expires_at
                    && moment.elapsed.saturating_sub(entry.since) < LONGEST
            })?;
            entry.token.clone()
        };
        (issuers.generation(&token.rule.issuer) == Some(token.verified.generation)).then_some(token)
    }

    /// Keeps what was verified by these rules.
    pub fn insert(&self, digest: [u8; 32], token: Arc<WorkloadToken>, workloads: Workloads, since: Duration) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, entry| entry.workloads.is_same(&workloads) && since.saturating_sub(entry.since) < LONGEST);
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(digest, Entry { token, workloads, since });
    }
}
