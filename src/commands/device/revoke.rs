//! `device revoke`: disconnects a device at the host, this one or another.

use std::sync::Arc;

use crate::api::{Credential, HostKind, Me, Session};
use crate::app::App;
use crate::cli::DeviceRevoke;
use crate::commands::context::{Context, device_key, sign_in};
use crate::exit::{Exit, Problem};
use crate::identity::PublicKey;
use crate::profile::{Audience, Profile, Profiles, entry_id};
use crate::vault::EntryKind;

/// Runs it.
pub async fn run(app: &App, args: DeviceRevoke) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let context = Context::decide(app, &profiles, Audience::Account)?;
    let name = &context.target.profile;
    let Some(profile) = context
        .profile
        .as_ref()
        .filter(|profile| profile.device.is_some())
    else {
        let message = format!("the profile {name:?} has no device key to sign the request with");
        return Err(Problem::new(Exit::SignIn, message)
            .hint(sign_in(context.url()))
            .into());
    };
    let own = device_key(app, name, profile).await?;
    let key = match &args.key {
        Some(text) => find(&profiles, text)?,
        None => own.public().clone(),
    };
    let is_own = key == *own.public();
    confirm(app, &args, profile, &key, is_own)?;
    let session = context.session_with(app, Credential::Device(Arc::new(own)))?;
    let known = disconnect(&session, &key, is_own).await?;
    if is_own {
        app.vault
            .delete(
                store_of(profile),
                &entry_id(EntryKind::DeviceKey, name, profile),
            )
            .await?;
        app.profiles.update(|profiles| {
            if let Some(profile) = profiles.profiles.get_mut(name) {
                profile.device = None;
                profile.account = None;
            }
        })?;
    }
    let host = context.url();
    if known {
        app.printer
            .success(&format!("Disconnected {} from {host}", key.fingerprint()));
    } else {
        app.printer.note(&format!(
            "{host} does not know {} (any more).",
            key.fingerprint()
        ));
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "fingerprint": key.fingerprint(), "host": host, "was_connected": known }))?;
    }
    Ok(Exit::Done)
}

fn store_of(profile: &Profile) -> crate::vault::StoreKind {
    profile
        .device
        .as_ref()
        .map_or(crate::vault::StoreKind::Keyring, |device| device.store)
}

/// The key that is meant: a fingerprint stands only for a key that is kept here, since a host cannot be asked for it.
fn find(profiles: &Profiles, text: &str) -> anyhow::Result<PublicKey> {
    let text = text.trim();
    if let Ok(key) = PublicKey::from_line(text) {
        return Ok(key);
    }
    if text.starts_with("SHA256:") {
        let keys = profiles
            .profiles
            .values()
            .filter_map(|profile| profile.device.as_ref());
        let found = keys
            .map(|device| &device.public_key)
            .find(|key| key.fingerprint() == text);
        return found.cloned().ok_or_else(|| {
            Problem::new(
                Exit::NotFound,
                format!("no key kept here has the fingerprint {text}"),
            )
            .hint("give the public key line, or the encoded key, of a device that is not this one")
            .into()
        });
    }
    PublicKey::from_encoded(text).map_err(|_| {
        Problem::new(Exit::Usage, format!("{text:?} is no key"))
            .hint("give a public key line (ssh-ed25519 …), an encoded key, or a fingerprint (SHA256:…)")
            .into()
    })
}

fn confirm(
    app: &App,
    args: &DeviceRevoke,
    profile: &Profile,
    key: &PublicKey,
    is_own: bool,
) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    let which = if is_own { "this device" } else { "the device" };
    let shared = profile
        .device
        .as_ref()
        .and_then(|device| device.imported_from.as_ref())
        .filter(|_| is_own);
    let shared = shared.map_or(String::new(), |file| {
        format!(" (its key is shared with {})", file.display())
    });
    if !app.printer.is_interactive() {
        let message = format!(
            "this would disconnect {which} {} from {}{shared}",
            key.fingerprint(),
            profile.url
        );
        return Err(Problem::new(Exit::Usage, message)
            .hint("pass --yes to do it")
            .into());
    }
    let question = format!(
        "Disconnect {which} {} from {}{shared}?",
        key.fingerprint(),
        profile.url
    );
    if app.printer.confirm(&question, false)? {
        Ok(())
    } else {
        Err(Problem::new(Exit::Failed, "nothing was changed").into())
    }
}

/// Sent only to a host that refuses strangers and accepts us; a stock server would disconnect itself.
async fn disconnect(session: &Session<'_>, key: &PublicKey, is_own: bool) -> anyhow::Result<bool> {
    let host = session.base();
    if !matches!(session.host_kind().await?, HostKind::AccountHost { .. }) {
        let message = format!("{host} has no accounts, so no device can be disconnected there");
        return Err(Problem::new(Exit::Failed, message).into());
    }
    match session.me().await? {
        Me::SignedIn(_) => Ok(session.disconnect_device(key).await?),
        // Our own key is what is not known: the wish is fulfilled.
        Me::SignedOut { .. } if is_own => Ok(false),
        Me::SignedOut { .. } => {
            let message =
                format!("{host} does not know this device, so it cannot disconnect another");
            Err(Problem::new(Exit::SignIn, message)
                .hint(sign_in(host))
                .into())
        }
    }
}
