//! `device rotate`: a new key is stored, approved in the browser and taken into use before the old one is disconnected.
//! Killed at any point, the old key still works or the new one already does; running it again goes on where it stopped.

use std::sync::Arc;

use super::with_device;
use crate::api::{Credential, HostKind, Me, Session};
use crate::app::App;
use crate::cli::DeviceRotate;
use crate::commands::context::{device_key, sign_in};
use crate::commands::signin::{Link, Poll};
use crate::exit::{Exit, Problem};
use crate::identity::{ConnectUrl, DeviceKey};
use crate::profile::{DeviceRecord, Profile, entry_id};
use crate::vault::EntryKind;

/// Runs it.
pub async fn run(app: &App, args: DeviceRotate) -> anyhow::Result<Exit> {
    let (name, profile, record) = with_device(app)?;
    let old = Arc::new(device_key(app, &name, &profile).await?);
    let session = open(app, &profile, &old)?;
    if !matches!(session.host_kind().await?, HostKind::AccountHost { .. }) {
        let message = format!(
            "{} has no accounts, so no device key can be rotated there",
            profile.url
        );
        return Err(Problem::new(Exit::Failed, message).into());
    }
    if !matches!(session.me().await?, Me::SignedIn(_)) {
        let message = format!(
            "{} does not know this device's key, so there is nothing to rotate",
            profile.url
        );
        return Err(Problem::new(Exit::SignIn, message)
            .hint(sign_in(&profile.url))
            .into());
    }
    let new = Arc::new(successor(app, &name, &profile, &record).await?);
    let account = approve(app, &args, &profile, &record, &new).await?;
    take_into_use(app, &name, &profile, &record, &new).await?;
    let host = &profile.url;
    app.printer.success(&format!(
        "The new key {} is in use at {host} as {}",
        new.public().fingerprint(),
        account.label()
    ));
    let disconnected = match session.disconnect_device(old.public()).await {
        Ok(_) => true,
        Err(error) => {
            app.printer.warn(&format!(
                "the old key {} could not be disconnected: {error}",
                old.public().fingerprint()
            ));
            app.printer.hint(&format!(
                "try again: ollama-auth device revoke {} --yes",
                old.public().encoded()
            ));
            false
        }
    };
    if disconnected {
        app.printer.success(&format!(
            "The old key {} is disconnected",
            old.public().fingerprint()
        ));
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "host": host,
            "new": new.public().fingerprint(),
            "old": old.public().fingerprint(),
            "old_disconnected": disconnected,
        }))?;
    }
    Ok(if disconnected {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn open<'a>(app: &'a App, profile: &Profile, key: &Arc<DeviceKey>) -> anyhow::Result<Session<'a>> {
    let credential = Credential::Device(key.clone());
    Ok(Session::new(
        &app.transport,
        profile.url.clone(),
        credential,
        app.global.allow_insecure_http,
        app.now,
    )?)
}

/// The key that an interrupted rotation left, or a new one; stored before anybody hears of it.
async fn successor(
    app: &App,
    name: &str,
    profile: &Profile,
    record: &DeviceRecord,
) -> anyhow::Result<DeviceKey> {
    let id = entry_id(EntryKind::NextDeviceKey, name, profile);
    if let Some(pem) = app.vault.get(record.store, &id).await? {
        let key = DeviceKey::from_openssh(secrecy::ExposeSecret::expose_secret(&pem), None)?;
        if record.next.as_ref() == Some(key.public()) {
            app.printer
                .note("Going on with the rotation that was interrupted.");
            return Ok(key);
        }
    }
    let key = DeviceKey::generate()?;
    app.vault
        .put(record.store, &id, &key.to_openssh(None)?)
        .await?;
    app.profiles.update(|profiles| {
        if let Some(device) = profiles
            .profiles
            .get_mut(name)
            .and_then(|profile| profile.device.as_mut())
        {
            device.next = Some(key.public().clone());
        }
    })?;
    Ok(key)
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
    let facts = [
        ("Device", record.name.clone()),
        ("New key", new.public().fingerprint()),
    ];
    Link {
        url: &link,
        facts: &facts,
        qr: args.qr,
        open: !args.no_browser,
    }
    .present(app);
    let host = profile.url.to_string();
    let resume = "run `ollama-auth device rotate` again to go on; the old key still works";
    let poll = Poll {
        host: &host,
        timeout: args.timeout.0,
        resume,
    };
    Ok(poll
        .until_approved(app, async || session.me().await)
        .await?
        .account)
}

/// The new key takes the old one's place in the store and in the record. Between the two writes the record does not match
/// the stored key; then `signin` and this command say so, and the successor's copy is still there.
async fn take_into_use(
    app: &App,
    name: &str,
    profile: &Profile,
    record: &DeviceRecord,
    new: &Arc<DeviceKey>,
) -> anyhow::Result<()> {
    let id = entry_id(EntryKind::DeviceKey, name, profile);
    app.vault
        .put(record.store, &id, &new.to_openssh(None)?)
        .await?;
    let now = (app.now)();
    app.profiles.update(|profiles| {
        if let Some(device) = profiles
            .profiles
            .get_mut(name)
            .and_then(|profile| profile.device.as_mut())
        {
            device.public_key = new.public().clone();
            device.created_at = now;
            device.connected = true;
            device.imported_from = None;
            device.next = None;
        }
    })?;
    app.vault
        .delete(
            record.store,
            &entry_id(EntryKind::NextDeviceKey, name, profile),
        )
        .await?;
    Ok(())
}
