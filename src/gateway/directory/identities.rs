//! Who people are at providers, in memory; and their refresh tokens, which are in the store alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::memory::{DirectoryError, Memory};
use super::{Directory, ending};
use crate::gateway::store::{DueTokens, Identity, IdentityId, LeasedToken, SealedToken, StoreError, User};

impl Directory {
    /// Warns of people whose provider is not configured any more: they keep their access, and are not checked again.
    pub fn warn_of_unconfigured_providers(&self, is_configured: impl Fn(&str) -> bool) {
        let mut people = BTreeMap::<String, usize>::new();
        for identity in self.read().identities.values().filter(|identity| !is_configured(&identity.issuer)) {
            *people.entry(identity.issuer.clone()).or_default() += 1;
        }
        for (issuer, people) in people {
            tracing::warn!(
                issuer,
                people,
                "accounts keep their devices and API keys, and their provider is not configured: see `ollama-auth gateway user list`"
            );
        }
    }

    /// The identity with that id.
    pub fn identity(&self, id: &IdentityId) -> Option<Arc<Identity>> {
        self.read().identities.get(id).cloned()
    }

    /// The identity of an account, if its person signs in at a provider.
    pub fn identity_of(&self, user: Uuid) -> Option<Arc<Identity>> {
        let memory = self.read();
        memory.identities.get(memory.identity_of.get(&user)?).cloned()
    }

    /// Leases the refresh tokens that are due: no other gateway gets them meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease_refresh_tokens(&self, due: DueTokens) -> Result<Vec<LeasedToken>, StoreError> {
        let store = self.0.store.clone();
        let leased = self.0.runtime.spawn(async move { store.lease_refresh_tokens(&due).await });
        leased.await.map_err(|_| ending())?
    }

    /// Replaces a refresh token, or removes it, unless another has taken its place meanwhile. Returns whether it was still there. With the
    /// Unix second at which the provider was asked the lease ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replace_refresh_token(
        &self,
        old: LeasedToken,
        new: Option<SealedToken>,
        checked_at: Option<i64>,
    ) -> Result<bool, StoreError> {
        let store = self.0.store.clone();
        let replaced =
            self.0.runtime.spawn(async move { store.replace_refresh_token(&old, new.as_ref(), checked_at).await });
        replaced.await.map_err(|_| ending())?
    }
}

impl Memory {
    pub(super) fn put_identity(&mut self, identity: Identity) {
        self.identity_of.insert(identity.user, identity.id);
        self.identities.insert(identity.id, Arc::new(identity));
    }

    /// Whether that account may be made with that identity.
    pub(super) fn check_new_identity(&self, user: &User, identity: &Identity) -> Result<(), DirectoryError> {
        if self.identities.contains_key(&identity.id) {
            return Err(DirectoryError::Store(StoreError::Taken("the identity".to_owned())));
        }
        self.check_new_user(user)
    }
}
