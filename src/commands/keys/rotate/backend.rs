//! What the steps of a rotation act on: this machine's journal and vault, the host, the places where the key is used.

use std::cell::RefCell;

use anyhow::Context as _;
use jiff::Timestamp;
use secrecy::SecretString;

use super::deploy::{DeployPayload, Deployer};
use crate::api::{ApiError, ApiKeyCheck, Conflict, Credential, CredentialCheck, Revocation, Session};
use crate::app::App;
use crate::commands::api_key::{KeyMetadata, store_api_key};
use crate::commands::context::{Context, api_key, no_accounts_problem};
use crate::commands::keys::{explain, prove_account_host};
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::profile::Profile;
use crate::rotation::{Journal, KeyRequest, KeyVerification, OldKeyState, Rotation, RotationBackend};

/// What a rotation of one profile acts on: this machine, and the host.
pub struct LocalBackend<'a> {
    /// The program.
    pub app: &'a App,
    /// The rotation in progress.
    pub journal: &'a Journal,
    /// The profile and its host.
    pub context: &'a Context,
    /// Who may make and end keys; `None` at a host where only a person can.
    pub manager: Option<Session<'a>>,
    /// Where keys are handed out.
    pub deployer: &'a Deployer,
    /// Seconds between the new key's first use and the old one's end.
    pub grace: u64,
    /// The old key, where this run has it.
    pub old: Option<SecretString>,
    /// A new key that a person has made and given.
    pub given: RefCell<Option<SecretString>>,
}

impl LocalBackend<'_> {
    fn with_key(&self, key: &SecretString) -> anyhow::Result<Session<'_>> {
        self.context.session_with(self.app, Credential::ApiKey(key.clone()))
    }

    fn manager(&self) -> anyhow::Result<&Session<'_>> {
        self.manager.as_ref().context("this host has no API for keys")
    }

    /// The profile as it is now.
    fn profile(&self, rotation: &Rotation) -> anyhow::Result<Option<Profile>> {
        let found = self.app.profiles.load()?.profiles.remove(&rotation.profile);
        Ok(found.filter(|profile| profile.url.origin() == rotation.origin))
    }

    async fn deploy_key(&self, rotation: &Rotation, key: &SecretString, id: &KeyId) -> anyhow::Result<()> {
        // Where the command replaces one by the other, it may print either.
        let new = self.load_new_key(rotation).await.unwrap_or_default();
        let payload = DeployPayload {
            key,
            id,
            profile: &rotation.profile,
            host: self.context.url(),
            secrets: self.old.iter().chain(&new).collect(),
        };
        self.deployer.deploy(self.app, &payload).await
    }

    /// The old key, where the profile keeps it still.
    async fn stored_old_key(&self, rotation: &Rotation) -> anyhow::Result<Option<SecretString>> {
        let profile = self.profile(rotation)?.filter(|_| rotation.kept);
        let is_old = |profile: &Profile| {
            let record = profile.api_key.as_ref();
            record.is_some_and(|record| record.id.as_deref() == rotation.old.as_ref().map(KeyId::as_str))
        };
        match profile.filter(is_old) {
            Some(profile) => Ok(Some(api_key(self.app, &rotation.profile, &profile).await?)),
            None => Ok(None),
        }
    }

    /// Asks a host that offers no more than that whether it takes a key.
    async fn check_acceptance(&self, key: &SecretString) -> anyhow::Result<KeyVerification> {
        match self.with_key(key)?.check_api_key().await {
            Ok(ApiKeyCheck::Accepted(_)) => Ok(KeyVerification::Accepted),
            Ok(ApiKeyCheck::NotRequired) => {
                Ok(KeyVerification::Refused("the host answers without a credential".to_owned()))
            }
            Err(error @ ApiError::Unauthorized { .. }) => Ok(KeyVerification::Refused(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    async fn revoke_with(&self, session: &Session<'_>, id: &KeyId) -> anyhow::Result<()> {
        let proof = prove_account_host(session).await?;
        match session.revoke_key(proof, id).await {
            // A key of which the host knows nothing was never made.
            Ok(Revocation::Done | Revocation::Unknown) => Ok(()),
            Err(error) => Err(explain(error, session.base())),
        }
    }

    async fn expire_with(&self, session: &Session<'_>, old: &KeyId, grace: u64) -> anyhow::Result<OldKeyState> {
        if grace == 0 {
            self.revoke_with(session, old).await?;
            return Ok(OldKeyState::Gone);
        }
        let proof = prove_account_host(session).await?;
        match session.expire_key(proof, old, grace).await {
            Ok(None) => Ok(OldKeyState::Gone),
            Ok(Some(entry)) => self
                .state(entry.expires_at, entry.revoked_at.is_some())
                .with_context(|| format!("{} did not say when the key {old} expires", session.base())),
            Err(error) => Err(explain(error, session.base())),
        }
    }

    /// The old key's state, from the host's description of it.
    fn state(&self, expires_at: Option<Timestamp>, revoked: bool) -> Option<OldKeyState> {
        if revoked {
            return Some(OldKeyState::Gone);
        }
        let end = expires_at?.as_second();
        Some(if end <= (self.app.now)() { OldKeyState::Gone } else { OldKeyState::ExpiresAt(end) })
    }
}

impl RotationBackend for LocalBackend<'_> {
    type Error = anyhow::Error;

    fn record(&self, rotation: &Rotation) -> anyhow::Result<()> {
        tracing::debug!(old = rotation.old.as_ref().map(KeyId::as_str), new = %rotation.new, step = ?rotation.step, "rotation");
        Ok(self.journal.record(rotation)?)
    }

    fn remove_from_journal(&self, rotation: &Rotation) -> anyhow::Result<()> {
        tracing::debug!(new = %rotation.new, "rotation struck out");
        Ok(self.journal.remove(&rotation.new)?)
    }

    async fn load_new_key(&self, rotation: &Rotation) -> anyhow::Result<Option<SecretString>> {
        Ok(self.app.vault.get(rotation.store, &rotation.entry()).await?)
    }

    async fn store_new_key(&self, rotation: &Rotation, key: &SecretString) -> anyhow::Result<()> {
        Ok(self.app.vault.put(rotation.store, &rotation.entry(), key).await?)
    }

    async fn delete_new_key(&self, rotation: &Rotation) -> anyhow::Result<()> {
        self.app.vault.delete(rotation.store, &rotation.entry()).await?;
        Ok(())
    }

    async fn create_new_key(&self, rotation: &Rotation) -> anyhow::Result<KeyRequest<anyhow::Error>> {
        let (Some(session), Some(old)) = (&self.manager, &rotation.old) else {
            return Ok(match self.given.take() {
                Some(key) => KeyRequest::Created(key),
                // Interrupted before the key was stored: nothing was created, so there is nothing to resume.
                None => KeyRequest::IdTaken,
            });
        };
        let proof = match prove_account_host(session).await {
            Ok(proof) => proof,
            Err(error) => return Ok(KeyRequest::Refused(error)),
        };
        Ok(match session.replace_key(proof, &rotation.new, old).await {
            Ok(created) => KeyRequest::Created(SecretString::from(created.key.expose())),
            Err(ApiError::Conflict { conflict: Conflict::IdTaken, .. }) => KeyRequest::IdTaken,
            Err(ApiError::Conflict { conflict: Conflict::Replaced(other), .. }) if other == rotation.new => {
                KeyRequest::IdTaken
            }
            Err(ApiError::Conflict { conflict: Conflict::Replaced(other), .. }) => KeyRequest::AlreadyReplaced(other),
            Err(error) if error.leaves_doubt() => return Err(error.into()),
            Err(error) => KeyRequest::Refused(explain(error, session.base())),
        })
    }

    async fn verify_new_key(&self, rotation: &Rotation, key: &SecretString) -> anyhow::Result<KeyVerification> {
        if rotation.old.is_none() {
            return self.check_acceptance(key).await;
        }
        let session = self.with_key(key)?;
        match session.check_credential().await? {
            CredentialCheck::Accepted(_) => {}
            CredentialCheck::Unknown => return Ok(KeyVerification::Refused("the host does not accept it".to_owned())),
            CredentialCheck::Inconclusive(error) => return Err(error.into()),
            CredentialCheck::NoAccounts(kind) => return Err(no_accounts_problem(&session, kind).into()),
        }
        // That it is this one is what the host says, too.
        let entries = session.api_keys(false).await?;
        let is_this = entries.iter().any(|entry| entry.is_self && entry.id == rotation.new.as_str());
        Ok(if is_this {
            KeyVerification::Accepted
        } else {
            KeyVerification::Refused("the host identifies it as another key".to_owned())
        })
    }

    async fn deploy_new_key(&self, rotation: &Rotation, key: &SecretString) -> anyhow::Result<()> {
        self.deploy_key(rotation, key, &rotation.new).await
    }

    async fn redeploy_old_key(&self, rotation: &Rotation) -> anyhow::Result<bool> {
        let old = match &self.old {
            Some(key) => Some(key.clone()),
            None => self.stored_old_key(rotation).await?,
        };
        match (old, &rotation.old) {
            (Some(key), Some(id)) => self.deploy_key(rotation, &key, id).await.map(|()| true),
            _ => self.deployer.restore_env_file(),
        }
    }

    async fn activate_new_key(&self, rotation: &Rotation, key: Option<&SecretString>) -> anyhow::Result<bool> {
        if !rotation.kept {
            return Ok(true);
        }
        let profile = self.profile(rotation)?;
        let record = profile.as_ref().and_then(|profile| profile.api_key.as_ref());
        let Some(key) = key else {
            let is_new = record
                .is_some_and(|record| rotation.old.is_none() || record.id.as_deref() == Some(rotation.new.as_str()));
            if is_new {
                return Ok(true);
            }
            let message = format!("the new key {} is missing from the {} store", rotation.new, rotation.store);
            return Err(Problem::new(Exit::Failed, message).into());
        };
        let Some(record) = record else { return Ok(false) };
        let ids = [rotation.old.as_ref(), Some(&rotation.new)];
        let is_known = ids.into_iter().flatten().any(|id| record.id.as_deref() == Some(id.as_str()));
        if rotation.old.is_some() && !is_known {
            return Ok(false);
        }
        let known = KeyMetadata {
            id: rotation.old.is_some().then_some(&rotation.new),
            name: record.name.as_deref(),
            environment: record.environment.as_deref(),
        };
        let context = Context { profile: profile.clone(), ..self.context.clone() };
        store_api_key(self.app, &context, record.store, key, known, |_, _| {}).await?;
        Ok(true)
    }

    async fn expire_old_key(&self, rotation: &Rotation) -> anyhow::Result<OldKeyState> {
        let Some(old) = &rotation.old else { return Ok(OldKeyState::RevokeManually) };
        let by_authority = self.expire_with(self.manager()?, old, self.grace).await;
        let Err(error) = by_authority else { return by_authority };
        // The credential is no longer valid, or the profile has another one without the right: the replacement key always has it.
        if !matches!(Problem::from_error(&error).exit, Exit::SignIn | Exit::Forbidden) {
            return Err(error);
        }
        match self.load_new_key(rotation).await? {
            Some(key) => {
                let by_itself = self.expire_with(&self.with_key(&key)?, old, self.grace.max(1)).await;
                by_itself.map_err(|_| error)
            }
            None => Err(error),
        }
    }

    async fn check_old_key(&self, rotation: &Rotation) -> anyhow::Result<OldKeyState> {
        let Some(old) = &rotation.old else { return Ok(OldKeyState::RevokeManually) };
        // Until then there is nothing to check. The host has set the expiry, whatever this machine's clock says.
        if let Some(end) = rotation.old_ends_at.filter(|end| (self.app.now)() < *end) {
            return Ok(OldKeyState::ExpiresAt(end));
        }
        let session = self.manager()?;
        let entries = session.api_keys(true).await.map_err(|error| explain(error, session.base()))?;
        let Some(entry) = entries.into_iter().find(|entry| entry.id == old.as_str()) else {
            return Ok(OldKeyState::Gone);
        };
        match self.state(entry.expires_at, entry.revoked_at.is_some()) {
            Some(state) => Ok(state),
            None => self.expire_old_key(rotation).await,
        }
    }

    async fn revoke_new(&self, rotation: &Rotation) -> anyhow::Result<()> {
        // Only the person can revoke it; the report says so.
        if rotation.old.is_none() {
            return Ok(());
        }
        let by_authority = self.revoke_with(self.manager()?, &rotation.new).await;
        let Err(error) = by_authority else { return Ok(()) };
        // The old key may have ended meanwhile; the new one can always revoke itself.
        match self.load_new_key(rotation).await? {
            Some(key) => self.revoke_with(&self.with_key(&key)?, &rotation.new).await.map_err(|_| error),
            None => Err(error),
        }
    }
}
