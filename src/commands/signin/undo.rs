//! A device key is stored before its link is shown. A sign-in that fails or is interrupted removes it again, so that nothing is
//! left that was not there before. After `signin --no-wait`, or if the process is killed, it stays: the next `signin` uses it.

use crate::app::{App, UnfinishedSignin};
use crate::commands::store::delete_secret;
use crate::vault::EntryKind;

/// Removes what the sign-in of this run has stored, unless it has ended. A failure is a warning: the sign-in has failed already.
pub async fn undo_unfinished_signin(app: &App) {
    let Some(unfinished) = app.unfinished_signin.take() else { return };
    if let Err(error) = undo(app, &unfinished).await {
        let name = &unfinished.profile;
        app.printer.warn(&format!(
            "the key of this sign-in could not be removed ({error}); to remove it: ollama-auth profile remove {name} --yes"
        ));
    }
}

async fn undo(app: &App, unfinished: &UnfinishedSignin) -> anyhow::Result<()> {
    let UnfinishedSignin { profile: name, before, existed, key, store } = unfinished;
    let _lock = app.lock_keys()?;
    let now = app.profiles.load()?.profiles.remove(name);
    let device = now.as_ref().and_then(|profile| profile.device.as_ref());
    // The key may be stored without a record yet. One that another run has connected meanwhile is not ours any more.
    let is_ours = device.is_none_or(|device| device.public_key == *key && !device.connected);
    if !is_ours {
        return Ok(());
    }
    delete_secret(app, *store, EntryKind::DeviceKey, name, before).await?;
    if device.is_none() {
        return Ok(());
    }
    app.profiles.update(|profiles| {
        if let Some(profile) = profiles.profiles.get_mut(name) {
            profile.device.clone_from(&before.device);
            profile.store = before.store;
            if !existed && profile.api_key.is_none() {
                profiles.profiles.remove(name);
            }
        }
    })?;
    Ok(())
}
