//! Which tokens this gateway has exchanged for an API key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::gateway::rejection::Rejection;

/// Tokens that are remembered.
const MOST: usize = 100_000;
/// No token is accepted for so long, whatever clock its issuer has.
pub const KEPT: Duration = Duration::from_secs(25 * 60 * 60);

/// The tokens that this gateway has exchanged, and when that was by the time that passes.
#[derive(Default)]
pub struct ExchangedTokens(Mutex<HashMap<[u8; 32], Duration>>);

impl ExchangedTokens {
    /// Takes note of a token; false if it was there.
    pub fn insert(&self, digest: [u8; 32], now: Duration) -> Result<bool, Rejection> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, at| now.saturating_sub(*at) < KEPT);
        }
        if all.len() >= MOST && !all.contains_key(&digest) {
            return Err(Rejection::new(503, "too many tokens were exchanged today").header("retry-after", "600"));
        }
        let is_new = !all.contains_key(&digest);
        all.entry(digest).or_insert(now);
        Ok(is_new)
    }

    /// Forgets it.
    pub fn remove(&self, digest: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_once_until_it_has_surely_ended() {
        let tokens = ExchangedTokens::default();
        let (start, day) = (Duration::ZERO, Duration::from_secs(86_400));
        assert!(tokens.insert([1; 32], start).unwrap() && !tokens.insert([1; 32], day).unwrap());
        tokens.remove(&[1; 32]);
        assert!(tokens.insert([1; 32], day).unwrap());
        let number = |at: usize| {
            let mut digest = [2; 32];
            digest[..8].copy_from_slice(&at.to_le_bytes());
            digest
        };
        for at in 1..MOST {
            assert!(tokens.insert(number(at), day).unwrap());
        }
        assert_eq!(tokens.insert([3; 32], day).unwrap_err().status(), 503);
        assert!(!tokens.insert([1; 32], day).unwrap());
        assert!(tokens.insert([3; 32], day + KEPT).unwrap());
    }
}
