//! `status`: which host and credential are used and why, who the host says you are, all other hosts you are signed in to, and
//! what `run` would use. Its JSON is documented in docs/reference/status.md.

mod hosts;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::context::{Context, unused_file_note, withheld_note};
use crate::app::App;
use crate::cli::StatusArgs;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::profile::{Audience, CredentialSource, HostReason, Profiles, TokenOrigin};
use crate::vault::StoreKind;
use hosts::{Checks, Verdict};

/// The JSON form. Members are added, never renamed or removed, while `version` stays.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    #[serde(flatten)]
    account_side: Side,
    /// Whether the host accepts the credential; `null` when it was not or could not be asked.
    signed_in: Option<bool>,
    account: Option<Account>,
    /// The current host, then the others that a profile has a credential for.
    hosts: Vec<HostReport>,
    /// What `run MODEL` would use.
    run: Side,
    /// What `run MODEL-cloud` would use.
    run_cloud: Side,
    warnings: Vec<String>,
    error: Option<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct Side {
    host: String,
    host_reason: HostReason,
    profile: String,
    credential: CredentialReport,
}

#[derive(Debug, Serialize)]
struct HostReport {
    host: String,
    profile: String,
    current: bool,
    credential: CredentialReport,
    /// As in [`Report`].
    signed_in: Option<bool>,
    account: Option<Account>,
    /// Why `signed_in` is false or null, for people.
    detail: Option<String>,
}

impl HostReport {
    fn new(app: &App, context: &Context, current: bool, verdict: Verdict) -> Self {
        let Side { host, profile, credential, .. } = side(app, context);
        let Verdict { signed_in, account, reason } = verdict;
        Self { host, profile, current, credential, signed_in, account, detail: reason }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct CredentialReport {
    /// `none`, `api-key`, `device-key` or `token`.
    kind: &'static str,
    /// `none`, `file`, `environment` or `profile`; of a token `token-file`, `github`, `gitlab` or `kubernetes`.
    source: &'static str,
    /// The credentials file, or the file of a token.
    file: Option<PathBuf>,
    store: Option<StoreKind>,
    fingerprint: Option<String>,
    device_name: Option<String>,
    /// The last four characters of a stored API key.
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    code: &'static str,
    exit_code: u8,
    message: String,
    hint: Option<String>,
}

/// Runs it.
pub async fn run(app: &App, args: StatusArgs) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let context = Context::decide(app, &profiles, Audience::Account)?;
    let run = Context::decide(app, &profiles, Audience::Model { cloud: false })?;
    let run_cloud = Context::decide(app, &profiles, Audience::Model { cloud: true })?;
    let Checks { current, others } = hosts::check(app, &profiles, &context, args.offline).await;
    let (verdict, problem) = match current {
        Ok(verdict) => (verdict, None),
        Err(error) => (Verdict::unknown(), Some(Problem::from_error(&error))),
    };
    let exit = match (&problem, verdict.signed_in) {
        (Some(problem), _) => problem.exit,
        (None, Some(false)) => Exit::SignIn,
        (None, None) if context.source == CredentialSource::None => Exit::SignIn,
        (None, _) => Exit::Done,
    };
    let reason = problem.as_ref().map(|problem| problem.message.clone()).or_else(|| verdict.reason.clone());
    let mut hosts = vec![HostReport::new(app, &context, true, Verdict { reason, ..verdict.clone() })];
    hosts.extend(others.into_iter().map(|(context, verdict)| HostReport::new(app, &context, false, verdict)));
    let report = Report {
        version: 1,
        account_side: side(app, &context),
        signed_in: verdict.signed_in,
        account: verdict.account,
        hosts,
        run: side(app, &run),
        run_cloud: side(app, &run_cloud),
        warnings: warnings(app, &profiles, [&context, &run, &run_cloud], verdict.reason),
        error: problem.map(|problem| ErrorReport {
            code: problem.exit.name(),
            exit_code: problem.exit as u8,
            message: problem.message,
            hint: problem.hint,
        }),
    };
    if app.printer.is_json() {
        app.printer.json(&report)?;
    } else {
        hosts::print(app, &report, &context)?;
    }
    Ok(exit)
}

fn side(app: &App, context: &Context) -> Side {
    Side {
        host: context.url().to_string(),
        host_reason: context.target.reason,
        profile: context.target.profile.clone(),
        credential: credential(app, context),
    }
}

fn credential(app: &App, context: &Context) -> CredentialReport {
    let profile = context.profile.as_ref();
    let device = profile.and_then(|profile| profile.device.as_ref());
    let key = profile.and_then(|profile| profile.api_key.as_ref());
    let none = CredentialReport {
        kind: "none",
        source: "none",
        file: None,
        store: None,
        fingerprint: None,
        device_name: None,
        hint: None,
    };
    match context.source {
        CredentialSource::None => none,
        CredentialSource::File => {
            let file = app.credentials.as_ref().map(|file| file.path().to_owned());
            CredentialReport { kind: "api-key", source: "file", file, ..none }
        }
        CredentialSource::Environment => CredentialReport { kind: "api-key", source: "environment", ..none },
        CredentialSource::Token(origin) => {
            let file = match origin {
                TokenOrigin::FileFlag => app.global.oidc_token_file.clone(),
                TokenOrigin::FileVariable => app.env.oidc_token_file.clone(),
                TokenOrigin::GitHub | TokenOrigin::GitLab | TokenOrigin::Kubernetes => None,
            };
            CredentialReport { kind: "token", source: origin.name(), file, ..none }
        }
        CredentialSource::ProfileKey => CredentialReport {
            kind: "api-key",
            source: "profile",
            store: context.store_in_use(),
            hint: key.map(|key| key.hint.clone()),
            ..none
        },
        CredentialSource::ProfileDevice => CredentialReport {
            kind: "device-key",
            source: "profile",
            store: context.store_in_use(),
            fingerprint: device.map(|device| device.public_key.fingerprint()),
            device_name: device.map(|device| device.name.clone()),
            ..none
        },
    }
}

/// Where several sources have a credential, one is used: this says which.
fn warnings(app: &App, profiles: &Profiles, contexts: [&Context; 3], reason: Option<String>) -> Vec<String> {
    let mut notes: Vec<String> = reason.into_iter().collect();
    for context in contexts {
        if let Some(other) = &context.unused_file {
            notes.push(unused_file_note(other, context.url()));
        }
        if let Some(withheld) = context.withheld {
            notes.push(withheld_note(withheld, context.url()));
        }
        let stored = context.profile.as_ref().is_some_and(crate::profile::Profile::has_credential);
        if context.source == CredentialSource::Environment && stored {
            notes.push(format!(
                "OLLAMA_API_KEY is used at {} instead of the credential of the profile {:?}",
                context.url(),
                context.target.profile
            ));
        }
        if context.source == CredentialSource::File {
            notes.extend(overridden_by_file(app, context, stored));
        }
        let both =
            context.profile.as_ref().is_some_and(|profile| profile.api_key.is_some() && profile.device.is_some());
        if context.source == CredentialSource::ProfileKey && both {
            notes.push(format!(
                "the profile {:?} has an API key and a device key: the API key is used",
                context.target.profile
            ));
        }
    }
    if let Some(current) = profiles.current.as_ref().filter(|current| !profiles.profiles.contains_key(*current)) {
        notes.push(format!("the current profile {current:?} does not exist any more"));
    }
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

/// What would be used without the credentials file.
fn overridden_by_file(app: &App, context: &Context, stored: bool) -> Option<String> {
    let elsewhere = app.ollama_host.as_ref().filter(|host| host.origin() != context.url().origin());
    let others: Vec<String> = [
        app.env.api_key.is_some().then(|| "OLLAMA_API_KEY".to_owned()),
        elsewhere.map(|host| format!("OLLAMA_HOST ({host})")),
        stored.then(|| format!("the credential of the profile {:?}", context.target.profile)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!others.is_empty())
        .then(|| format!("the credentials file is used at {} instead of {}", context.url(), others.join(" and ")))
}
