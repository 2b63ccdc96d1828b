//! What counts once: the state of a sign-in, and the id of a logout token. Gateways on one database know together what was used.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::gateway::directory::Directory;
use crate::gateway::store::StoreError;

/// Entries that are kept. Only what was signed or encrypted for this gateway gets in.
const MOST: usize = 100_000;

/// Whether something was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// It was not.
    First,
    /// It was.
    Again,
    /// There is no room to remember it.
    Full,
}

/// See the module.
#[derive(Default)]
pub struct UsedOnce(Mutex<HashMap<[u8; 32], i64>>);

impl UsedOnce {
    /// Notes that it is used at `now`, and remembers that until `end`, both in Unix seconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note(
        &self,
        directory: &Directory,
        what: &[&str],
        address: IpAddr,
        now: i64,
        end: i64,
    ) -> Result<Once, StoreError> {
        let mut digest = Sha256::new();
        for part in what {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize().into();
        match self.note_here(digest, now, end) {
            Once::First => {}
            not => return Ok(not),
        }
        let kept = Duration::from_secs(u64::try_from(end.saturating_sub(now)).unwrap_or_default().max(1));
        let earlier = directory.use_signature(digest, address, kept).await?;
        Ok(if earlier.is_none() { Once::First } else { Once::Again })
    }

    fn note_here(&self, digest: [u8; 32], now: i64, end: i64) -> Once {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST {
            used.retain(|_, end| *end > now);
        }
        if used.get(&digest).is_some_and(|end| *end > now) {
            return Once::Again;
        }
        // What cannot be remembered is not accepted.
        if used.len() >= MOST {
            return Once::Full;
        }
        used.insert(digest, end);
        Once::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_and_room_is_bounded() {
        let used = UsedOnce::default();
        let note = |digest, now, end| used.note_here(digest, now, end);
        assert_eq!(
            (note([1; 32], 0, 10), note([1; 32], 5, 10), note([2; 32], 5, 10)),
            (Once::First, Once::Again, Once::First)
        );
        for number in 0..MOST {
            let mut digest = [3; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            used.note_here(digest, 5, 10);
        }
        assert_eq!((note([4; 32], 9, 10), note([1; 32], 9, 10)), (Once::Full, Once::Again));
        assert_eq!(note([4; 32], 10, 20), Once::First, "what is over makes room");
    }
}
