//! `profile remove`: forgets a profile and its secrets here. Nothing changes at the host, and the command says so.

use super::named;
use crate::app::App;
use crate::cli::ProfileRemove;
use crate::commands::consent;
use crate::commands::context::require_unchanged;
use crate::commands::store::{delete_all_copies, stored_secrets};
use crate::commands::under_way::UnfinishedRotations;
use crate::exit::Exit;
use crate::profile::Profile;

/// Runs it.
pub async fn run(app: &App, args: ProfileRemove) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let profile = named(&profiles, &args.name)?;
    let unfinished = UnfinishedRotations::load(app, &args.name, profile, args.force)?;
    let still_valid = profile.has_credential();
    let statement = format!("the profile {:?} still has a credential, which stays valid at {}", args.name, profile.url);
    let question =
        format!("Remove {:?} and its secrets from this machine? They stay valid at {}.", args.name, profile.url);
    consent::ask(app, args.yes || !still_valid, &statement, &question).await?;
    let _lock = app.lock_keys()?;
    require_unchanged(app, &args.name, Some(profile))?;
    forget_secrets(app, &args.name, profile).await?;
    app.profiles.update(|profiles| {
        profiles.profiles.remove(&args.name);
        if profiles.current.as_ref() == Some(&args.name) {
            profiles.current = None;
        }
    })?;
    app.printer.success(&format!("Removed the profile {}", args.name));
    if still_valid {
        app.printer.warn(&format!("its credential stays valid at {} until it is revoked there", profile.url));
    }
    unfinished.abandon(app, profile).await?;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "removed": args.name, "still_valid_at_host": still_valid }))?;
    }
    Ok(Exit::Done)
}

async fn forget_secrets(app: &App, name: &str, profile: &Profile) -> anyhow::Result<()> {
    for (kind, _, store) in stored_secrets(profile) {
        delete_all_copies(app, store, kind, name, profile).await?;
    }
    Ok(())
}
