//! The hosts that profiles and variables name: whether they answer, what time it is there, and whether they accept the credentials
//! stored for them. All are asked at the same time, each credential only at its own host.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use super::local_server::timeout_error;
use super::report::{Finding, Group, Level};
use super::stores::StoredSecrets;
use super::{Snapshot, shell_word};
use crate::address::BaseUrl;
use crate::api::{ApiError, ApiKeyCheck, Credential, HostKind, Look, Me, Session};
use crate::app::App;
use crate::commands::context::Context;
use crate::exit::{api_hint, clock_hint};
use crate::identity::{Account, DeviceKey};
use crate::profile::{CredentialSource, HostReason, Profiles};
use crate::vault::EntryKind;

/// How long one question may take.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// A host.
#[derive(Debug)]
pub struct HostState {
    /// Its address.
    pub url: BaseUrl,
    /// What it shows without a credential; `Ok(None)` when it answers, but not as an Ollama host does.
    pub look: Result<Option<Look>, ApiError>,
    /// Whether it accepts our credentials; empty when it does not answer.
    pub verdicts: Vec<(CredentialOrigin, Verdict)>,
}

/// Which credential was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// The key in this credentials file.
    File(String),
    /// `OLLAMA_API_KEY`.
    Variable,
    /// The API key of this profile.
    ApiKey(String),
    /// The device key of this profile.
    DeviceKey(String),
}

/// What the host says about it.
#[derive(Debug)]
pub enum Verdict {
    /// Accepted; the account where the host names one.
    Accepted(Option<Account>),
    /// Not accepted: in the host's words, and the seconds by which our clock is ahead where that is much.
    Refused(String, Option<i64>),
    /// The host requires no credential, or does not support accounts.
    Ignored,
    /// The check failed.
    Unknown(ApiError),
}

/// Asks every host that a profile names, and those that a command would use a credential at.
pub async fn gather_hosts(
    app: &App,
    profiles: &Profiles,
    contexts: &[Context],
    secrets: &StoredSecrets,
) -> Vec<HostState> {
    let mut hosts: Vec<(BaseUrl, Vec<(CredentialOrigin, Credential)>)> = Vec::new();
    let mut add = |url: &BaseUrl, credentials: Vec<(CredentialOrigin, Credential)>| {
        let at = hosts.iter().position(|(known, _)| known.origin() == url.origin());
        let at = at.unwrap_or_else(|| {
            hosts.push((url.clone(), Vec::new()));
            hosts.len() - 1
        });
        for (origin, credential) in credentials {
            if !hosts[at].1.iter().any(|(known, _)| *known == origin) {
                hosts[at].1.push((origin, credential));
            }
        }
    };
    for (name, profile) in &profiles.profiles {
        add(
            &profile.url,
            stored_credentials(name, profile.device.as_ref().is_some_and(|device| device.connected), secrets),
        );
    }
    for context in contexts {
        // `local_server` examines the server on this machine.
        let named = match context.target.reason {
            HostReason::HostFlag => true,
            HostReason::OllamaHost => !context.url().is_loopback(),
            _ => false,
        };
        match (&context.source, &app.env.api_key, &app.credentials) {
            (CredentialSource::Environment, Some(key), _) => {
                add(context.url(), vec![(CredentialOrigin::Variable, Credential::ApiKey(key.clone()))]);
            }
            (CredentialSource::File, _, Some(file)) => {
                let origin = CredentialOrigin::File(file.path().display().to_string());
                let key = file.read().ok().map(|read| Credential::ApiKey(read.key.clone()));
                add(context.url(), key.map(|key| (origin, key)).into_iter().collect());
            }
            _ if named => add(context.url(), Vec::new()),
            _ => {}
        }
    }
    let known = |url: &BaseUrl| profiles.for_origin(url.as_origin()).and_then(|(_, profile)| profile.listener);
    let asked = hosts.into_iter().map(|(url, credentials)| {
        let known = known(&url);
        query_host(app, url, credentials, known)
    });
    join_all(asked).await
}

/// The credentials of a profile that are in their stores, without a device key that the host has not accepted yet.
fn stored_credentials(name: &str, connected: bool, secrets: &StoredSecrets) -> Vec<(CredentialOrigin, Credential)> {
    let key = secrets.get(name, EntryKind::ApiKey);
    let key = key.map(|key| (CredentialOrigin::ApiKey(name.to_owned()), Credential::ApiKey(key.clone())));
    let device = secrets.get(name, EntryKind::DeviceKey).filter(|_| connected);
    let device = device.and_then(|pem| DeviceKey::from_openssh(pem.expose_secret(), None).ok());
    let device =
        device.map(|device| (CredentialOrigin::DeviceKey(name.to_owned()), Credential::Device(Arc::new(device))));
    key.into_iter().chain(device).collect()
}

async fn query_host(
    app: &App,
    url: BaseUrl,
    credentials: Vec<(CredentialOrigin, Credential)>,
    known: Option<u32>,
) -> HostState {
    let look = match with_time_limit(&url, look(app, &url)).await {
        // The host answered.
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
        let asked = credentials.into_iter().map(async |(origin, credential)| {
            let verdict = with_time_limit(&url, verify_credential(app, &url, credential, known)).await;
            (origin, verdict.unwrap_or_else(Verdict::Unknown))
        });
        verdicts = join_all(asked).await;
    }
    HostState { url, look, verdicts }
}

async fn with_time_limit<T>(url: &BaseUrl, asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(TIME_LIMIT, asked).await.unwrap_or_else(|_| Err(timeout_error(url, TIME_LIMIT)))
}

async fn look(app: &App, url: &BaseUrl) -> Result<Look, ApiError> {
    Session::new(&app.transport, url.clone(), Credential::None, false, app.now)?.look().await
}

async fn verify_credential(
    app: &App,
    url: &BaseUrl,
    credential: Credential,
    known: Option<u32>,
) -> Result<Verdict, ApiError> {
    let allow = app.global.allow_insecure_http;
    let signs = matches!(credential, Credential::Device(_));
    let session = Session::new(&app.transport, url.clone(), credential, allow, app.now)?.with_known_listener(known);
    if signs {
        if !matches!(session.host_kind().await?, HostKind::AccountHost) {
            return Ok(Verdict::Ignored);
        }
        return Ok(match session.me().await? {
            Me::SignedIn(account) => Verdict::Accepted(Some(account)),
            Me::SignedOut { skew, .. } => Verdict::Refused("it does not know this key".to_owned(), skew),
        });
    }
    match session.check_api_key().await {
        Ok(ApiKeyCheck::Accepted(account)) => Ok(Verdict::Accepted(account)),
        Ok(ApiKeyCheck::NotRequired) => Ok(Verdict::Ignored),
        Err(ApiError::Unauthorized { message, .. }) => Ok(Verdict::Refused(message, None)),
        Err(error) => Err(error),
    }
}

/// Checks that hosts answer.
pub fn check_reachability(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    if snapshot.is_offline() {
        let what = "hosts were not contacted (--offline)";
        return vec![Finding::new(Level::Note, Group::Hosts, "offline", what)];
    }
    snapshot.hosts.iter().map(reachability_finding).collect()
}

fn reachability_finding(host: &HostState) -> Finding {
    let url = &host.url;
    match &host.look {
        Ok(look) => {
            let gateway = look.as_ref().and_then(|look| look.gateway.as_ref());
            let gateway = gateway.map_or(String::new(), |version| format!(" (a gateway, version {version})"));
            Finding::new(Level::Ok, Group::Hosts, "host", format!("{url} answers{gateway}"))
        }
        Err(error) => {
            let finding = Finding::new(Level::Error, Group::Hosts, "host-unreachable", error.to_string());
            finding.remedies(api_hint(error))
        }
    }
}

/// Seconds of difference that are not reported: a request takes time, and `Date` has whole seconds.
const UNNOTICED_OFFSET: u64 = 10;
/// Seconds beyond which a gateway refuses signatures (its setting `clock-tolerance`); what ollama.com allows is unknown.
const TOLERATED_OFFSET: u64 = 60;

/// Compares this machine's clock with each host's.
pub fn check_clocks(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let uses_device_key = |host: &HostState| {
        let mut there = snapshot.profile_entries().filter(|(_, profile)| profile.url.origin() == host.url.origin());
        there.any(|(_, profile)| profile.device.is_some())
    };
    snapshot.hosts.iter().filter_map(|host| clock_finding(host, offset(host)?, uses_device_key(host))).collect()
}

fn offset(host: &HostState) -> Option<i64> {
    host.look.as_ref().ok()?.as_ref()?.clock_offset
}

/// A wrong clock is an error only where a device key signs requests; an API key is independent of time.
fn clock_finding(host: &HostState, ahead: i64, uses_device_key: bool) -> Option<Finding> {
    let off = ahead.unsigned_abs();
    if off <= UNNOTICED_OFFSET {
        return None;
    }
    let level = if off > TOLERATED_OFFSET && uses_device_key { Level::Error } else { Level::Warning };
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("this machine's clock is {} {direction} the clock of {}", duration_in_words(off), host.url);
    let finding = Finding::new(level, Group::Hosts, "clock", what).why(
        "signatures contain the time: a host refuses one that seems too old or too new, and certificates and keys expire",
    );
    Some(finding.remedy("sudo timedatectl set-ntp true"))
}

fn duration_in_words(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Checks that each host accepts the credentials stored for it.
pub fn check_credentials(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let verdicts = snapshot
        .hosts
        .iter()
        .flat_map(|host| host.verdicts.iter().map(move |(origin, verdict)| (host, origin, verdict)));
    verdicts.map(|(host, origin, verdict)| credential_finding(host, origin, verdict)).collect()
}

fn credential_finding(host: &HostState, origin: &CredentialOrigin, verdict: &Verdict) -> Finding {
    let url = &host.url;
    let (what, again) = match origin {
        CredentialOrigin::File(path) => {
            (format!("the key in the credentials file {path}"), format!("put a valid key into {path}"))
        }
        CredentialOrigin::Variable => {
            ("OLLAMA_API_KEY".to_owned(), "set OLLAMA_API_KEY to a valid key, or unset it".to_owned())
        }
        CredentialOrigin::ApiKey(name) => (
            format!("the API key of the profile {name:?}"),
            format!("ollama-auth signin --with-api-key --host {url} --profile {}", shell_word(name)),
        ),
        CredentialOrigin::DeviceKey(name) => (
            format!("the device key of the profile {name:?}"),
            format!("ollama-auth signin --host {url} --profile {}", shell_word(name)),
        ),
    };
    let finding = |level, check, text: String| Finding::new(level, Group::Hosts, check, text);
    match verdict {
        Verdict::Accepted(account) => {
            let who = account.as_ref().map_or(String::new(), |account| format!(" (you are {})", account.label()));
            finding(Level::Ok, "credential", format!("{url} accepts {what}{who}"))
        }
        Verdict::Refused(_, Some(ahead)) => {
            finding(Level::Error, "credential-refused", format!("{url} refuses {what}"))
                .why(clock_hint(&url.to_string(), *ahead))
        }
        Verdict::Refused(reason, None) => {
            finding(Level::Error, "credential-refused", format!("{url} refuses {what}: {reason}"))
                .why("commands that use it exit with code 4")
                .remedy(again)
        }
        Verdict::Ignored => {
            let name = match origin {
                CredentialOrigin::File(_) | CredentialOrigin::Variable => None,
                CredentialOrigin::ApiKey(name) | CredentialOrigin::DeviceKey(name) => Some(name),
            };
            finding(
                Level::Warning,
                "credential-ignored",
                format!("{url} requires no credential, so {what} has no effect there"),
            )
            .why("it does not support accounts (any more): anyone who can reach it can use it")
            .remedies(name.map(|name| format!("ollama-auth profile remove {}", shell_word(name))))
        }
        Verdict::Unknown(error) => {
            let text = format!("cannot check whether {url} accepts {what}: {error}");
            finding(Level::Warning, "credential-unknown", text).remedies(api_hint(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_difference_is_reported_in_a_suitable_unit() {
        let host = |ahead| HostState {
            url: BaseUrl::ollama_com(),
            look: Ok(Some(Look { clock_offset: Some(ahead), gateway: None })),
            verdicts: Vec::new(),
        };
        let found =
            |ahead, uses_device_key| clock_finding(&host(ahead), offset(&host(ahead)).unwrap(), uses_device_key);
        let of = |ahead| found(ahead, true).map(|finding| (finding.level, finding.what));
        assert_eq!(of(10), None);
        assert_eq!(of(-10), None);
        let (level, what) = of(-11).unwrap();
        assert_eq!((level, what.contains("11 seconds behind")), (Level::Warning, true));
        let (level, what) = of(61).unwrap();
        assert_eq!((level, what.contains("61 seconds ahead of the clock of https://ollama.com")), (Level::Error, true));
        assert_eq!(found(61, false).unwrap().level, Level::Warning, "an API key does not depend on the time");
        assert!(of(7200).unwrap().1.contains("2 hours"));
        assert!(of(i64::MIN).unwrap().1.contains("days"));
    }
}
