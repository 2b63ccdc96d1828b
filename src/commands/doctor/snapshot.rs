//! What the checks look at, gathered once and without changing anything: files, stores, the local server, hosts. Every wait has
//! a limit of seconds, and hosts are asked at the same time.

use super::hosts::{HostState, gather_hosts};
use super::key_files::{KeyFile, gather_key_files};
use super::local_server::{LocalServer, gather_server};
use super::stores::{StoredSecrets, gather_secrets};
use crate::app::App;
use crate::commands::context::Context;
use crate::disk::{DiskError, shell_quoted};
use crate::exit::Problem;
use crate::profile::{Audience, Profile, Profiles};
use crate::rotation::{Journal, Rotation};

/// An installation.
pub struct Snapshot<'a> {
    /// The program's dependencies: settings, folders, environment.
    pub app: &'a App,
    /// The profiles file.
    pub profiles: Result<Profiles, DiskError>,
    /// What `status`, `run` and `run` of a cloud model would use; or why that cannot be decided.
    pub decisions: Result<Vec<Context>, Problem>,
    /// The stores and what is in them.
    pub secrets: StoredSecrets,
    /// API key rotations that have not finished.
    pub rotations: Result<Vec<Rotation>, DiskError>,
    /// Key files of stock Ollama.
    pub key_files: Vec<KeyFile>,
    /// The server on this machine; `None` when offline.
    pub server: Option<LocalServer>,
    /// The hosts, and whether they accept our credentials; empty when offline.
    pub hosts: Vec<HostState>,
}

impl<'a> Snapshot<'a> {
    /// Looks at everything. With `offline` no host is asked.
    ///
    /// # Errors
    /// Only when the passphrase prompt is interrupted.
    pub async fn gather(app: &'a App, offline: bool) -> anyhow::Result<Self> {
        let profiles = app.profiles.peek();
        let stored = profiles.as_ref().cloned().unwrap_or_default();
        let decisions = decide(app, &stored);
        // Before any spinner: it may ask for the passphrase of the encrypted file.
        let secrets = gather_secrets(app, &stored).await?;
        let rotations = Journal::new(&app.paths.data).peek();
        let key_files = gather_key_files(app);
        let (server, hosts) = if offline {
            (None, Vec::new())
        } else {
            let _spinner = app.printer.spinner("Asking the hosts");
            let contexts = decisions.as_deref().unwrap_or_default();
            tokio::join!(async { Some(gather_server(app).await) }, gather_hosts(app, &stored, contexts, &secrets))
        };
        Ok(Self { app, profiles, decisions, secrets, rotations, key_files, server, hosts })
    }

    /// The profiles by name; none where the file cannot be read.
    pub fn profile_entries(&self) -> impl Iterator<Item = (&str, &Profile)> {
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
    decided.collect::<anyhow::Result<_>>().map_err(|error| Problem::from_error(&error))
}

/// A word as it can be pasted into a shell.
pub fn shell_word(text: &str) -> String {
    shell_quoted(std::path::Path::new(text))
}
