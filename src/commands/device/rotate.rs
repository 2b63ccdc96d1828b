//! `device rotate`: a new key is stored, approved in the browser and taken into use before the old one is disconnected.
//! Killed at any point, the old key still works or the new one already does; running it again continues where it stopped.

use std::sync::Arc;

use super::{disconnect_key, with_device};
use crate::api::{Credential, Me, Session};
use crate::app::App;
use crate::cli::DeviceRotate;
use crate::commands::confirm::confirm_shared_key;
use crate::commands::context::{device_key, require_accounts, sign_in_hint, with_known_host};
use crate::commands::signin::{ApprovalLink, ApprovalPoll, TypedCode, wait_for_link_offer};
use crate::exit::{Exit, Problem};
use crate::identity::{ConnectUrl, DeviceKey, PublicKey};
use crate::profile::{DeviceRecord, Profile, entry_id};
use crate::vault::EntryKind;

/// The message when a rotation is resumed.
const RESUMED: &str = "Resuming the interrupted rotation.";

/// Runs it.
pub async fn run(app: &App, args: DeviceRotate) -> anyhow::Result<Exit> {
    let (name, profile, record) = with_device(app)?;
    let held = Arc::new(device_key(app, &name, &profile).await?);
    confirm_shared_key(app, args.yes, &name, &profile).await?;
    let session = open(app, &profile, &held)?;
    require_accounts(&session).await?;
    if !matches!(session.me().await?, Me::SignedIn(_)) {
        let message = format!("not signed in to {} with this device, so there is no key to rotate", profile.url);
        return Err(Problem::new(Exit::SignIn, message).hint(sign_in_hint(&profile.url)).into());
    }
    // Cut short while the new key was taken into use: the store holds it already.
    let new = if record.next.as_ref() == Some(held.public()) {
        app.printer.note(RESUMED);
        held.clone()
    } else {
        Arc::new(successor(app, &name, &profile).await?)
    };
    let account = match approve(app, &args, &profile, &record, &new).await {
        Ok(account) => account,
        Err(error) => {
            // The host would refuse the same key every time: the next rotation creates another.
            if Problem::from_error(&error).exit == Exit::Forbidden {
                forget_successor(app, &name, &profile, new.public()).await?;
            }
            return Err(error);
        }
    };
    let session = open(app, &profile, &new)?;
    if !take_into_use(app, &name, &profile, &record, &new).await? {
        disconnect_key(&session, new.public()).await?;
        let message = "the device key was changed here during the approval; the new key was disconnected";
        return Err(Problem::new(Exit::Failed, message).hint("check it with: ollama-auth device show").into());
    }
    let host = &profile.url;
    let fingerprint = new.public().grouped_fingerprint();
    app.printer.success(&format!("The new key {fingerprint} is in use at {host} as {}", account.label()));
    let disconnected = retire_all(app, &name, &session).await?;
    let old = &record.public_key;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "host": host,
            "new": new.public().fingerprint(),
            "old": old.fingerprint(),
            "old_encoded": old.encoded(),
            "old_disconnected": disconnected,
        }))?;
    }
    Ok(if disconnected { Exit::Done } else { Exit::Failed })
}

/// Disconnects the keys that rotations have replaced, this one's and any that an earlier one could not. They stay on record
/// until the host has let them go. `false` when one is left.
async fn retire_all(app: &App, name: &str, session: &Session<'_>) -> anyhow::Result<bool> {
    let profiles = app.profiles.load()?;
    let record = profiles.profiles.get(name).and_then(|profile| profile.device.as_ref());
    let mut all = true;
    for old in record.map(|record| record.retired.clone()).unwrap_or_default() {
        let fingerprint = old.grouped_fingerprint();
        match disconnect_key(session, &old).await {
            Ok(_) => {
                app.profiles.update(|profiles| {
                    if let Some(device) = profiles.profiles.get_mut(name).and_then(|profile| profile.device.as_mut()) {
                        device.retired.retain(|key| *key != old);
                    }
                })?;
                app.printer.success(&format!("The old key {fingerprint} is disconnected"));
            }
            Err(error) => {
                all = false;
                app.printer.warn(&format!(
                    "the old key {fingerprint} could not be disconnected: {error:#}; try again: ollama-auth device revoke {} --yes",
                    old.encoded()
                ));
            }
        }
    }
    Ok(all)
}

fn open<'a>(app: &'a App, profile: &Profile, key: &Arc<DeviceKey>) -> anyhow::Result<Session<'a>> {
    let credential = Credential::Device(key.clone());
    let allow = app.global.allow_insecure_http;
    let session = Session::new(&app.transport, profile.url.clone(), credential, allow, app.now)?;
    Ok(with_known_host(session, Some(profile)))
}

/// The key that an interrupted rotation, or one that runs beside this, has made; else a new one. It is stored before anybody
/// hears of it.
async fn successor(app: &App, name: &str, profile: &Profile) -> anyhow::Result<DeviceKey> {
    let _lock = app.lock_keys()?;
    let profiles = app.profiles.load()?;
    let now = profiles.profiles.get(name).and_then(|profile| profile.device.as_ref());
    let Some(record) = now else {
        return Err(Problem::new(Exit::Failed, "another command removed the device key at the same time").into());
    };
    let id = entry_id(EntryKind::NextDeviceKey, name, profile);
    if let Some(pem) = app.vault.get(record.store, &id).await? {
        let key = DeviceKey::from_openssh(secrecy::ExposeSecret::expose_secret(&pem), None)?;
        if record.next.as_ref() == Some(key.public()) {
            app.printer.note(RESUMED);
            return Ok(key);
        }
    }
    let key = DeviceKey::generate()?;
    app.vault.put(record.store, &id, &key.to_openssh(None)?).await?;
    app.profiles.update(|profiles| {
        if let Some(device) = profiles.profiles.get_mut(name).and_then(|profile| profile.device.as_mut()) {
            device.next = Some(key.public().clone());
        }
    })?;
    Ok(key)
}

async fn forget_successor(app: &App, name: &str, profile: &Profile, refused: &PublicKey) -> anyhow::Result<()> {
    let _lock = app.lock_keys()?;
    let profiles = app.profiles.load()?;
    let now = profiles.profiles.get(name).and_then(|profile| profile.device.as_ref());
    let Some(record) = now.filter(|record| record.next.as_ref() == Some(refused)) else {
        return Ok(());
    };
    app.vault.delete(record.store, &entry_id(EntryKind::NextDeviceKey, name, profile)).await?;
    app.profiles.update(|profiles| {
        if let Some(device) = profiles.profiles.get_mut(name).and_then(|profile| profile.device.as_mut()) {
            device.next = None;
        }
    })?;
    Ok(())
}

async fn approve(
    app: &App,
    args: &DeviceRotate,
    profile: &Profile,
    record: &DeviceRecord,
    new: &Arc<DeviceKey>,
) -> anyhow::Result<crate::identity::Account> {
    let session = open(app, profile, new)?;
    let user_code = match wait_for_link_offer(app, &session, args.timeout.0).await? {
        Me::SignedIn(account) => return Ok(account),
        Me::SignedOut { user_code, .. } => user_code,
    };
    let link = ConnectUrl::new(&profile.url, &record.name, new.public());
    let code = user_code.map(|code| TypedCode::new(&code, &link));
    let link = link.to_string();
    let facts = [("Device", record.name.clone()), ("New key", new.public().grouped_fingerprint())];
    let fingerprint = new.public().fingerprint();
    let fingerprint = Some(fingerprint.as_str());
    let (url, code, open) = (link.as_str(), code.as_ref(), !args.no_browser);
    ApprovalLink { url, facts: &facts, code, fingerprint, qr: args.qr, open }.show(app);
    let host = profile.url.to_string();
    let resume = "the old key still works; to continue, run: ollama-auth device rotate";
    let poll = ApprovalPoll { host: &host, timeout: args.timeout.0, resume };
    Ok(poll.until_approved(app, async || session.me().await).await?.account)
}

/// The new key takes the old one's place, in the store first. Between the two writes the store holds the successor that the
/// record names as such, and running the command again finishes the work. `false`, and nothing done, when the key that was to be
/// replaced is not this device's any more.
async fn take_into_use(
    app: &App,
    name: &str,
    profile: &Profile,
    before: &DeviceRecord,
    new: &Arc<DeviceKey>,
) -> anyhow::Result<bool> {
    let _lock = app.lock_keys()?;
    let profiles = app.profiles.load()?;
    let now = profiles.profiles.get(name).and_then(|profile| profile.device.as_ref());
    let Some(record) = now else { return Ok(false) };
    // A rotation beside this one has finished with the same successor.
    if record.public_key == *new.public() {
        return Ok(true);
    }
    if record.public_key != before.public_key || record.next.as_ref() != Some(new.public()) {
        return Ok(false);
    }
    let id = entry_id(EntryKind::DeviceKey, name, profile);
    app.vault.put(record.store, &id, &new.to_openssh(None)?).await?;
    let created_at = (app.now)();
    app.profiles.update(|profiles| {
        if let Some(device) = profiles.profiles.get_mut(name).and_then(|profile| profile.device.as_mut()) {
            device.retired.push(std::mem::replace(&mut device.public_key, new.public().clone()));
            device.created_at = created_at;
            device.connected = true;
            device.imported_from = None;
            device.imported = false;
            device.next = None;
        }
    })?;
    app.vault.delete(record.store, &entry_id(EntryKind::NextDeviceKey, name, profile)).await?;
    Ok(true)
}
