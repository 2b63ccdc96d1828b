//! API keys that were not used for longer than the policy allows. A use at another gateway of the same database is known once that
//! gateway has written it there.

use std::sync::{Arc, PoisonError};

use super::{Directory, ending};
use crate::gateway::store::{KeyRecord, StoreError, Use, User};
use crate::keyspec::KeyId;

/// A key that was not used for too long, as far as this gateway knows.
#[derive(Clone, Debug)]
pub struct IdleKey {
    /// The key.
    pub key: Arc<KeyRecord>,
    /// Its account.
    pub user: Arc<User>,
    /// How long it may stay unused, in seconds.
    pub longest: i64,
}

impl Directory {
    /// Up to `most` accepted keys that were not used for longer than role and environment allow.
    pub fn idle_keys(&self, now: i64, most: usize) -> Vec<IdleKey> {
        let memory = self.read();
        if !memory.tables.limits_idle_keys() {
            return Vec::new();
        }
        let idle = memory.keys.values().filter(|key| key.is_accepted(now)).filter_map(|key| {
            let user = memory.users.get(&key.user)?;
            let longest = memory.tables.max_key_idle(&memory.tables.roles.of(&user.role), key)?;
            let is_idle = is_over(key.last_use(), longest, now) && is_over(self.last_use_here(key), longest, now);
            is_idle.then(|| IdleKey { key: key.clone(), user: user.clone(), longest })
        });
        idle.take(most).collect()
    }

    /// Whether that key was not used for `longest` seconds, as far as is known now.
    pub fn is_idle(&self, id: &KeyId, longest: i64, now: i64) -> bool {
        let key = self.read().keys.get(id).cloned();
        key.is_some_and(|key| is_over(self.last_use_here(&key), longest, now))
    }

    /// When a key was used last. Asks the database, if other gateways use it too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_use(&self, key: &KeyRecord) -> Result<i64, StoreError> {
        if self.is_shared() {
            let (inner, id) = (self.0.clone(), key.id.clone());
            let asked = self.0.runtime.spawn(async move {
                inner.check_reachable()?;
                let stored = inner.store.key(&id).await?.and_then(|key| key.last_used_at);
                if let Some(at) = stored {
                    inner.write().touch(&[(Use::Key(id), at)]);
                }
                Ok(())
            });
            asked.await.map_err(|_| ending())??;
        }
        let known = self.read().keys.get(&key.id).cloned();
        Ok(self.last_use_here(known.as_deref().unwrap_or(key)))
    }

    /// When it was used last by what is in memory, also what is not written yet.
    fn last_use_here(&self, key: &KeyRecord) -> i64 {
        let uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = uses.get(&Use::Key(key.id.clone())).copied();
        unwritten.map_or(key.last_use(), |at| at.max(key.last_use()))
    }
}

fn is_over(used: i64, longest: i64, now: i64) -> bool {
    now.saturating_sub(used) >= longest
}

/// Why a key was suspended that nobody used for so many seconds, such as "not used for 31 days".
pub fn not_used_for(seconds: i64) -> String {
    match seconds / 86_400 {
        1 => "not used for 1 day".to_owned(),
        days => format!("not used for {days} days"),
    }
}
