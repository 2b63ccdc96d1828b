//! The copies of a key on this machine: they go when the key is revoked, or when nobody wants them here any more.

use secrecy::{ExposeSecret as _, SecretString};

use super::super::api_key::last_four;
use crate::address::BaseUrl;
use crate::api::{Credential, CredentialCheck, Session};
use crate::app::App;
use crate::commands::context::{StoredKeyError, api_key, require_unchanged};
use crate::commands::store::delete_all_copies;
use crate::keyspec::KeyId;
use crate::profile::{ApiKeyRecord, Profile};
use crate::vault::{EntryKind, StoreKind};

/// What is known of the key that was revoked.
pub(super) struct Revoked<'a> {
    /// Its public id.
    pub id: &'a KeyId,
    /// Its last four characters, where they are known.
    pub hint: Option<String>,
    /// The key itself, where it was given.
    pub key: Option<&'a SecretString>,
}

/// Removes every copy that a profile for this host keeps, and says the names of those profiles.
///
/// # Errors
/// Those of the stores and of the profiles file. What was removed until then stays so.
pub(super) async fn everywhere(app: &App, url: &BaseUrl, revoked: &Revoked<'_>) -> anyhow::Result<Vec<String>> {
    let mut forgotten = Vec::new();
    for (name, profile) in app.profiles.load()?.profiles {
        let Some(record) = profile.api_key.as_ref().filter(|_| profile.url.origin() == url.origin()) else {
            continue;
        };
        if !is_the_one(app, &name, &profile, record, revoked).await? {
            continue;
        }
        remove(app, &name, &profile, record.store).await?;
        forgotten.push(name);
    }
    Ok(forgotten)
}

/// Removes a profile's copy of its API key from `store`, then its record.
///
/// # Errors
/// Those of the store and of the profiles file, and when another run has changed the profile.
pub(super) async fn remove(app: &App, name: &str, profile: &Profile, store: StoreKind) -> anyhow::Result<()> {
    let _lock = app.lock_keys()?;
    require_unchanged(app, name, Some(profile))?;
    delete_all_copies(app, store, EntryKind::ApiKey, name, profile).await?;
    app.profiles.update(|profiles| {
        if let Some(profile) = profiles.profiles.get_mut(name) {
            profile.api_key = None;
        }
    })?;
    Ok(())
}

/// By the id on record. A key that was not made by us has none: there the same last characters are a reason to look closer, at
/// the key itself or at what the host says to it now.
async fn is_the_one(
    app: &App,
    name: &str,
    profile: &Profile,
    record: &ApiKeyRecord,
    revoked: &Revoked<'_>,
) -> anyhow::Result<bool> {
    if let Some(id) = &record.id {
        return Ok(id == revoked.id.as_str());
    }
    let hint = revoked.key.map(last_four).or_else(|| revoked.hint.clone());
    if record.hint.is_empty() || hint.as_ref() != Some(&record.hint) {
        return Ok(false);
    }
    let stored = match api_key(app, name, profile).await {
        Ok(stored) => stored,
        Err(StoredKeyError::Missing(_)) => return Ok(false),
        Err(trouble) => return Err(trouble.into()),
    };
    if let Some(key) = revoked.key {
        return Ok(stored.expose_secret() == key.expose_secret());
    }
    let credential = Credential::ApiKey(stored);
    let allow = app.global.allow_insecure_http;
    let session = Session::new(&app.transport, profile.url.clone(), credential, allow, app.now)?;
    Ok(matches!(session.check_credential().await?, CredentialCheck::Unknown))
}
