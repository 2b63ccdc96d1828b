//! Reads an API key from standard input or a hidden prompt, and stores it with a record in its profile.

use std::io::Read as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::context::Context;
use crate::api::{ApiKeyCheck, Session, looks_like_ollama_com_key};
use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::keyspec::KeyId;
use crate::profile::{ApiKeyRecord, Profile, Profiles, entry_id};
use crate::vault::{EntryKind, StoreKind, VaultError};

/// How long a host may take to say which key it is that it has just accepted.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(15);
/// A longer text is not a key.
const MAX_KEY_LENGTH: u64 = 16 * 1024;

/// Reads a key: one word of printable ASCII characters. `command` is what it can be piped into, for the hint.
///
/// # Errors
/// Exit 2 for everything else.
pub async fn read_api_key(app: &App, command: &str) -> anyhow::Result<SecretString> {
    let text = if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(Problem::new(Exit::Usage, "no API key was given")
                .hint(format!("pipe it in: … | {command}"))
                .into());
        }
        let mut typed = app.ask(|p| p.hidden("API key")).await??;
        // Enter after the answer to a question that waited for no Enter: the key that follows must not land in the shell.
        if typed.expose_secret().trim().is_empty() {
            typed = app.ask(|p| p.hidden("API key")).await??;
        }
        Zeroizing::new(typed.expose_secret().to_owned())
    } else {
        app.ask(|_| read_piped()).await?.map_err(|error| {
            Problem::new(Exit::Usage, format!("cannot read the API key from standard input: {error}"))
        })?
    };
    let key = text.trim();
    let problem =
        |message: &str| Err(Problem::new(Exit::Usage, message).hint("pipe in the key and nothing else").into());
    if key.is_empty() {
        return problem("no API key was given");
    }
    if key.len() as u64 > MAX_KEY_LENGTH || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return problem("not an API key: a key is one word of printable ASCII characters");
    }
    Ok(SecretString::from(key))
}

fn read_piped() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MAX_KEY_LENGTH + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Warns of a key for ollama.com that does not have the form of one.
pub fn warn_about_key_format(app: &App, context: &Context, key: &SecretString) {
    if context.url().is_ollama_com() && !looks_like_ollama_com_key(key) {
        app.printer.warn("this does not look like an API key of ollama.com; trying it anyway");
    }
}

/// Asks the host whether it accepts the session's API key; the account where the host names one.
///
/// # Errors
/// When it does not, or requires no key: then storing it is useless.
pub async fn verify_api_key(session: &Session<'_>) -> anyhow::Result<Option<Account>> {
    match session.check_api_key().await? {
        ApiKeyCheck::Accepted(account) => Ok(account),
        ApiKeyCheck::NotRequired => {
            let message = format!("{} answers without a credential, so the key was not stored", session.base());
            Err(Problem::new(Exit::Failed, message).hint("check the address in --host").into())
        }
    }
}

/// Enough to tell two keys apart, too little to guess one. A short key shows nothing.
pub fn last_four(key: &SecretString) -> String {
    let key = key.expose_secret();
    if key.len() >= 20 { key[key.len() - 4..].to_owned() } else { String::new() }
}

/// What goes into the record of a key besides the key's end.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyMetadata<'a> {
    /// Its public id.
    pub id: Option<&'a KeyId>,
    /// What it is called.
    pub name: Option<&'a str>,
    /// Where it is used.
    pub environment: Option<&'a str>,
}

/// What the host says of a key that it has accepted; nothing where it lists no keys.
#[derive(Debug, Default)]
pub struct KeyDescription {
    id: Option<KeyId>,
    name: Option<String>,
    environment: Option<String>,
}

impl KeyDescription {
    /// Asks the host of a session that uses the key.
    pub async fn fetch(session: &Session<'_>) -> Self {
        let listed = tokio::time::timeout(DESCRIBE_TIMEOUT, session.api_keys(false)).await;
        let listed = listed.ok().and_then(Result::ok).unwrap_or_default();
        let mut own = listed.into_iter().filter(|entry| entry.is_self);
        let (Some(entry), None) = (own.next(), own.next()) else { return Self::default() };
        let label = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty() && is_label(text));
        Self { id: entry.id.parse().ok(), name: label(entry.name), environment: entry.environment.and_then(label) }
    }

    /// The same for the record.
    pub fn metadata(&self) -> KeyMetadata<'_> {
        KeyMetadata { id: self.id.as_ref(), name: self.name.as_deref(), environment: self.environment.as_deref() }
    }
}

/// Whether a text fits in one line of a record.
pub fn is_label(text: &str) -> bool {
    !text.contains(char::is_control) && text.chars().count() <= 200
}

/// The effects of storing a key.
#[derive(Debug)]
pub struct StoredKey {
    /// The record of the key that stood there before.
    pub replaced: Option<ApiKeyRecord>,
    /// Why a copy of that one stays behind in the store used before.
    pub left_behind: Option<VaultError>,
}

/// Keeps `key` in `store` as the API key of the context's profile, which is made if it is new. `also` changes what else is to
/// change in the profiles with it.
///
/// # Errors
/// When the key or its record cannot be written. Then the old state is unchanged.
pub async fn store_api_key(
    app: &App,
    context: &Context,
    store: StoreKind,
    key: &SecretString,
    known: KeyMetadata<'_>,
    also: impl FnOnce(&mut Profiles, &str),
) -> anyhow::Result<StoredKey> {
    let (name, url) = (&context.target.profile, context.url());
    let fallback = Profile::new(url.clone());
    let entry = entry_id(EntryKind::ApiKey, name, context.profile.as_ref().unwrap_or(&fallback));
    let _lock = app.lock_keys()?;
    let now = app.profiles.load()?.profiles.remove(name);
    if let Some(now) = now.filter(|now| now.url.origin() != url.origin()) {
        let message =
            format!("another command changed the profile {name:?} at the same time; it is now for {}", now.url);
        return Err(Problem::new(Exit::Failed, message).hint("run the command again").into());
    }
    // A key that cannot be read cannot be restored either.
    let before = app.vault.get(store, &entry).await.ok().flatten();
    app.vault.put(store, &entry, key).await?;
    let record = ApiKeyRecord {
        id: known.id.map(|id| id.as_str().to_owned()),
        name: known.name.map(str::to_owned),
        environment: known.environment.map(str::to_owned),
        ..ApiKeyRecord::new(store, last_four(key), (app.now)())
    };
    let updated = app.profiles.update(|profiles| {
        let profile = profiles.entry(name, url);
        profile.store = Some(store);
        let replaced = profile.api_key.replace(record);
        also(profiles, name);
        replaced
    });
    let replaced = match updated {
        Ok(replaced) => replaced,
        Err(error) => {
            // Without a record no command would find the new key, and the old record would refer to it.
            let undone = match before {
                Some(before) => app.vault.put(store, &entry, &before).await,
                None => app.vault.delete(store, &entry).await.map(drop),
            };
            if let Err(trouble) = undone {
                app.printer.warn(&format!("the previous key could not be restored in the {store} store: {trouble}"));
            }
            return Err(error.into());
        }
    };
    // A copy in the store used before would outlive every sign-out.
    let left_behind = match replaced.as_ref().filter(|old| old.store != store) {
        Some(old) => app.vault.delete(old.store, &entry).await.err(),
        None => None,
    };
    Ok(StoredKey { replaced, left_behind })
}
