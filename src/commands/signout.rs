//! `signout`: disconnect the key at the host first, then remove it here. Parts that are already removed count as done.

use std::sync::Arc;

use serde::Serialize;

use super::confirm::{UnfinishedRotations, confirm_shared_key};
use super::context::{Context, StoredKeyError, device_key, require_unchanged, with_known_host};
use super::device::disconnect_all_keys;
use super::keys::how_to_revoke;
use super::names::Names;
use super::signin::server::session_with_server;
use super::store::{delete_all_copies, stored_secrets};
use crate::address::BaseUrl;
use crate::api::{Credential, Disconnect, Session};
use crate::app::App;
use crate::cli::SignoutArgs;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, Profile};
use crate::vault::EntryKind;

/// What happened to one profile.
#[derive(Debug, Clone, Default, Serialize)]
struct Outcome {
    profile: String,
    host: String,
    /// The host no longer takes the device key.
    disconnected: bool,
    /// The device key was removed from its store.
    device_key_removed: bool,
    /// The API key was removed from its store; it stays valid at the host.
    api_key_forgotten: bool,
}

/// Runs it.
pub async fn run(app: &App, args: SignoutArgs) -> anyhow::Result<Exit> {
    if args.server {
        return sign_out_server(app).await;
    }
    if args.all && (app.host.is_some() || app.global.profile.is_some()) {
        let message = "--all cannot be combined with --host or --profile";
        return Err(Problem::new(Exit::Usage, message).hint("leave out one of them").into());
    }
    let profiles = app.profiles.load()?;
    let (names, host): (Vec<String>, _) = if args.all {
        (profiles.profiles.keys().cloned().collect(), None)
    } else {
        let target = Context::decide(app, &profiles, Audience::Account)?.target;
        (vec![target.profile], Some(target.url))
    };
    let mut outcomes = Vec::new();
    let mut failure: Option<anyhow::Error> = None;
    for name in names {
        let Some(profile) = profiles.profiles.get(&name).filter(|profile| has_credentials(profile)) else {
            if !args.all {
                app.printer.note(&format!("Not signed in ({name})."));
            }
            continue;
        };
        // An unreachable host must not keep the others signed in.
        match sign_out(app, &args, &name, profile).await {
            Ok(outcome) => {
                Names::new(&app.paths).remove(&profile.url);
                outcomes.push(outcome);
            }
            Err(error) if args.all => {
                let problem = Problem::from_error(&error);
                app.printer.warn(&format!("{name}: {}", problem.message));
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    warn_about_other_credentials(app, host.as_ref());
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "signed_out": outcomes }))?;
    } else if args.all && outcomes.is_empty() && failure.is_none() {
        app.printer.note("Not signed in anywhere.");
    }
    failure.map_or(Ok(Exit::Done), Err)
}

fn has_credentials(profile: &Profile) -> bool {
    profile.device.is_some() || profile.api_key.is_some()
}

async fn sign_out(app: &App, args: &SignoutArgs, name: &str, profile: &Profile) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { profile: name.to_owned(), host: profile.url.to_string(), ..Outcome::default() };
    let unfinished = match args.keep_key {
        true => None,
        false => Some(UnfinishedRotations::load(app, name, profile, args.force)?),
    };
    if profile.device.is_some() {
        confirm_shared_key(app, args.yes, name, profile).await?;
        outcome.disconnected = disconnect_device(app, args, name, profile).await?;
    }
    let _lock = app.lock_keys()?;
    require_unchanged(app, name, Some(profile))?;
    if !args.keep_key {
        for (kind, _, store) in stored_secrets(profile) {
            let removed = delete_all_copies(app, store, kind, name, profile).await?;
            match kind {
                EntryKind::ApiKey => outcome.api_key_forgotten = removed,
                _ => outcome.device_key_removed = removed,
            }
        }
    }
    app.profiles.update(|profiles| {
        let Some(profile) = profiles.profiles.get_mut(name) else { return };
        profile.account = None;
        if !args.keep_key {
            profile.device = None;
            profile.api_key = None;
        } else if let Some(device) = &mut profile.device {
            device.connected = false;
        }
    })?;
    print_outcome(app, args, profile, &outcome);
    if let Some(unfinished) = unfinished {
        unfinished.abandon(app, profile).await?;
    }
    Ok(outcome)
}

/// `true` when the host no longer takes the key. Every doubt keeps the key here, unless `--force` says otherwise.
async fn disconnect_device(app: &App, args: &SignoutArgs, name: &str, profile: &Profile) -> anyhow::Result<bool> {
    let key = match device_key(app, name, profile).await {
        Ok(key) => Arc::new(key),
        // Without the key the request cannot be signed.
        Err(StoredKeyError::Missing(problem) | StoredKeyError::Mismatch(problem, _)) => {
            let host = &profile.url;
            app.printer.warn(&format!("{}; the device may still be connected at {host}", problem.message));
            return Ok(false);
        }
        Err(trouble) => return Err(trouble.into()),
    };
    let Some(record) = &profile.device else { return Ok(false) };
    let attempt = async {
        let credential = Credential::Device(key.clone());
        let allow = app.global.allow_insecure_http;
        let session = Session::new(&app.transport, profile.url.clone(), credential, allow, app.now)?;
        let session = with_known_host(session, Some(profile));
        disconnect_all_keys(&session, record, key.public()).await
    };
    match attempt.await {
        Ok(Disconnect::Done) => Ok(true),
        Ok(Disconnect::Unknown) => {
            app.printer.note(&format!("{} did not know this device any more.", profile.url));
            Ok(true)
        }
        Err(error) => {
            let problem = Problem::from_error(&error);
            if args.force {
                let host = &profile.url;
                let stays = format!("the device stays connected at {host} until you remove it there");
                app.printer.warn(&format!("{}; {stays}", problem.message));
                return Ok(false);
            }
            let message = format!("{}; you are still signed in, and the key was not removed", problem.message);
            let next = "or remove the key from this machine anyway: --force";
            let hint = problem.hint.unwrap_or_else(|| "try again later".to_owned());
            Err(Problem::new(problem.exit, message).hint(format!("{hint}; {next}")).into())
        }
    }
}

fn print_outcome(app: &App, args: &SignoutArgs, profile: &Profile, outcome: &Outcome) {
    let host = &profile.url;
    if profile.device.is_some() {
        match (outcome.disconnected, args.keep_key) {
            (true, false) => app.printer.success(&format!("Signed out of {host}")),
            (true, true) => app.printer.success(&format!("Signed out of {host}; the key stays on this machine")),
            (false, _) => app.printer.success(&format!("Removed the key for {host} from this machine")),
        }
    }
    if let Some(record) = profile.api_key.as_ref().filter(|_| !args.keep_key) {
        app.printer.success(&format!("Removed the API key for {host} from this machine"));
        app.printer
            .warn(&format!("the API key {} stays valid at {host} until it expires or is revoked", record.describe()));
        app.printer.hint(&how_to_revoke(record, host));
    }
}

/// Warns of credentials for that host, or for any, that signing out cannot remove.
fn warn_about_other_credentials(app: &App, host: Option<&BaseUrl>) {
    if let Some((file, read)) = app.credentials.as_ref().and_then(|file| Some((file, file.read().ok()?)))
        && host.is_none_or(|host| host.origin() == read.url.origin())
    {
        let path = file.path().display();
        app.printer.warn(&format!("the credentials file {path} still signs you in to {} where it is used", read.url));
    }
    if app.env.api_key.is_some() && host.is_none_or(BaseUrl::is_ollama_com) {
        app.printer.warn("OLLAMA_API_KEY is still set and signs you in where it is used");
    }
}

async fn sign_out_server(app: &App) -> anyhow::Result<Exit> {
    let session = session_with_server(app)?;
    let url = session.base();
    let was_signed_in = session.sign_out_server().await?;
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "server": url.to_string(), "was_signed_in": was_signed_in }))?;
    } else if was_signed_in {
        app.printer.success(&format!("Signed out the server at {url}"));
    } else {
        app.printer.note(&format!("The server at {url} was not signed in."));
    }
    Ok(Exit::Done)
}
