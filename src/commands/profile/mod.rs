//! `profile`: one for each host that this person signs in to.

mod list;
mod remove;
mod select;
mod show;

use crate::app::App;
use crate::cli::ProfileCommand;
use crate::exit::{Exit, Problem};
use crate::profile::{NoSuchProfile, Profile, Profiles};

/// Runs it.
pub async fn run(app: &App, command: ProfileCommand) -> anyhow::Result<Exit> {
    match command {
        ProfileCommand::List => list::run(app),
        ProfileCommand::Use(args) => select::run(app, &args),
        ProfileCommand::Show { name } => show::run(app, name),
        ProfileCommand::Remove(args) => remove::run(app, args).await,
    }
}

/// The profile of that name.
fn named<'a>(profiles: &'a Profiles, name: &str) -> Result<&'a Profile, NoSuchProfile> {
    profiles
        .profiles
        .get(name)
        .ok_or_else(|| NoSuchProfile { name: name.to_owned(), known: profiles.profiles.keys().cloned().collect() })
}

/// What a profile signs in with, in words.
fn credential_label(profile: &Profile) -> &'static str {
    match (&profile.api_key, &profile.device) {
        (Some(_), Some(device)) if device.connected => "API key, device key",
        (Some(_), _) => "API key",
        (None, Some(device)) if device.connected => "device key",
        (None, Some(_)) => "device key, not connected",
        (None, None) => "none",
    }
}

/// No profile was named and none is current.
fn none_current() -> Problem {
    Problem::new(Exit::NotFound, "there is no current profile").hint("sign in: ollama-auth signin")
}
