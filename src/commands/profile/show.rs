//! `profile show`

use super::{named, none_current};
use crate::app::App;
use crate::exit::Exit;

/// Runs it.
pub fn run(app: &App, name: Option<String>) -> anyhow::Result<Exit> {
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
        facts.push(("API key", format!("ends in {}, in the {} store", key.hint, key.store)));
        let known = [("Key name", &key.name), ("Key id", &key.id), ("Environment", &key.environment)];
        facts.extend(known.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    }
    if let Some(device) = &profile.device {
        let state = if device.connected { "" } else { ", not connected" };
        facts.push(("Device", format!("{}{state}", device.name)));
        facts.push(("Fingerprint", device.public_key.fingerprint()));
        facts.push(("Device key", format!("in the {} store", device.store)));
        if let Some(file) = &device.imported_from {
            facts.push(("Shared with", file.display().to_string()));
        }
    }
    app.printer.facts(&facts)?;
    Ok(Exit::Done)
}
