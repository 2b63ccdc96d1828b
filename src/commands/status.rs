//! `status`: the whole decision, who it makes us, and what `run` would use. Its JSON is documented in docs/reference/status.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::{Context, sign_in_hint, unused_file_note, withheld_note};
use crate::api::{ApiError, ApiKeyCheck, HostKind, Me};
use crate::app::App;
use crate::cli::StatusArgs;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::profile::{Audience, CredentialSource, CredentialsFile, HostReason, Profiles};
use crate::vault::StoreKind;

/// The JSON form. Members are added, never renamed or removed, while `version` stays.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    #[serde(flatten)]
    account_side: Side,
    /// Whether the host accepts the credential; `null` when it was not or could not be asked.
    signed_in: Option<bool>,
    account: Option<Account>,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct CredentialReport {
    /// `none`, `api-key` or `device-key`.
    kind: &'static str,
    /// `none`, `file`, `environment` or `profile`.
    source: &'static str,
    /// The credentials file.
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
    let checked = if args.offline { Ok(Checked::unknown()) } else { check(app, &context).await };
    let (checked, problem) = match checked {
        Ok(checked) => (checked, None),
        Err(error) => (Checked::unknown(), Some(Problem::from_error(&error))),
    };
    let exit = match (&problem, checked.signed_in) {
        (Some(problem), _) => problem.exit,
        (None, Some(false)) => Exit::SignIn,
        (None, None) if context.source == CredentialSource::None => Exit::SignIn,
        (None, _) => Exit::Done,
    };
    let report = Report {
        version: 1,
        account_side: side(app, &context),
        signed_in: checked.signed_in,
        account: checked.account,
        run: side(app, &run),
        run_cloud: side(app, &run_cloud),
        warnings: warnings(app, &profiles, [&context, &run, &run_cloud], checked.notes),
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
        print(app, &report, &context)?;
    }
    Ok(exit)
}

/// What the host said.
struct Checked {
    signed_in: Option<bool>,
    account: Option<Account>,
    notes: Vec<String>,
}

impl Checked {
    fn unknown() -> Self {
        Self { signed_in: None, account: None, notes: Vec::new() }
    }
}

async fn check(app: &App, context: &Context) -> anyhow::Result<Checked> {
    if context.source == CredentialSource::None {
        return Ok(Checked { signed_in: Some(false), ..Checked::unknown() });
    }
    let session = context.session(app).await?;
    if context.source != CredentialSource::ProfileDevice {
        return match session.check_api_key().await {
            Ok(ApiKeyCheck::Accepted(account)) => Ok(Checked { signed_in: Some(true), account, notes: Vec::new() }),
            Ok(ApiKeyCheck::NotRequired) => {
                let note =
                    format!("{} answers without a credential, so the API key means nothing there", context.url());
                Ok(Checked { signed_in: Some(false), account: None, notes: vec![note] })
            }
            Err(ApiError::Unauthorized { message, .. }) => {
                let note = format!("{} refuses the API key: {message}", context.url());
                Ok(Checked { signed_in: Some(false), account: None, notes: vec![note] })
            }
            Err(error) => Err(error.into()),
        };
    }
    if !matches!(session.host_kind().await?, HostKind::AccountHost) {
        let note = format!("{} keeps no accounts (any more): it ignores this device's key", context.url());
        return Ok(Checked { signed_in: Some(false), account: None, notes: vec![note] });
    }
    Ok(match session.me().await? {
        Me::SignedIn(account) => Checked { signed_in: Some(true), account: Some(account), notes: Vec::new() },
        Me::SignedOut { skew, .. } => {
            let host = context.url().to_string();
            let note = match skew {
                Some(ahead) => crate::exit::clock_hint(&host, ahead),
                None => format!("{host} does not accept this device's key any more"),
            };
            Checked { signed_in: Some(false), account: None, notes: vec![note] }
        }
    })
}

fn side(app: &App, context: &Context) -> Side {
    Side {
        host: context.url().to_string(),
        host_reason: context.target.reason,
        profile: context.target.profile.clone(),
        credential: credential(context, app.credentials.as_ref().map(CredentialsFile::path)),
    }
}

fn credential(context: &Context, file: Option<&Path>) -> CredentialReport {
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
            CredentialReport { kind: "api-key", source: "file", file: file.map(Path::to_owned), ..none }
        }
        CredentialSource::Environment => CredentialReport { kind: "api-key", source: "environment", ..none },
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

/// Where two sources disagree, the winner is used and this says so.
fn warnings(app: &App, profiles: &Profiles, contexts: [&Context; 3], mut notes: Vec<String>) -> Vec<String> {
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
                "OLLAMA_API_KEY is used at {} instead of what the profile {:?} holds",
                context.url(),
                context.target.profile
            ));
        }
        if context.source == CredentialSource::File {
            notes.extend(beaten_by_file(app, context, stored));
        }
        let both =
            context.profile.as_ref().is_some_and(|profile| profile.api_key.is_some() && profile.device.is_some());
        if context.source == CredentialSource::ProfileKey && both {
            notes.push(format!(
                "the profile {:?} holds an API key and a device key: the API key is used",
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

/// What else would have been used, were it not for the credentials file.
fn beaten_by_file(app: &App, context: &Context, stored: bool) -> Option<String> {
    let elsewhere = app.ollama_host.as_ref().filter(|host| host.origin() != context.url().origin());
    let others: Vec<String> = [
        app.env.api_key.is_some().then(|| "OLLAMA_API_KEY".to_owned()),
        elsewhere.map(|host| format!("OLLAMA_HOST ({host})")),
        stored.then(|| format!("what the profile {:?} holds", context.target.profile)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!others.is_empty())
        .then(|| format!("the credentials file is used at {} instead of {}", context.url(), others.join(" and ")))
}

fn print(app: &App, report: &Report, context: &Context) -> anyhow::Result<()> {
    let who = match (report.signed_in, &report.account) {
        (Some(true), Some(account)) => format!("signed in as {}", describe(account)),
        (Some(true), None) => "signed in".to_owned(),
        (Some(false), _) => "not signed in".to_owned(),
        (None, _) => "not checked".to_owned(),
    };
    let side = &report.account_side;
    let mut facts = vec![
        ("Host", format!("{} ({})", side.host, side.host_reason.describe())),
        ("Account", who),
        ("Profile", side.profile.clone()),
        ("Credential", in_words(&side.credential)),
    ];
    if let Some(fingerprint) = &side.credential.fingerprint {
        facts.push(("Fingerprint", fingerprint.clone()));
    }
    facts.push(("run uses", compared(&report.run, side)));
    facts.push(("for cloud", compared(&report.run_cloud, side)));
    app.printer.facts(&facts)?;
    for warning in &report.warnings {
        app.printer.warn(warning);
    }
    match &report.error {
        Some(error) => app.printer.error(error.code, error.exit_code, &error.message, error.hint.as_deref()),
        None if report.signed_in == Some(false) => app.printer.hint(&sign_in_hint(context.url())),
        None => {}
    }
    Ok(())
}

fn describe(account: &Account) -> String {
    let details: Vec<&str> =
        [account.email.as_str(), account.plan.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
    match details.as_slice() {
        [] => account.label().to_owned(),
        details => format!("{} ({})", account.label(), details.join(", ")),
    }
}

/// What `run` would use, in few words where that is what was just said.
fn compared(side: &Side, account: &Side) -> String {
    if side.host == account.host && side.credential == account.credential {
        return "the same host and credential".to_owned();
    }
    let credential = in_words(&side.credential);
    format!("{}, {credential} ({})", side.host, side.host_reason.describe())
}

fn in_words(credential: &CredentialReport) -> String {
    let store = credential.store.map_or(String::new(), |store| format!(", in the {store} store"));
    match (credential.kind, credential.source) {
        ("api-key", "file") => {
            let file = credential.file.as_deref().map(|file| format!(" {}", file.display()));
            format!("API key from the credentials file{}", file.unwrap_or_default())
        }
        ("api-key", "environment") => "API key from OLLAMA_API_KEY".to_owned(),
        ("api-key", _) => match credential.hint.as_deref() {
            Some(hint) if !hint.is_empty() => format!("API key ending in {hint}{store}"),
            _ => format!("API key{store}"),
        },
        ("device-key", _) => format!("device key{store}"),
        _ => "no credential".to_owned(),
    }
}
