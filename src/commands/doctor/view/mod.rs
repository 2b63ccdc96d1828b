//! What the checks look at, gathered once and without changing anything: files, stores, the local server, hosts. Nothing here
//! waits for longer than some seconds, and hosts are asked side by side.

pub mod access;
pub mod hosts;
pub mod key_files;
pub mod listener;
pub mod secrets;
pub mod server;
mod together;

use crate::app::App;
use crate::commands::context::Context;
use crate::disk::{DiskError, shell_quoted};
use crate::exit::Problem;
use crate::profile::{Audience, Profile, Profiles};
use crate::rotation::{Journal, Rotation};
use hosts::HostState;
use key_files::KeyFile;
use secrets::Secrets;
use server::Server;

/// An installation.
pub struct View<'a> {
    /// The program's dependencies: settings, folders, environment.
    pub app: &'a App,
    /// The profiles file.
    pub profiles: Result<Profiles, DiskError>,
    /// What `status`, `run` and `run` of a cloud model would use; or why that cannot be decided.
    pub decisions: Result<Vec<Context>, Problem>,
    /// The stores and what is in them.
    pub secrets: Secrets,
    /// The rotations of API keys that are not over.
    pub rotations: Result<Vec<Rotation>, DiskError>,
    /// Key files of stock Ollama.
    pub key_files: Vec<KeyFile>,
    /// The server on this machine; `None` when no host was to be asked.
    pub server: Option<Server>,
    /// The hosts, with what they think of our credentials; empty when none was to be asked.
    pub hosts: Vec<HostState>,
}

impl<'a> View<'a> {
    /// Looks at everything. With `offline` no host is asked.
    ///
    /// # Errors
    /// Only when the person who was asked for a passphrase breaks off.
    pub async fn gather(app: &'a App, offline: bool) -> anyhow::Result<Self> {
        let profiles = app.profiles.peek();
        let known = profiles.as_ref().cloned().unwrap_or_default();
        let decisions = decide(app, &known);
        // Before any spinner: it may ask for the passphrase of the encrypted file.
        let secrets = secrets::gather(app, &known).await?;
        let rotations = Journal::new(&app.paths.data).peek();
        let key_files = key_files::gather(app);
        let (server, hosts) = if offline {
            (None, Vec::new())
        } else {
            let _spinner = app.printer.spinner("Asking the hosts");
            let contexts = decisions.as_deref().unwrap_or_default();
            tokio::join!(async { Some(server::gather(app).await) }, hosts::gather(app, &known, contexts, &secrets))
        };
        Ok(Self { app, profiles, decisions, secrets, rotations, key_files, server, hosts })
    }

    /// The profiles by name; none where the file cannot be read.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Profile)> {
        let profiles = self.profiles.iter().flat_map(|all| &all.profiles);
        profiles.map(|(name, profile)| (name.as_str(), profile))
    }

    /// Whether nothing was asked over the network.
    pub fn is_offline(&self) -> bool {
        self.server.is_none()
    }
}

fn decide(app: &App, profiles: &Profiles) -> Result<Vec<Context>, Problem> {
    let audiences = [Audience::Account, Audience::Model { cloud: false }, Audience::Model { cloud: true }];
    let decided = audiences.into_iter().map(|audience| Context::decide(app, profiles, audience));
    decided.collect::<anyhow::Result<_>>().map_err(|error| Problem::of(&error))
}

/// A word as it can be pasted into a shell.
pub fn word(text: &str) -> String {
    shell_quoted(std::path::Path::new(text))
}
