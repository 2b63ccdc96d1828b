//! `signout`: disconnect the key at the host first, then remove it here. What is gone already counts as done.

use std::sync::Arc;

use serde::Serialize;

use super::context::device_key;
use super::signin::server::session_with_server;
use crate::api::{ApiError, Credential, HostKind, Session};
use crate::app::App;
use crate::cli::SignoutArgs;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, Profile, entry_id};
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
        let message = "--all means every profile, so none can be named beside it";
        return Err(Problem::new(Exit::Usage, message)
            .hint("leave out --all, or --host and --profile")
            .into());
    }
    let profiles = app.profiles.load()?;
    let names: Vec<String> = if args.all {
        profiles.profiles.keys().cloned().collect()
    } else {
        let context = super::context::Context::decide(app, &profiles, Audience::Account)?;
        vec![context.target.profile]
    };
    let mut outcomes = Vec::new();
    let mut failure: Option<anyhow::Error> = None;
    for name in names {
        let Some(profile) = profiles
            .profiles
            .get(&name)
            .filter(|profile| has_anything(profile))
        else {
            if !args.all {
                app.printer.note(&format!("Not signed in ({name})."));
            }
            continue;
        };
        // One host that is away must not keep the others signed in.
        match sign_out(app, &args, &name, profile).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) if args.all => {
                let problem = Problem::of(&error);
                app.printer.warn(&format!("{name}: {}", problem.message));
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if app.printer.is_json() {
        app.printer
            .json(&serde_json::json!({ "signed_out": outcomes }))?;
    } else if args.all && outcomes.is_empty() && failure.is_none() {
        app.printer.note("Not signed in anywhere.");
    }
    failure.map_or(Ok(Exit::Done), Err)
}

fn has_anything(profile: &Profile) -> bool {
    profile.device.is_some() || profile.api_key.is_some()
}

async fn sign_out(
    app: &App,
    args: &SignoutArgs,
    name: &str,
    profile: &Profile,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome {
        profile: name.to_owned(),
        host: profile.url.to_string(),
        ..Outcome::default()
    };
    if profile.device.is_some() {
        confirm_shared(app, args, name, profile)?;
        outcome.disconnected = disconnect(app, args, name, profile).await?;
        if !args.keep_key {
            outcome.device_key_removed = remove(app, EntryKind::DeviceKey, name, profile).await?;
        }
    }
    if profile.api_key.is_some() && !args.keep_key {
        outcome.api_key_forgotten = remove(app, EntryKind::ApiKey, name, profile).await?;
    }
    app.profiles.update(|profiles| {
        let Some(profile) = profiles.profiles.get_mut(name) else {
            return;
        };
        profile.account = None;
        if args.keep_key {
            if let Some(device) = &mut profile.device {
                device.connected = false;
            }
        } else {
            profile.device = None;
            profile.api_key = None;
        }
    })?;
    tell(app, args, profile);
    Ok(outcome)
}

/// A key that came from stock Ollama serves that installation too.
fn confirm_shared(
    app: &App,
    args: &SignoutArgs,
    name: &str,
    profile: &Profile,
) -> anyhow::Result<()> {
    let Some(file) = profile
        .device
        .as_ref()
        .and_then(|device| device.imported_from.as_ref())
    else {
        return Ok(());
    };
    let message = format!(
        "the device key of {name:?} is shared with {}: signing out disconnects whatever else uses that file, such as the Ollama server",
        file.display()
    );
    if args.yes {
        app.printer.warn(&message);
        return Ok(());
    }
    if !app.printer.is_interactive() {
        return Err(Problem::new(Exit::Usage, message).hint("pass --yes to do it, or forget the key here alone with `ollama-auth profile remove`").into());
    }
    app.printer.warn(&message);
    if app.printer.confirm("Disconnect it?", false)? {
        Ok(())
    } else {
        Err(Problem::new(Exit::Failed, "nothing was changed").into())
    }
}

/// `true` when the host no longer takes the key.
async fn disconnect(
    app: &App,
    args: &SignoutArgs,
    name: &str,
    profile: &Profile,
) -> anyhow::Result<bool> {
    let attempt = async {
        let key = Arc::new(device_key(app, name, profile).await?);
        let credential = Credential::Device(key.clone());
        let allow = app.global.allow_insecure_http;
        let session = Session::new(
            &app.transport,
            profile.url.clone(),
            credential,
            allow,
            app.now,
        )?;
        // A stock server would disconnect itself: the request goes to account hosts only.
        if !matches!(session.host_kind().await?, HostKind::AccountHost { .. }) {
            app.printer.warn(&format!(
                "{} has no accounts (any more), so there is nothing to disconnect there",
                profile.url
            ));
            return Ok(false);
        }
        if !session.disconnect_device(key.public()).await? {
            app.printer.note(&format!(
                "{} did not know this device any more.",
                profile.url
            ));
        }
        anyhow::Ok(true)
    };
    match attempt.await {
        Ok(done) => Ok(done),
        Err(error) => {
            let problem = Problem::of(&error);
            // The key is lost here: nobody can sign the request.
            if problem.exit == Exit::SignIn {
                app.printer.warn(&format!(
                    "{}; the device may still be connected at {}",
                    problem.message, profile.url
                ));
                return Ok(false);
            }
            if args.force {
                app.printer.warn(&format!(
                    "{}; the device stays connected at {} until it is removed there",
                    problem.message, profile.url
                ));
                return Ok(false);
            }
            if error.chain().any(|cause| cause.is::<ApiError>()) {
                let message = format!(
                    "{}; still signed in, the key was left in place",
                    problem.message
                );
                let hint = "try again later, or remove the key here all the same with --force";
                return Err(Problem::new(problem.exit, message).hint(hint).into());
            }
            Err(error)
        }
    }
}

async fn remove(app: &App, kind: EntryKind, name: &str, profile: &Profile) -> anyhow::Result<bool> {
    let store = match kind {
        EntryKind::ApiKey => profile.api_key.as_ref().map(|key| key.store),
        _ => profile.device.as_ref().map(|device| device.store),
    };
    let Some(store) = store else { return Ok(false) };
    Ok(app
        .vault
        .delete(store, &entry_id(kind, name, profile))
        .await?)
}

fn tell(app: &App, args: &SignoutArgs, profile: &Profile) {
    let host = &profile.url;
    if profile.device.is_some() {
        let kept = if args.keep_key {
            "; the key is kept here"
        } else {
            ""
        };
        app.printer.success(&format!("Signed out of {host}{kept}"));
    }
    if profile.api_key.is_some() && !args.keep_key {
        app.printer
            .success(&format!("Forgot the API key for {host}"));
        let page = if host.is_ollama_com() {
            "https://ollama.com/settings/keys"
        } else {
            "the host"
        };
        app.printer.warn(&format!(
            "the API key stays valid at {host} until it is revoked at {page}"
        ));
    }
}

async fn sign_out_server(app: &App) -> anyhow::Result<Exit> {
    let session = session_with_server(app)?;
    let url = session.base();
    let was_signed_in = session.sign_out_server().await?;
    if app.printer.is_json() {
        app.printer.json(
            &serde_json::json!({ "server": url.to_string(), "was_signed_in": was_signed_in }),
        )?;
    } else if was_signed_in {
        app.printer
            .success(&format!("The server at {url} is signed out"));
    } else {
        app.printer
            .note(&format!("The server at {url} was not signed in."));
    }
    Ok(Exit::Done)
}
