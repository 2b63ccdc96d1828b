//! `signin --with-api-key`: the key comes from standard input or a hidden prompt, is checked against the host, and only
//! then stored.

use std::io::Read as _;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::Report;
use crate::api::{Credential, KeyCheck, looks_like_ollama_com_key};
use crate::app::App;
use crate::commands::context::Context;
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem};
use crate::profile::{ApiKeyRecord, Audience, Profile, entry_id};
use crate::vault::EntryKind;

/// More than this is no key.
const LONGEST: u64 = 16 * 1024;

/// Runs it.
pub async fn run(app: &App) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let store = choose_store(app, context.profile.as_ref()).await?;
    let key = read_key(app).await?;
    if context.url().is_ollama_com() && !looks_like_ollama_com_key(&key) {
        app.printer.warn("this does not look like an API key of ollama.com; trying it all the same");
    }
    let session = context.session_with(app, Credential::ApiKey(key.clone()))?;
    let account = match session.check_api_key().await? {
        KeyCheck::Accepted(account) => account,
        KeyCheck::NotAsked => {
            let message = format!("{} answers without a credential, so the key was not stored", context.url());
            return Err(Problem::new(Exit::Failed, message).hint("check the address: --host").into());
        }
    };
    let fallback = Profile::new(context.url().clone());
    let profile = context.profile.as_ref().unwrap_or(&fallback);
    let id = entry_id(EntryKind::ApiKey, &context.target.profile, profile);
    let _lock = app.lock_keys()?;
    app.vault.put(store, &id, &key).await?;
    let record = ApiKeyRecord { store, hint: last_four(&key), added_at: (app.now)() };
    let old = app.profiles.update(|profiles| {
        let profile = profiles.entry(&context.target.profile, context.url());
        profile.store = Some(store);
        profile.account.clone_from(&account);
        let old = profile.api_key.replace(record);
        profiles.current = Some(context.target.profile.clone());
        old
    })?;
    // A copy in the store used before would outlive every sign-out.
    if let Some(old) = old.filter(|old| old.store != store) {
        app.vault.delete(old.store, &id).await?;
    }
    let name = account.as_ref().map_or(String::new(), |account| format!(" as {}", account.label()));
    app.printer.success(&format!("Signed in to {}{name} with an API key", context.url()));
    app.printer.note(&format!("The key rests in the {store} store."));
    Report {
        signed_in: true,
        already: false,
        host: context.url().to_string(),
        profile: Some(&context.target.profile),
        account: account.as_ref(),
        credential: "api-key",
        fingerprint: None,
        connect_url: None,
    }
    .print(app)?;
    Ok(Exit::Done)
}

async fn read_key(app: &App) -> anyhow::Result<SecretString> {
    let text = if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(Problem::new(Exit::Usage, "no API key was given")
                .hint("pipe it in: … | ollama-auth signin --with-api-key")
                .into());
        }
        let typed = app.ask(|p| p.hidden("API key")).await??;
        Zeroizing::new(typed.expose_secret().to_owned())
    } else {
        app.ask(|_| read_piped()).await?.map_err(|error| {
            Problem::new(Exit::Usage, format!("the API key on standard input cannot be read: {error}"))
        })?
    };
    let key = text.trim();
    let problem = |message: &str| Err(Problem::new(Exit::Usage, message).hint("pipe in the key alone").into());
    if key.is_empty() {
        return problem("no API key was given");
    }
    if key.len() as u64 > LONGEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return problem("what was given is no API key: it is one word of printable ASCII characters");
    }
    Ok(SecretString::from(key))
}

fn read_piped() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Enough to tell two keys apart, too little to guess one. A short key shows nothing.
fn last_four(key: &SecretString) -> String {
    let key = key.expose_secret();
    if key.len() >= 20 { key[key.len() - 4..].to_owned() } else { String::new() }
}
