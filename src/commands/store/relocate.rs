//! `store move`: copy, read back, switch the record, and only then delete. Killed at any point, no secret is lost; at worst
//! a copy stays behind, which the same command removes when it is run again.

use anyhow::Context as _;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{delete_secret, entry_kinds, stored_secrets};
use crate::app::App;
use crate::cli::StoreMove;
use crate::commands::context::Context;
use crate::disk::DiskError;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, Profile, entry_id};
use crate::vault::{EntryKind, StoreKind, VaultError};

#[derive(Debug, Serialize)]
struct Moved {
    profile: String,
    secret: &'static str,
    from: StoreKind,
    to: StoreKind,
}

/// Runs it.
pub async fn run(app: &App, args: StoreMove) -> anyhow::Result<Exit> {
    let to = StoreKind::from(args.to);
    // Before a person is asked for a passphrase.
    selected(app, args.all)?;
    app.vault.probe(to).await?;
    let _lock = app.lock_keys()?;
    let mut moved = Vec::new();
    for (name, profile) in &selected(app, args.all)? {
        for (kind, secret, from) in stored_secrets(profile) {
            if from == to {
                remove_leftovers(app, kind, name, profile, to).await;
                continue;
            }
            transfer(app, kind, name, profile, from, to).await?;
            moved.push(Moved { profile: name.clone(), secret, from, to });
        }
        app.profiles.update(|profiles| {
            if let Some(profile) = profiles.profiles.get_mut(name) {
                profile.store = Some(to);
                profile.moving_to = None;
            }
        })?;
    }
    if to == StoreKind::Plaintext {
        app.printer.warn("every program that runs as you can read the plaintext store");
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "moved": moved }))?;
    } else if moved.is_empty() {
        app.printer.note(&format!("Everything is already in the {to} store."));
    }
    for each in &moved {
        let what = each.secret.replace('-', " ");
        app.printer.success(&format!("{}: {what} moved from the {} store to the {to} store", each.profile, each.from));
    }
    Ok(Exit::Done)
}

/// The named or current profile, or all of them.
fn selected(app: &App, all: bool) -> anyhow::Result<Vec<(String, Profile)>> {
    let mut profiles = app.profiles.load()?;
    if all {
        return Ok(profiles.profiles.into_iter().collect());
    }
    let name = Context::decide(app, &profiles, Audience::Account)?.target.profile;
    match profiles.profiles.remove_entry(&name) {
        Some(found) => Ok(vec![found]),
        None => {
            let problem = Problem::new(Exit::NotFound, format!("there is no profile named {name:?}"));
            Err(problem.hint("see which there are: ollama-auth profile list").into())
        }
    }
}

/// On record before the first copy is made, so that a sign-out finds copies that a killed move has left.
fn set_destination(app: &App, name: &str, to: StoreKind) -> Result<(), DiskError> {
    app.profiles.update(|profiles| {
        if let Some(profile) = profiles.profiles.get_mut(name) {
            profile.moving_to = Some(to);
        }
    })
}

async fn transfer(
    app: &App,
    kind: EntryKind,
    name: &str,
    profile: &Profile,
    from: StoreKind,
    to: StoreKind,
) -> anyhow::Result<()> {
    let id = entry_id(kind, name, profile);
    for entry in entry_kinds(kind) {
        let entry = entry_id(*entry, name, profile);
        let Some(secret) = app.vault.get(from, &entry).await? else {
            if entry != id {
                continue;
            }
            let message = format!("{id} is missing from the {from} store");
            return Err(Problem::new(Exit::NotFound, message)
                .hint("sign in again: ollama-auth signin\nor remove the profile: ollama-auth profile remove NAME")
                .into());
        };
        set_destination(app, name, to)?;
        app.vault.put(to, &entry, &secret).await?;
        let back = app.vault.get(to, &entry).await?;
        if back.as_ref().map(ExposeSecret::expose_secret) != Some(secret.expose_secret()) {
            let message = format!("{entry} could not be read back from the {to} store; nothing was moved");
            return Err(Problem::new(Exit::Failed, message).into());
        }
    }
    app.profiles.update(|profiles| {
        let Some(profile) = profiles.profiles.get_mut(name) else {
            return;
        };
        match kind {
            EntryKind::ApiKey => profile.api_key.iter_mut().for_each(|key| key.store = to),
            _ => profile.device.iter_mut().for_each(|device| device.store = to),
        }
    })?;
    let left = || format!("{id} is now in the {to} store, but its copy in the {from} store could not be removed");
    delete_secret(app, from, kind, name, profile).await.with_context(left)?;
    Ok(())
}

/// A move that was killed between the switch and the deletion left a copy behind. Stores that cannot be
/// reached are skipped.
async fn remove_leftovers(app: &App, kind: EntryKind, name: &str, profile: &Profile, to: StoreKind) {
    for other in [StoreKind::Keyring, StoreKind::File, StoreKind::Plaintext] {
        if other == to {
            continue;
        }
        let removed: Result<bool, VaultError> = delete_secret(app, other, kind, name, profile).await;
        if matches!(removed, Ok(true)) {
            app.printer.note(&format!("Removed a leftover copy from the {other} store."));
        }
    }
}
