//! `profile use`

use super::named;
use crate::app::App;
use crate::cli::ProfileUse;
use crate::exit::Exit;

/// Runs it.
pub fn run(app: &App, args: &ProfileUse) -> anyhow::Result<Exit> {
    named(&app.profiles.load()?, &args.name)?;
    let url = app.profiles.update(|profiles| {
        profiles.current = Some(args.name.clone());
        profiles.profiles.get(&args.name).map(|profile| profile.url.to_string())
    })?;
    app.printer.success(&format!("{} is now the current profile ({})", args.name, url.unwrap_or_default()));
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "current": args.name }))?;
    }
    Ok(Exit::Done)
}
