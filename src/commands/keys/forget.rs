//! Local copies of API keys: `keys forget` removes the current profile's (the key stays valid at the host), `keys revoke` those of the
//! revoked key.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::how_to_revoke;
use crate::address::BaseUrl;
use crate::api::{Credential, CredentialCheck, Session};
use crate::app::App;
use crate::cli::KeysForget;
use crate::commands::api_key::last_four;
use crate::commands::confirm::{UnfinishedRotations, confirm};
use crate::commands::context::{Context, StoredKeyError, api_key, require_unchanged};
use crate::commands::store::delete_all_copies;
use crate::exit::Exit;
use crate::keyspec::KeyId;
use crate::profile::{ApiKeyRecord, Audience, Profile};
use crate::vault::{EntryKind, StoreKind};

/// What `keys forget --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    profile: &'a str,
    /// A copy existed and was deleted.
    forgotten: bool,
    id: Option<&'a str>,
    name: Option<&'a str>,
    /// Always true if a copy was removed: the key itself was not revoked.
    still_valid_at_host: bool,
}

/// Runs it.
pub async fn run(app: &App, args: KeysForget) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let (name, url) = (&context.target.profile, context.url());
    let profile = context.profile.as_ref();
    let stored = profile.and_then(|profile| Some((profile, profile.api_key.as_ref()?)));
    match stored {
        Some((profile, record)) => {
            let unfinished = UnfinishedRotations::load(app, name, profile, args.force)?;
            let which = record.describe();
            let statement =
                format!("this would remove the stored copy of the API key {which}, which stays valid at {url}");
            let question = format!("Remove the stored copy of the API key {which}? The key stays valid at {url}.");
            confirm(app, args.yes, &statement, &question).await?;
            remove_local_copy(app, name, profile, record.store).await?;
            app.printer.success(&format!("Removed the local copy of the API key {which}"));
            app.printer.warn(&format!("the key stays valid at {url} until it expires or is revoked"));
            app.printer.hint(&how_to_revoke(record, url));
            unfinished.abandon(app, profile).await?;
        }
        None => app.printer.note(&format!("No API key is stored for {url}.")),
    }
    if app.printer.is_json() {
        let record = stored.map(|(_, record)| record);
        app.printer.json(&Report {
            host: url.to_string(),
            profile: name,
            forgotten: record.is_some(),
            id: record.and_then(|record| record.id.as_deref()),
            name: record.and_then(|record| record.name.as_deref()),
            still_valid_at_host: record.is_some(),
        })?;
    }
    Ok(Exit::Done)
}

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
pub(super) async fn remove_local_copies(
    app: &App,
    url: &BaseUrl,
    revoked: &Revoked<'_>,
) -> anyhow::Result<Vec<String>> {
    let mut forgotten = Vec::new();
    for (name, profile) in app.profiles.load()?.profiles {
        let Some(record) = profile.api_key.as_ref().filter(|_| profile.url.origin() == url.origin()) else {
            continue;
        };
        if !is_copy_of(app, &name, &profile, record, revoked).await? {
            continue;
        }
        remove_local_copy(app, &name, &profile, record.store).await?;
        forgotten.push(name);
    }
    Ok(forgotten)
}

/// Removes a profile's copy of its API key from `store`, then its record.
///
/// # Errors
/// Those of the store and of the profiles file, and when another run has changed the profile.
async fn remove_local_copy(app: &App, name: &str, profile: &Profile, store: StoreKind) -> anyhow::Result<()> {
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
async fn is_copy_of(
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
    let session = Session::new(&app.transport, profile.url.clone(), credential, allow, app.now)?
        .with_known_listener(profile.listener);
    Ok(matches!(session.check_credential().await?, CredentialCheck::Unknown))
}
