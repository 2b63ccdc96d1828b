//! Which keys a run is about, and who may replace them.

use secrecy::SecretString;

use crate::api::{ApiError, Credential, KeyEntry, Session};
use crate::app::App;
use crate::commands::context::{Context, device_key};
use crate::commands::keys::list::state;
use crate::commands::keys::revoke::ambiguous;
use crate::commands::keys::signed_in;
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::profile::{Audience, CredentialSource};
use crate::rotation::Rotation;

/// A profile whose keys are looked at.
pub struct ProfileKeys<'a> {
    /// Its name, host and credential.
    pub context: Context,
    /// What its credential may see; `None` at a host where only a person manages keys.
    pub entries: Option<Vec<KeyEntry>>,
    /// Its session.
    pub session: Session<'a>,
    /// The credential, where it is an API key.
    pub key: Option<SecretString>,
}

/// A key to be looked at.
#[derive(Clone, Debug)]
pub struct SelectedKey {
    /// What people call it.
    pub label: String,
    /// Its id; `None` at a host where only a person manages keys.
    pub id: Option<KeyId>,
    /// When it was made, in Unix seconds, as far as is known.
    pub created_at: Option<i64>,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// It is the key that the profile keeps.
    pub is_stored: bool,
    /// It is the credential that asks.
    pub is_self: bool,
    /// It may ask for its replacement itself.
    pub replaceable: bool,
}

/// The selected contexts: the named or current one; with `all`, every profile that stores an API key.
///
/// # Errors
/// Exit 3 when there is none.
pub fn contexts(app: &App, all: bool) -> anyhow::Result<Vec<Context>> {
    let profiles = app.profiles.load()?;
    let names_one = app.host.is_some() || app.global.profile.is_some();
    if !all || names_one {
        return Ok(vec![Context::decide(app, &profiles, Audience::Account)?]);
    }
    let with_key = profiles.profiles.iter().filter(|(_, profile)| profile.api_key.is_some());
    Ok(with_key.map(|(name, profile)| Context::for_profile(name, profile)).collect())
}

impl<'a> ProfileKeys<'a> {
    /// Signs in and looks at the keys.
    ///
    /// # Errors
    /// Exit 4 without a credential, and what the host says.
    pub async fn load(app: &'a App, context: Context) -> anyhow::Result<Self> {
        let session = signed_in(app, &context).await?;
        let key = match context.source {
            CredentialSource::ProfileDevice => None,
            _ => match context.credential(app).await? {
                Credential::ApiKey(key) => Some(key),
                _ => None,
            },
        };
        Self::fetch(context, session, key).await
    }

    /// The same with an API key in place of the profile's credential.
    ///
    /// # Errors
    /// What the host says.
    pub async fn load_with_key(app: &'a App, context: Context, key: SecretString) -> anyhow::Result<Self> {
        let session = context.session_with(app, Credential::ApiKey(key.clone()))?;
        Self::fetch(context, session, Some(key)).await
    }

    async fn fetch(context: Context, session: Session<'a>, key: Option<SecretString>) -> anyhow::Result<Self> {
        let entries = match session.api_keys(false).await {
            Ok(entries) => Some(entries),
            // Not known to offer it: its keys are made by people.
            Err(ApiError::NotFound { .. } | ApiError::Status { status: 405 | 501, .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { context, entries, session, key })
    }

    /// The key that the profile keeps, if it is among those that are seen.
    pub fn stored_key(&self) -> Option<SelectedKey> {
        let record = self.context.profile.as_ref()?.api_key.as_ref()?;
        let Some(entries) = &self.entries else {
            let label = record.name.clone().unwrap_or_else(|| self.context.target.profile.clone());
            return Some(SelectedKey {
                label,
                id: None,
                created_at: Some(record.added_at),
                expires_at: None,
                is_stored: true,
                is_self: self.context.source == CredentialSource::ProfileKey,
                replaceable: false,
            });
        };
        let uses_it = self.context.source == CredentialSource::ProfileKey;
        let entry = entries.iter().find(|entry| match &record.id {
            Some(id) => entry.id == *id,
            // Not made by us: the host says which one it is.
            None => uses_it && entry.is_self,
        });
        // A crash between the store and the record: the host tells which key is stored here.
        let entry = entry.or_else(|| entries.iter().find(|entry| uses_it && entry.is_self))?;
        self.selected(entry)
    }

    /// The key of that name or id.
    ///
    /// # Errors
    /// Exit 3 when there is none, 2 when there are several.
    pub fn find(&self, name: &str) -> anyhow::Result<SelectedKey> {
        let Some(entries) = &self.entries else {
            let profile = self.context.profile.as_ref();
            let hint = profile.and_then(|profile| profile.api_key.as_ref()).map(|record| record.hint.as_str());
            let kept = self.stored_key();
            let fits = |selected: &SelectedKey| {
                selected.label == name || self.context.target.profile == name || hint.is_some_and(|hint| hint == name)
            };
            return kept.filter(fits).ok_or_else(|| self.not_found(name));
        };
        let now_replaced = |entry: &KeyEntry| {
            entries.iter().any(|other| other.revoked_at.is_none() && other.replaces.as_ref() == Some(&entry.id))
        };
        let mut found: Vec<&KeyEntry> = entries.iter().filter(|entry| entry.revoked_at.is_none()).collect();
        found.retain(|entry| entry.id == name || entry.name == name);
        // The key stored here takes precedence over the one that replaced it on another machine.
        let kept = found.iter().copied().find(|entry| self.selected(entry).is_some_and(|selected| selected.is_stored));
        found.retain(|entry| match kept {
            Some(kept) => entry.id == kept.id || (entry.replaces.as_ref() != Some(&kept.id) && !now_replaced(entry)),
            None => entry.id == name || !now_replaced(entry),
        });
        match found[..] {
            [] => Err(self.not_found(name)),
            [one] => self.selected(one).ok_or_else(|| self.not_found(name)),
            _ => {
                let found: Vec<KeyEntry> = found.into_iter().cloned().collect();
                Err(ambiguous(&format!("are named {name:?}"), &found).into())
            }
        }
    }

    /// The key that replaces another one and is valid at `now`.
    pub fn successor_of(&self, selected: &SelectedKey, now: i64) -> Option<&KeyEntry> {
        let id = selected.id.as_ref()?.as_str();
        let mut others = self.entries.iter().flatten().filter(|entry| state(entry, now) == "valid");
        others.find(|other| other.replaces.as_deref() == Some(id))
    }

    fn not_found(&self, name: &str) -> anyhow::Error {
        let message = format!("{} has no valid API key named {name:?}", self.context.url());
        Problem::new(Exit::NotFound, message).hint("list the keys: ollama-auth keys list").into()
    }

    fn selected(&self, entry: &KeyEntry) -> Option<SelectedKey> {
        let record = self.context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
        let kept_id = record.and_then(|record| record.id.as_deref());
        let uses_it = self.context.source == CredentialSource::ProfileKey && entry.is_self;
        Some(SelectedKey {
            label: entry.name.clone(),
            id: Some(entry.id.parse().ok()?),
            created_at: entry.created_at.map(|time| time.as_second()),
            expires_at: entry.expires_at.map(|time| time.as_second()),
            is_stored: uses_it || kept_id == Some(&entry.id),
            is_self: entry.is_self,
            replaceable: entry.replaceable,
        })
    }

    /// Whether a rotation is one of this profile.
    pub fn owns(&self, rotation: &Rotation) -> bool {
        rotation.profile == self.context.target.profile && rotation.origin == self.context.url().origin()
    }

    /// The rotations of the journal that concern a key: those of this profile that replace it, or in which it is the new one.
    pub fn matches(&self, rotation: &Rotation, name: Option<&str>) -> bool {
        if !self.owns(rotation) {
            return false;
        }
        let Some(name) = name else { return true };
        let ids = || [rotation.old.as_ref(), Some(&rotation.new)].into_iter().flatten();
        let listed = self.entries.iter().flatten();
        let mut called_so = listed.filter(|entry| entry.name == name);
        ids().any(|id| id.as_str() == name)
            || called_so.any(|entry| ids().any(|id| id.as_str() == entry.id))
            || (rotation.old.is_none() && self.find(name).is_ok())
    }

    /// Who asks for the replacement: the credential of the profile, unless that is the key itself and may not; then the profile's device.
    ///
    /// # Errors
    /// Exit 5 when no credential stored here has the right.
    pub async fn managing_session(&self, app: &'a App, selected: &SelectedKey) -> anyhow::Result<Session<'a>> {
        let manages =
            self.key.is_none() || self.own_scopes().is_some_and(|scopes| scopes.iter().any(|scope| scope == "keys"));
        if (selected.is_self && selected.replaceable) || (!selected.is_self && manages) {
            return Ok(self.session.clone());
        }
        let name = &self.context.target.profile;
        if let Some(profile) = &self.context.profile
            && profile.device.as_ref().is_some_and(|device| device.connected)
        {
            let device = device_key(app, name, profile).await?;
            return self.context.session_with(app, Credential::Device(std::sync::Arc::new(device)));
        }
        let message = match selected.is_self {
            true => format!("the key {:?} may not replace itself", selected.label),
            false => format!("the credential for {} may not replace the key {:?}", self.context.url(), selected.label),
        };
        let hint = format!("sign in with this device, which may: ollama-auth signin --host {}", self.context.url());
        Err(Problem::new(Exit::Forbidden, message).hint(hint).into())
    }

    fn own_scopes(&self) -> Option<&[String]> {
        let own = self.entries.iter().flatten().find(|entry| entry.is_self)?;
        Some(&own.scopes)
    }
}
