//! `profile list`

use super::credential_label;
use crate::app::App;
use crate::exit::Exit;
use crate::ui::Table;

/// Runs it.
pub fn run(app: &App) -> anyhow::Result<Exit> {
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
    let mut table = Table::new(&["", "name", "host", "account", "credential"]);
    for (name, profile) in &profiles.profiles {
        let account = profile.account.as_ref().map_or("-", |account| account.label());
        let mark = if is_current(name) { "*" } else { "" };
        table.push([mark, name, &profile.url.to_string(), account, credential_label(profile)]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}
