//! `profile`: one for each host that this person signs in to.

use crate::app::App;
use crate::cli::{ProfileCommand, ProfileRemove, ProfileUse};
use crate::commands::confirm::{UnfinishedRotations, confirm};
use crate::commands::context::require_unchanged;
use crate::commands::keys::how_to_revoke;
use crate::commands::names::Names;
use crate::commands::store::{delete_all_copies, stored_secrets};
use crate::exit::{Exit, Problem};
use crate::profile::{NoSuchProfile, Profile, Profiles};
use crate::ui::{Column, Table, Tint};

/// Runs it.
pub async fn run(app: &App, command: ProfileCommand) -> anyhow::Result<Exit> {
    match command {
        ProfileCommand::List => list(app),
        ProfileCommand::Use(args) => select(app, &args),
        ProfileCommand::Show { name } => show(app, name),
        ProfileCommand::Remove(args) => remove(app, args).await,
    }
}

/// The profile of that name.
fn named<'a>(profiles: &'a Profiles, name: &str) -> Result<&'a Profile, NoSuchProfile> {
    profiles
        .profiles
        .get(name)
        .ok_or_else(|| NoSuchProfile { name: name.to_owned(), known: profiles.profiles.keys().cloned().collect() })
}

/// What a profile signs in with, in words.
fn credential_label(profile: &Profile) -> &'static str {
    match (&profile.api_key, &profile.device) {
        (Some(_), Some(device)) if device.connected => "API key, device key",
        (Some(_), _) => "API key",
        (None, Some(device)) if device.connected => "device key",
        (None, Some(_)) => "device key, not connected",
        (None, None) => "none",
    }
}

/// No profile was named and none is current.
fn none_current() -> Problem {
    Problem::new(Exit::NotFound, "there is no current profile").hint("sign in: ollama-auth signin")
}

/// `profile list`
fn list(app: &App) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let is_current = |name: &str| profiles.current.as_deref() == Some(name);
    if app.printer.is_json() {
        let rows: Vec<_> = profiles
            .profiles
            .iter()
            .map(|(name, profile)| {
                serde_json::json!({
                    "name": name,
                    "current": is_current(name),
                    "host": profile.url,
                    "account": profile.account,
                    "credential": credential_label(profile),
                })
            })
            .collect();
        app.printer.json(&serde_json::json!({ "profiles": rows }))?;
        return Ok(Exit::Done);
    }
    if profiles.profiles.is_empty() {
        app.printer.note("There are no profiles yet.");
        app.printer.hint("sign in: ollama-auth signin");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        Column::new("").state(),
        Column::new("name"),
        Column::new("host").shrinks_to(20).optional(2),
        Column::new("account").shrinks_to(12),
        Column::new("credential").optional(1),
    ]);
    for (name, profile) in &profiles.profiles {
        let account = profile.account.as_ref().map_or("-", |account| account.label());
        let mark = if is_current(name) { "*" } else { "" };
        table.push_tinted(Tint::Good, [mark, name, &profile.url.to_string(), account, credential_label(profile)]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// `profile show`
fn show(app: &App, name: Option<String>) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let name =
        name.or_else(|| app.global.profile.clone()).or_else(|| profiles.current.clone()).ok_or_else(none_current)?;
    let profile = named(&profiles, &name)?;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "name": name,
            "current": profiles.current.as_deref() == Some(&name),
            "profile": profile,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = vec![("Profile", name.clone()), ("Host", profile.url.to_string())];
    if let Some(account) = &profile.account {
        facts.push(("Account", account.label().to_owned()));
    }
    if let Some(key) = &profile.api_key {
        facts.push(("API key", format!("ends in {}, stored in the {} store", key.hint, key.store)));
        let known = [("Key name", &key.name), ("Key id", &key.id), ("Environment", &key.environment)];
        facts.extend(known.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    }
    if let Some(device) = &profile.device {
        let state = if device.connected { "" } else { ", not connected" };
        facts.push(("Device", format!("{}{state}", device.name)));
        facts.push(("Fingerprint", device.public_key.grouped_fingerprint()));
        facts.push(("Device key", format!("stored in the {} store", device.store)));
        if let Some(file) = &device.imported_from {
            facts.push(("Shared with", file.display().to_string()));
        }
    }
    app.printer.facts(&facts)?;
    Ok(Exit::Done)
}

/// `profile use`
fn select(app: &App, args: &ProfileUse) -> anyhow::Result<Exit> {
    named(&app.profiles.load()?, &args.name)?;
    let url = app.profiles.update(|profiles| {
        profiles.current = Some(args.name.clone());
        profiles.profiles.get(&args.name).map(|profile| profile.url.to_string())
    })?;
    app.printer.success(&format!("{} is now the current profile ({})", args.name, url.unwrap_or_default()));
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "current": args.name }))?;
    }
    Ok(Exit::Done)
}

/// `profile remove`: removes a profile and its secrets from this machine. Nothing changes at the host, and the command says so.
async fn remove(app: &App, args: ProfileRemove) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let profile = named(&profiles, &args.name)?;
    let unfinished = UnfinishedRotations::load(app, &args.name, profile, args.force)?;
    let still_valid = profile.has_credential();
    let statement = format!("the profile {:?} has a credential, which stays valid at {}", args.name, profile.url);
    let question =
        format!("Remove {:?} and its secrets from this machine? They stay valid at {}.", args.name, profile.url);
    confirm(app, args.yes || !still_valid, &statement, &question).await?;
    let _lock = app.lock_keys()?;
    require_unchanged(app, &args.name, Some(profile))?;
    for (kind, _, store) in stored_secrets(profile) {
        delete_all_copies(app, store, kind, &args.name, profile).await?;
    }
    app.profiles.update(|profiles| {
        profiles.profiles.remove(&args.name);
        if profiles.current.as_ref() == Some(&args.name) {
            profiles.current = None;
        }
    })?;
    Names::new(&app.paths).remove(&profile.url);
    app.printer.success(&format!("Removed the profile {}", args.name));
    if still_valid {
        app.printer.warn(&format!("its credential stays valid at {} until it is revoked there", profile.url));
        if let Some(record) = &profile.api_key {
            app.printer.hint(&how_to_revoke(record, &profile.url));
        }
    }
    unfinished.abandon(app, profile).await?;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "removed": args.name, "still_valid_at_host": still_valid }))?;
    }
    Ok(Exit::Done)
}
