//! `store`: where secrets are stored; and the choice of a store for a new secret.

mod relocate;

use serde::Serialize;

use crate::app::App;
use crate::cli::StoreCommand;
use crate::disk;
use crate::exit::{Exit, Problem};
use crate::profile::{Profile, entry_id};
use crate::ui::{Column, Table, Tint};
use crate::vault::{EntryKind, StoreKind, VaultError};

/// Runs it.
pub async fn run(app: &App, command: StoreCommand) -> anyhow::Result<Exit> {
    match command {
        StoreCommand::Show => show(app).await,
        StoreCommand::Move(args) => relocate::run(app, args).await,
        StoreCommand::Lock => lock(app),
    }
}

/// `store lock`: removes the encrypted file's key from the kernel's keyring.
fn lock(app: &App) -> anyhow::Result<Exit> {
    let removed = app.vault.lock()?;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "removed": removed }))?;
    } else if removed {
        app.printer.success("Locked: commands ask for the passphrase again");
    } else {
        app.printer.note("No key is kept: commands ask for the passphrase.");
    }
    Ok(Exit::Done)
}

/// The store for a new secret, probed so that it will not fail later: what this call asks for, what the profile used
/// before, else the keyring, else (where there is none) the encrypted file.
///
/// # Errors
/// When the store cannot be used; never falls back to plaintext.
pub async fn choose_store(app: &App, profile: Option<&Profile>) -> anyhow::Result<StoreKind> {
    if let Some(store) = app.wanted_store()?.or_else(|| profile.and_then(|profile| profile.store)) {
        if store == StoreKind::File {
            explain_new_encrypted_file(app, None);
        }
        app.vault.probe(store).await?;
        return Ok(store);
    }
    let unavailable = match app.vault.probe(StoreKind::Keyring).await {
        Ok(()) => return Ok(StoreKind::Keyring),
        Err(error @ VaultError::KeyringUnavailable { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    if !explain_new_encrypted_file(app, Some(&unavailable)) {
        app.printer.note("No keyring is available; using the encrypted file.");
    }
    match app.vault.probe(StoreKind::File).await {
        Ok(()) => Ok(StoreKind::File),
        Err(VaultError::NoPassphrase { .. }) => {
            let hint = "for an encrypted file give a passphrase (OLLAMA_AUTH_PASSPHRASE or --passphrase-file); \
                        to keep the key readable on disk, say so with --store plaintext";
            Err(Problem::new(Exit::Failed, format!("no store is available for the secret: {unavailable}"))
                .hint(hint)
                .into())
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Serialize)]
struct Row {
    profile: String,
    host: String,
    /// `device-key` or `api-key`.
    secret: &'static str,
    store: StoreKind,
    /// `present`, `missing`, or why it is unknown.
    state: String,
}

/// `store show`: where each secret is stored, and whether it can be read.
async fn show(app: &App) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let mut rows = Vec::new();
    for (name, profile) in &profiles.profiles {
        for (kind, secret, store) in stored_secrets(profile) {
            let state = match app.vault.get(store, &entry_id(kind, name, profile)).await {
                Ok(Some(_)) => "present".to_owned(),
                Ok(None) => "missing".to_owned(),
                Err(error) => error.to_string(),
            };
            rows.push(Row { profile: name.clone(), host: profile.url.to_string(), secret, store, state });
        }
    }
    if app.printer.is_json() {
        let default = app.wanted_store()?.unwrap_or(StoreKind::Keyring);
        app.printer.json(&serde_json::json!({ "default": default, "data_folder": app.paths.data, "secrets": rows }))?;
    } else if rows.is_empty() {
        app.printer.note("Nothing is stored.");
    } else {
        let mut table = Table::new([
            Column::new("profile"),
            Column::new("host").shrinks_to(16).optional(1),
            Column::new("secret"),
            Column::new("store"),
            Column::new("state").shrinks_to(16).state(),
        ]);
        for row in &rows {
            let tint = if row.state == "present" { Tint::Good } else { Tint::Bad };
            table.push_tinted(tint, [row.profile.as_str(), &row.host, row.secret, row.store.as_str(), &row.state]);
        }
        app.printer.table(&table)?;
    }
    Ok(Exit::Done)
}

/// The entries that a secret may have in its store: a device key has a second one while it is being rotated.
pub fn entry_kinds(kind: EntryKind) -> &'static [EntryKind] {
    match kind {
        EntryKind::ApiKey => &[EntryKind::ApiKey],
        _ => &[EntryKind::DeviceKey, EntryKind::NextDeviceKey],
    }
}

/// Removes a secret from a store, with all its entries. `true` when it was there.
///
/// # Errors
/// Those of the store.
pub async fn delete_secret(
    app: &App,
    store: StoreKind,
    kind: EntryKind,
    name: &str,
    profile: &Profile,
) -> Result<bool, VaultError> {
    let mut found = false;
    for entry in entry_kinds(kind) {
        let id = entry_id(*entry, name, profile);
        found |= app.vault.delete(store, &id).await?;
    }
    Ok(found)
}

/// The secrets that a profile has, with their stores.
pub fn stored_secrets(profile: &Profile) -> Vec<(EntryKind, &'static str, StoreKind)> {
    let device = profile.device.iter().map(|device| (EntryKind::DeviceKey, "device-key", device.store));
    let key = profile.api_key.iter().map(|key| (EntryKind::ApiKey, "api-key", key.store));
    device.chain(key).collect()
}

/// As [`delete_secret`], and from everywhere an interrupted move may have left a copy: the store it went to, the plaintext file.
/// The caller removes the record next. Removing a secret needs no space on the disk but changing the record does: with a full disk
/// nothing is removed.
///
/// # Errors
/// Those of the stores, and when the profiles cannot be written.
pub async fn delete_all_copies(
    app: &App,
    store: StoreKind,
    kind: EntryKind,
    name: &str,
    profile: &Profile,
) -> anyhow::Result<bool> {
    disk::probe_writable(app.profiles.path())?;
    let found = delete_secret(app, store, kind, name, profile).await?;
    for other in profile.moving_to.into_iter().chain([StoreKind::Plaintext]).filter(|other| *other != store) {
        delete_secret(app, other, kind, name, profile).await?;
    }
    Ok(found)
}

/// Before a person is asked for a new passphrase: says where the secret will be stored, why that takes a passphrase, and how not
/// to type it each time. `false` where no prompt for a new one follows.
fn explain_new_encrypted_file(app: &App, no_keyring: Option<&VaultError>) -> bool {
    let Some(file) = app.vault.file(StoreKind::File).filter(|file| app.prompts_for_passphrase && !file.exists()) else {
        return false;
    };
    let reason =
        if no_keyring.is_some() { "No keyring is available on this machine, so your secrets" } else { "Your secrets" };
    let advice = if cfg!(target_os = "linux") && !app.env.keep_unlocked {
        " To type it\nevery 15 minutes at most, set OLLAMA_AUTH_KEEP_UNLOCKED=1."
    } else {
        ""
    };
    app.printer.report(&format!(
        "{reason} will be stored in an\nencrypted file:\n  {}\n\nA passphrase protects it. To avoid typing it each time, write it to a file that\nonly you can read, and set OLLAMA_AUTH_PASSPHRASE_FILE to that file.{advice}",
        file.display()
    ));
    true
}
