//! What the pages and the re-check share: the client, the secrets, and what was used once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::client::ProviderClient;
use super::refresh_cipher::RefreshCipher;
use super::settings::ProviderSettings;
use super::transaction::TransactionCipher;
use super::used_once::UsedOnce;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::Sessions;
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::oidc::Issuers;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::secret::Secret;
use crate::gateway::store::Shared;

/// See the module.
pub struct ProviderService {
    /// Asks providers.
    pub client: ProviderClient,
    /// Encrypts the cookies of sign-ins under way.
    pub transactions: TransactionCipher,
    /// The sign-ins that were finished.
    pub used: UsedOnce,
    /// The logout tokens that were accepted. Only providers can fill it.
    pub used_sign_outs: UsedOnce,
    /// The providers that are asked about people now.
    pub(super) rechecks: Mutex<BTreeMap<PolicyName, JoinHandle<()>>>,
    /// Whether the gateway stops.
    pub(super) is_ending: AtomicBool,
    pub(super) refresh_tokens: RefreshCipher,
    pub(super) directory: Directory,
    pub(super) sessions: Arc<Sessions>,
    pub(super) config: Arc<ConfigHandle>,
    pub(super) clock: Clock,
}

impl ProviderService {
    /// Gateways with the same secret finish each other's sign-ins, and use each other's refresh tokens.
    pub fn new(
        issuers: Arc<Issuers>,
        secret: &Secret,
        directory: Directory,
        sessions: Arc<Sessions>,
        config: Arc<ConfigHandle>,
        clock: Clock,
    ) -> Self {
        Self {
            client: ProviderClient::new(issuers),
            transactions: TransactionCipher::new(secret),
            used: UsedOnce::default(),
            used_sign_outs: UsedOnce::default(),
            rechecks: Mutex::default(),
            is_ending: AtomicBool::default(),
            refresh_tokens: RefreshCipher::new(secret),
            directory,
            sessions,
            config,
            clock,
        }
    }

    /// Ends the sessions of an account, at all gateways. Returns how many there were.
    pub async fn end_sessions_of(&self, user: uuid::Uuid) -> usize {
        // One may have begun at another gateway a moment ago.
        if let Err(error) = self.directory.catch_up().await {
            tracing::warn!(%error, "sessions of other gateways could not be read");
        }
        let open = self.sessions.of_user(user);
        self.sessions.end_all_of(user);
        self.tell_of_end(Shared::EndedSessions(user), &open).await;
        open.len()
    }

    /// Ends the sessions that began with that sign-in at a provider, at all gateways. Returns how many there were.
    pub async fn end_sessions_that_began_with(&self, provider_session: [u8; 32]) -> usize {
        // One may have begun at another gateway a moment ago.
        if let Err(error) = self.directory.catch_up().await {
            tracing::warn!(%error, "sessions of other gateways could not be read");
        }
        let open = self.sessions.end_at_provider(provider_session);
        self.tell_of_end(Shared::EndedAtProvider(provider_session), &open).await;
        open.len()
    }

    /// Ends the sessions of an account of which it is not known which sign-in at a provider they began with, at all gateways. Returns how
    /// many there were.
    pub async fn end_sessions_without_sign_in(&self, user: uuid::Uuid) -> usize {
        let ended = self.sessions.end_without_provider_session(user);
        for digest in &ended {
            if let Err(error) = self.directory.share(Shared::EndedSession(*digest), |_| true).await {
                tracing::warn!(%error, "the end of a session could not be saved");
            }
        }
        ended.len()
    }

    /// Tells the other gateways, or while that is not possible later on of those sessions alone.
    async fn tell_of_end(&self, ended: Shared, sessions: &[[u8; 32]]) {
        let Err(error) = self.directory.share(ended, |_| true).await else { return };
        tracing::warn!(%error, "the end of sessions could not be saved");
        for digest in sessions {
            if let Err(error) = self.directory.share(Shared::EndedSession(*digest), |_| true).await {
                tracing::warn!(%error, "the end of a session could not be saved");
            }
        }
    }
}

/// What sessions hold of a session at a provider.
pub fn digest_of_session(provider: &ProviderSettings, session: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [provider.issuer.as_str(), &provider.client_id, session] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
