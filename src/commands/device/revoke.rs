//! `device revoke`: disconnects a device at the host, this one or another.

use std::sync::Arc;

use crate::api::{Credential, CredentialCheck, Disconnect, Me, Session};
use crate::app::App;
use crate::cli::DeviceRevoke;
use crate::commands::confirm::{confirm, confirm_shared_key};
use crate::commands::context::{Context, device_key, no_accounts_problem, require_accounts, sign_in_hint};
use crate::commands::store::{delete_all_copies, stored_secrets};
use crate::exit::{Exit, Problem};
use crate::identity::{PublicKey, group_fingerprint, parse_fingerprint};
use crate::profile::{Audience, DeviceRecord, Profiles};
use crate::vault::EntryKind;

/// Runs it.
pub async fn run(app: &App, args: DeviceRevoke) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let context = Context::decide(app, &profiles, Audience::Account)?;
    let name = &context.target.profile;
    let Some(profile) = context.profile.as_ref().filter(|profile| profile.device.is_some()) else {
        let message = format!("the profile {name:?} has no device key, which is needed to sign the request");
        return Err(Problem::new(Exit::SignIn, message).hint(sign_in_hint(context.url())).into());
    };
    let own = device_key(app, name, profile).await?;
    let key = match &args.key {
        Some(text) => find_key(&profiles, text)?,
        None => own.public().clone(),
    };
    let is_own = key == *own.public();
    let shared = is_own && profile.device.as_ref().is_some_and(|device| device.imported_from.is_some());
    if shared {
        confirm_shared_key(app, args.yes, name, profile).await?;
    } else {
        let which = if is_own { "this device" } else { "the device" };
        let what = format!("{which} {} from {}", key.grouped_fingerprint(), context.url());
        confirm(app, args.yes, &format!("this would disconnect {what}"), &format!("Disconnect {what}?")).await?;
    }
    let session = context.session_with(app, Credential::Device(Arc::new(own)))?;
    let Some(record) = profile.device.as_ref().filter(|_| is_own) else {
        let known = disconnect_other(&session, &key).await? == Disconnect::Done;
        return report(app, &context, &key, known);
    };
    let known = disconnect_all_keys(&session, record, &key).await? == Disconnect::Done;
    let _lock = app.lock_keys()?;
    let now = app.profiles.load()?.profiles.remove(name);
    if now.as_ref().and_then(|profile| profile.device.as_ref()) == Some(record) {
        for (kind, _, store) in stored_secrets(profile).into_iter().filter(|(kind, ..)| *kind == EntryKind::DeviceKey) {
            delete_all_copies(app, store, kind, name, profile).await?;
        }
        app.profiles.update(|profiles| {
            if let Some(profile) = profiles.profiles.get_mut(name) {
                profile.device = None;
                profile.account = None;
            }
        })?;
    }
    report(app, &context, &key, known)
}

fn report(app: &App, context: &Context, key: &PublicKey, known: bool) -> anyhow::Result<Exit> {
    let host = context.url();
    if known {
        app.printer.success(&format!("Disconnected {} from {host}", key.grouped_fingerprint()));
    } else {
        app.printer.note(&format!("{host} does not know {}: it was already disconnected.", key.grouped_fingerprint()));
    }
    if app.printer.is_json() {
        app.printer
            .json(&serde_json::json!({ "fingerprint": key.fingerprint(), "host": host, "was_connected": known }))?;
    }
    Ok(Exit::Done)
}

/// The selected key: a fingerprint can only select a key that is stored here, since a host cannot be asked for it.
fn find_key(profiles: &Profiles, text: &str) -> anyhow::Result<PublicKey> {
    let text = text.trim();
    if let Ok(key) = PublicKey::from_line(text) {
        return Ok(key);
    }
    if let Ok(fingerprint) = parse_fingerprint(text) {
        let keys = profiles.profiles.values().filter_map(|profile| profile.device.as_ref());
        let found = keys.map(|device| &device.public_key).find(|key| key.fingerprint() == fingerprint);
        return found.cloned().ok_or_else(|| {
            Problem::new(
                Exit::NotFound,
                format!("no stored key has the fingerprint {}", group_fingerprint(&fingerprint)),
            )
            .hint("for a device of another machine, pass its public key line or encoded key")
            .into()
        });
    }
    PublicKey::from_encoded(text).map_err(|_| {
        Problem::new(Exit::Usage, "not a public key")
            .hint("pass a public key line (ssh-ed25519 …), an encoded key, or a fingerprint (SHA256:…)")
            .into()
    })
}

/// Another device than this one can only be disconnected by a device that the host knows.
async fn disconnect_other(session: &Session<'_>, key: &PublicKey) -> anyhow::Result<Disconnect> {
    if let Me::SignedOut { .. } = session.me().await? {
        require_accounts(session).await?;
        let host = session.base();
        let message = format!("this device is not signed in to {host}, so it cannot disconnect another one");
        return Err(Problem::new(Exit::SignIn, message).hint(sign_in_hint(host)).into());
    }
    disconnect_key(session, key).await
}

/// Disconnects one device.
///
/// # Errors
/// A host that keeps no accounts, and every answer that leaves a doubt.
pub async fn disconnect_key(session: &Session<'_>, key: &PublicKey) -> anyhow::Result<Disconnect> {
    match session.check_credential().await? {
        CredentialCheck::Accepted(proof) => Ok(session.disconnect_device(proof, key).await?),
        CredentialCheck::Unknown => Ok(Disconnect::Unknown),
        CredentialCheck::Inconclusive(error) => Err(error.into()),
        CredentialCheck::NoAccounts(kind) => Err(no_accounts_problem(session, kind).into()),
    }
}

/// Disconnects a device with all its keys: those that a rotation has replaced, the one that it has not finished, and last the
/// one that the session signs with, whose fate is returned.
///
/// # Errors
/// As for [`disconnect_key`]; what was disconnected until then stays so.
pub async fn disconnect_all_keys(
    session: &Session<'_>,
    record: &DeviceRecord,
    own: &PublicKey,
) -> anyhow::Result<Disconnect> {
    let others = record.retired.iter().chain(&record.next).chain(std::iter::once(&record.public_key));
    for key in others.filter(|key| *key != own) {
        disconnect_key(session, key).await?;
    }
    disconnect_key(session, own).await
}
