//! `device rotate`: a new key is stored, approved in the browser and taken into use before the old one is disconnected.
//! Killed at any point, the old key still works or the new one already does; running it again goes on where it stopped.

use std::sync::Arc;

use super::with_device;
use crate::api::{Credential, Me, Session};
use crate::app::App;
use crate::cli::DeviceRotate;
use crate::commands::consent;
use crate::commands::context::{account_host, device_key, sign_in};
use crate::commands::signin::{Link, Poll};
use crate::exit::{Exit, Problem};
use crate::identity::{ConnectUrl, DeviceKey, PublicKey};
use crate::profile::{DeviceRecord, Profile, entry_id};
use crate::vault::EntryKind;

/// What is said when a rotation goes on.
const RESUMED: &str = "Going on with the rotation that was interrupted.";

/// Runs it.
pub async fn run(app: &App, args: DeviceRotate) -> anyhow::Result<Exit> {
    let (name, profile, record) = with_device(app)?;
    let held = Arc::new(device_key(app, &name, &profile).await?);
    let old = &record.public_key;
    consent::ask_about_shared_key(app, args.yes, &name, &profile).await?;
    let session = open(app, &profile, &held)?;
    account_host(&session).await?;
    if !matches!(session.me().await?, Me::SignedIn(_)) {
        let message = format!("{} does not know this device's key, so there is nothing to rotate", profile.url);
        return Err(Problem::new(Exit::SignIn, message).hint(sign_in(&profile.url)).into());
    }
    // Cut short while the new key was taken into use: the store holds it already.
    let new = if record.next.as_ref() == Some(held.public()) {
        app.printer.note(RESUMED);
        held.clone()
    } else {
        Arc::new(successor(app, &name, &profile, &record).await?)
    };
    let account = match approve(app, &args, &profile, &record, &new).await {
        Ok(account) => account,
        Err(error) => {
            // A key that the host refused would be refused for ever: the next rotation makes another.
            if Problem::of(&error).exit == Exit::Forbidden {
                forget_successor(app, &name, &profile, &record).await?;
            }
            return Err(error);
        }
    };
    take_into_use(app, &name, &profile, &record, &new).await?;
    let host = &profile.url;
    let fingerprint = new.public().fingerprint();
    app.printer.success(&format!("The new key {fingerprint} is in use at {host} as {}", account.label()));
    let disconnected = match retire(&open(app, &profile, &new)?, old).await {
        Ok(()) => {
            app.printer.success(&format!("The old key {} is disconnected", old.fingerprint()));
            true
        }
        Err(error) => {
            app.printer.warn(&format!("the old key {} could not be disconnected: {error:#}", old.fingerprint()));
            app.printer.hint(&format!("try again: ollama-auth device revoke {} --yes", old.encoded()));
            false
        }
    };
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "host": host,
            "new": new.public().fingerprint(),
            "old": old.fingerprint(),
            "old_disconnected": disconnected,
        }))?;
    }
    Ok(if disconnected { Exit::Done } else { Exit::Failed })
}

/// The approval may have taken minutes, so what answers there is asked again.
async fn retire(session: &Session<'_>, old: &PublicKey) -> anyhow::Result<()> {
    session.disconnect_device(account_host(session).await?, old).await?;
    Ok(())
}

fn open<'a>(app: &'a App, profile: &Profile, key: &Arc<DeviceKey>) -> anyhow::Result<Session<'a>> {
    let credential = Credential::Device(key.clone());
    Ok(Session::new(&app.transport, profile.url.clone(), credential, app.global.allow_insecure_http, app.now)?)
}

/// The key that an interrupted rotation left, or a new one; stored before anybody hears of it.
async fn successor(app: &App, name: &str, profile: &Profile, record: &DeviceRecord) -> anyhow::Result<DeviceKey> {
    let _lock = app.lock_keys()?;
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

async fn forget_successor(app: &App, name: &str, profile: &Profile, record: &DeviceRecord) -> anyhow::Result<()> {
    let _lock = app.lock_keys()?;
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
    if let Me::SignedIn(account) = session.me().await? {
        return Ok(account);
    }
    let link = ConnectUrl::new(&profile.url, &record.name, new.public()).to_string();
    let facts = [("Device", record.name.clone()), ("New key", new.public().fingerprint())];
    Link { url: &link, facts: &facts, qr: args.qr, open: !args.no_browser }.present(app);
    let host = profile.url.to_string();
    let resume = "run `ollama-auth device rotate` again to go on; the old key still works";
    let poll = Poll { host: &host, timeout: args.timeout.0, resume };
    Ok(poll.until_approved(app, async || session.me().await).await?.account)
}

/// The new key takes the old one's place, in the store first. Between the two writes the store holds the successor that the
/// record names as such, and running the command again finishes the work.
async fn take_into_use(
    app: &App,
    name: &str,
    profile: &Profile,
    record: &DeviceRecord,
    new: &Arc<DeviceKey>,
) -> anyhow::Result<()> {
    let _lock = app.lock_keys()?;
    let id = entry_id(EntryKind::DeviceKey, name, profile);
    app.vault.put(record.store, &id, &new.to_openssh(None)?).await?;
    let now = (app.now)();
    app.profiles.update(|profiles| {
        if let Some(device) = profiles.profiles.get_mut(name).and_then(|profile| profile.device.as_mut()) {
            device.public_key = new.public().clone();
            device.created_at = now;
            device.connected = true;
            device.imported_from = None;
            device.next = None;
        }
    })?;
    app.vault.delete(record.store, &entry_id(EntryKind::NextDeviceKey, name, profile)).await?;
    Ok(())
}
