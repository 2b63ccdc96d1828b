//! `keys import`: stores a key that was created elsewhere, such as on a settings page. It is read from standard input or a hidden
//! prompt and checked at its host; another stored key is replaced only after a confirmation.

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{check_key_format, how_to_revoke};
use crate::api::{Credential, looks_like_ollama_com_key};
use crate::app::App;
use crate::cli::KeysImport;
use crate::commands::api_key::{
    KeyDescription, KeyMetadata, is_label, last_four, read_api_key, store_api_key, verify_api_key,
    warn_about_key_format,
};
use crate::commands::context::{Context, StoredKeyError, api_key};
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::profile::{ApiKeyRecord, Audience, HostReason};
use crate::vault::StoreKind;

/// What `keys import --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    profile: &'a str,
    store: StoreKind,
    hint: String,
    id: Option<&'a str>,
    name: Option<&'a str>,
    environment: Option<&'a str>,
    /// The host accepts it; false if it was not asked.
    verified: bool,
    /// It took the place of another key.
    replaced: bool,
    account: Option<&'a Account>,
}

/// Runs it.
pub async fn run(app: &App, args: KeysImport) -> anyhow::Result<Exit> {
    if !args.stray.is_empty() {
        let hint = "pipe the key in: … | ollama-auth keys import\na key typed as an argument is now in the shell's history: revoke it";
        return Err(Problem::new(Exit::Usage, "keys import takes no arguments").hint(hint).into());
    }
    let context = Context::resolve(app, Audience::Account)?;
    read_and_store(app, &context, &args).await
}

/// Reads a key and keeps it for the context's profile.
pub(super) async fn read_and_store(app: &App, context: &Context, args: &KeysImport) -> anyhow::Result<Exit> {
    let name = label(args.name.as_deref(), "a key's name")?;
    let environment = label(args.environment.as_deref(), "an environment")?;
    let store = choose_store(app, context.profile.as_ref()).await?;
    let key = read_api_key(app, "ollama-auth keys import").await?;
    check_key_format(&key)?;
    require_matching_host(context, &key)?;
    let other = other_key(app, context, &key).await?;
    if let Some(other) = other {
        confirm_replacement(app, context, other, args.replace).await?;
    }
    warn_about_key_format(app, context, &key);
    let (account, described) = if args.no_verify {
        (None, KeyDescription::default())
    } else {
        let session = context.session_with(app, Credential::ApiKey(key.clone()))?;
        (verify_api_key(&session).await?, KeyDescription::fetch(&session).await)
    };
    let described = described.metadata();
    let known =
        KeyMetadata { name: name.or(described.name), environment: environment.or(described.environment), ..described };
    let kept = store_api_key(app, context, store, &key, known, |profiles, profile| {
        if let (Some(profile), Some(account)) = (profiles.profiles.get_mut(profile), &account) {
            profile.account = Some(account.clone());
        }
        profiles.current.get_or_insert_with(|| profile.to_owned());
    });
    let kept = kept.await?;
    // Another run may have kept a key in the meantime: that is not passed over either.
    let before = context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
    let other = other.or(kept.replaced.as_ref().filter(|replaced| Some(*replaced) != before));
    let report = Report {
        host: context.url().to_string(),
        profile: &context.target.profile,
        store,
        hint: last_four(&key),
        id: known.id.map(|id| id.as_str()),
        name: known.name,
        environment: known.environment,
        verified: !args.no_verify,
        replaced: other.is_some(),
        account: account.as_ref(),
    };
    print_summary(app, context, &report, other)?;
    if let Some(error) = kept.left_behind {
        return Err(anyhow::Error::from(error)
            .context("the key is stored, but a copy of the previous key could not be removed"));
    }
    Ok(Exit::Done)
}

/// A text of one line for a record; nothing for an empty one.
fn label<'a>(text: Option<&'a str>, what: &str) -> anyhow::Result<Option<&'a str>> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if text.is_some_and(|text| !is_label(text)) {
        return Err(Problem::new(Exit::Usage, format!("{what} is one line of at most 200 characters")).into());
    }
    Ok(text)
}

/// A key of ollama.com is shown to another host only if that was named in this call.
fn require_matching_host(context: &Context, key: &SecretString) -> anyhow::Result<()> {
    let url = context.url();
    let named = matches!(context.target.reason, HostReason::HostFlag | HostReason::ProfileFlag);
    if url.is_ollama_com() || named || !looks_like_ollama_com_key(key) {
        return Ok(());
    }
    let message = format!("this looks like a key for ollama.com, but the current profile is for {url}");
    let hint = format!("add --host ollama.com, or --host {url} if the key is really for that host");
    Err(Problem::new(Exit::Usage, message).hint(hint).into())
}

/// The record of the stored key if it is a different one. An unreadable key counts as different.
async fn other_key<'c>(
    app: &App,
    context: &'c Context,
    key: &SecretString,
) -> anyhow::Result<Option<&'c ApiKeyRecord>> {
    let Some(profile) = &context.profile else { return Ok(None) };
    match api_key(app, &context.target.profile, profile).await {
        Ok(stored) if stored.expose_secret() == key.expose_secret() => Ok(None),
        // Its copy is lost already.
        Err(StoredKeyError::Missing(_)) => Ok(None),
        _ => Ok(profile.api_key.as_ref()),
    }
}

async fn confirm_replacement(app: &App, context: &Context, other: &ApiKeyRecord, replace: bool) -> anyhow::Result<()> {
    if replace {
        return Ok(());
    }
    let (which, host) = (other.describe(), context.url());
    let statement = format!(
        "the profile {:?} already has the API key {which}, which stays valid at {host}",
        context.target.profile
    );
    if !app.printer.is_interactive() {
        return Err(Problem::new(Exit::Usage, statement).hint("to replace the stored copy, pass --replace").into());
    }
    app.printer.warn(&statement);
    if app.ask(|printer| printer.confirm("Replace the stored copy with this key?", false)).await?? {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "nothing was changed").into())
}

fn print_summary(
    app: &App,
    context: &Context,
    report: &Report<'_>,
    other: Option<&ApiKeyRecord>,
) -> anyhow::Result<()> {
    let (printer, host) = (&app.printer, &report.host);
    let which = report.name.map_or_else(|| "the API key".to_owned(), |name| format!("the API key {name:?}"));
    printer.success(&format!("Stored {which} for {host} in the {} store", report.store));
    if !report.verified {
        printer.note(&format!("The key was not checked at {host}."));
    }
    printer.note(&format!("The profile {:?} now uses it.", report.profile));
    if let Some(other) = other {
        printer.warn(&format!("the API key {} is no longer stored here; it stays valid at {host}", other.describe()));
        printer.hint(&how_to_revoke(other, context.url()));
    }
    if printer.is_json() {
        printer.json(report).context("the key is stored")?;
    }
    Ok(())
}
