//! `doctor`: examines an installation, says what is wrong with it and how to fix it. It changes nothing. [`Snapshot`] gathers
//! everything once: every wait has a limit of seconds, and hosts are asked at the same time; the checks only read it. The JSON is documented in docs/reference/doctor.md.

mod environment;
mod files;
mod hosts;
mod key_files;
mod local_server;
mod profiles;
mod report;
mod stores;

use crate::app::App;
use crate::cli::DoctorArgs;
use crate::commands::context::Context;
use crate::disk::DiskError;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, Profile, Profiles};
use crate::rotation::{Journal, Rotation};
use hosts::{HostState, gather_hosts};
use key_files::{KeyFile, gather_key_files};
use local_server::{LocalServer, gather_server};
use report::{Finding, Level};
use stores::{StoredSecrets, gather_secrets};

/// A check: its findings, good ones included.
type Check = fn(&Snapshot<'_>) -> Vec<Finding>;

/// All checks, in the order in which their findings are shown within a group.
const CHECKS: &[Check] = &[
    key_files::check_key_files,
    local_server::check_local_server,
    files::check_permissions,
    stores::check_stores,
    stores::check_secrets,
    profiles::check_leftovers,
    profiles::check_rotations,
    profiles::check_profiles,
    environment::check_variables,
    environment::check_proxies,
    environment::check_authorities,
    hosts::check_reachability,
    hosts::check_clocks,
    hosts::check_credentials,
];

/// Runs it. An error that was found is exit 8.
pub async fn run(app: &App, args: DoctorArgs) -> anyhow::Result<Exit> {
    let snapshot = Snapshot::gather(app, args.offline).await?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&snapshot)).collect();
    // Stable: within a group, the order of the checks stays.
    findings.sort_by_key(|finding| finding.group);
    report::print(app, args.offline, &findings)?;
    Ok(if findings.iter().any(|finding| finding.level == Level::Error) { Exit::Found } else { Exit::Done })
}

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
    crate::shell::quoted(text)
}
