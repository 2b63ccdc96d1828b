//! The hosts that profiles and variables name: whether they answer, what time it is there, and what they think of the
//! credentials kept for them. Each is asked within seconds, all side by side.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::secrets::Secrets;
use super::server::late;
use super::together;
use crate::address::BaseUrl;
use crate::api::{ApiError, Credential, HostKind, KeyCheck, Look, Me, Session};
use crate::app::App;
use crate::commands::context::Context;
use crate::identity::{Account, DeviceKey};
use crate::profile::{CredentialSource, HostReason, Profiles};
use crate::vault::EntryKind;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(8);

/// A host.
#[derive(Debug)]
pub struct HostState {
    /// Its address.
    pub url: BaseUrl,
    /// What it shows to everybody; `Ok(None)` when it answers, but not as a host of ours does.
    pub look: Result<Option<Look>, ApiError>,
    /// What it thinks of our credentials; empty when it does not answer.
    pub verdicts: Vec<(Carried, Verdict)>,
}

/// Which credential was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The key in this credentials file.
    File(String),
    /// `OLLAMA_API_KEY`.
    Variable,
    /// The API key of this profile.
    ApiKey(String),
    /// The device key of this profile.
    DeviceKey(String),
}

/// What the host thinks of it.
#[derive(Debug)]
pub enum Verdict {
    /// Accepted; the account where the host names one.
    Accepted(Option<Account>),
    /// Not accepted: in the host's words, and the seconds by which our clock is ahead where that is much.
    Refused(String, Option<i64>),
    /// The host asks nobody for a credential, or keeps no accounts.
    MeansNothing,
    /// It could not be found out.
    Unknown(ApiError),
}

/// Asks every host that a profile names, and those that a command would use a credential at.
pub async fn gather(app: &App, profiles: &Profiles, contexts: &[Context], secrets: &Secrets) -> Vec<HostState> {
    let mut hosts: Vec<(BaseUrl, Vec<(Carried, Credential)>)> = Vec::new();
    let mut add = |url: &BaseUrl, credentials: Vec<(Carried, Credential)>| {
        let at = hosts.iter().position(|(known, _)| known.origin() == url.origin());
        let at = at.unwrap_or_else(|| {
            hosts.push((url.clone(), Vec::new()));
            hosts.len() - 1
        });
        for (carried, credential) in credentials {
            if !hosts[at].1.iter().any(|(known, _)| *known == carried) {
                hosts[at].1.push((carried, credential));
            }
        }
    };
    for (name, profile) in &profiles.profiles {
        add(&profile.url, kept(name, profile.device.as_ref().is_some_and(|device| device.connected), secrets));
    }
    for context in contexts {
        // The server on this machine is looked at apart.
        let named = match context.target.reason {
            HostReason::HostFlag => true,
            HostReason::OllamaHost => !context.url().is_loopback(),
            _ => false,
        };
        match (&context.source, &app.env.api_key, &app.credentials) {
            (CredentialSource::Environment, Some(key), _) => {
                add(context.url(), vec![(Carried::Variable, Credential::ApiKey(key.clone()))]);
            }
            (CredentialSource::File, _, Some(file)) => {
                let carried = Carried::File(file.path().display().to_string());
                let key = file.read().ok().map(|read| Credential::ApiKey(read.key.clone()));
                add(context.url(), key.map(|key| (carried, key)).into_iter().collect());
            }
            _ if named => add(context.url(), Vec::new()),
            _ => {}
        }
    }
    together::all(hosts.into_iter().map(|(url, credentials)| ask(app, url, credentials))).await
}

/// The credentials of a profile that are where they should be. A device key that the host has not accepted yet is none.
fn kept(name: &str, connected: bool, secrets: &Secrets) -> Vec<(Carried, Credential)> {
    let key = secrets.get(name, EntryKind::ApiKey);
    let key = key.map(|key| (Carried::ApiKey(name.to_owned()), Credential::ApiKey(key.clone())));
    let device = secrets.get(name, EntryKind::DeviceKey).filter(|_| connected);
    let device = device.and_then(|pem| DeviceKey::from_openssh(pem.expose_secret(), None).ok());
    let device = device.map(|device| (Carried::DeviceKey(name.to_owned()), Credential::Device(Arc::new(device))));
    key.into_iter().chain(device).collect()
}

async fn ask(app: &App, url: BaseUrl, credentials: Vec<(Carried, Credential)>) -> HostState {
    let look = match limited(&url, look(app, &url)).await {
        // An answer all the same.
        Err(
            ApiError::Unauthorized { .. }
            | ApiError::Forbidden { .. }
            | ApiError::NotFound { .. }
            | ApiError::Status { .. }
            | ApiError::Redirect { .. },
        ) => Ok(None),
        other => other.map(Some),
    };
    let mut verdicts = Vec::new();
    if look.is_ok() {
        let asked = credentials.into_iter().map(async |(carried, credential)| {
            let verdict = limited(&url, judge(app, &url, credential)).await;
            (carried, verdict.unwrap_or_else(Verdict::Unknown))
        });
        verdicts = together::all(asked).await;
    }
    HostState { url, look, verdicts }
}

async fn limited<T>(url: &BaseUrl, asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| Err(late(url, LIMIT)))
}

async fn look(app: &App, url: &BaseUrl) -> Result<Look, ApiError> {
    Session::new(&app.transport, url.clone(), Credential::None, false, app.now)?.look().await
}

async fn judge(app: &App, url: &BaseUrl, credential: Credential) -> Result<Verdict, ApiError> {
    let allow = app.global.allow_insecure_http;
    let signs = matches!(credential, Credential::Device(_));
    let session = Session::new(&app.transport, url.clone(), credential, allow, app.now)?;
    if signs {
        if !matches!(session.host_kind().await?, HostKind::AccountHost) {
            return Ok(Verdict::MeansNothing);
        }
        return Ok(match session.me().await? {
            Me::SignedIn(account) => Verdict::Accepted(Some(account)),
            Me::SignedOut { skew, .. } => Verdict::Refused("it does not know this key".to_owned(), skew),
        });
    }
    match session.check_api_key().await {
        Ok(KeyCheck::Accepted(account)) => Ok(Verdict::Accepted(account)),
        Ok(KeyCheck::NotAsked) => Ok(Verdict::MeansNothing),
        Err(ApiError::Unauthorized { message, .. }) => Ok(Verdict::Refused(message, None)),
        Err(error) => Err(error),
    }
}
