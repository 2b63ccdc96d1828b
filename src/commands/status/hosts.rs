//! Asks the hosts whether they accept their credentials: the current one as long as it takes, all others at the same time and
//! for a few seconds; and shows them to people, a section for each host. For the others no keyring and no encrypted file is opened that could ask the person for anything.

use std::time::Duration;

use futures_util::future::join_all;

use crate::api::{ApiError, ApiKeyCheck, HostKind, Me, Session};
use crate::app::App;
use crate::commands::context::Context;
use crate::commands::status::{CredentialReport, HostReport, Report, Side};
use crate::exit::{Problem, clock_hint};
use crate::identity::{Account, group_fingerprint};
use crate::profile::{CredentialSource, Profiles};
use crate::ui::{Check, Checklist};
use crate::vault::StoreKind;

/// How long the other hosts are waited for, all together.
const OTHERS_LIMIT: Duration = Duration::from_secs(3);

/// What a host says about a credential.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// `None` when it is not known.
    pub signed_in: Option<bool>,
    /// The account, where the host names it.
    pub account: Option<Account>,
    /// Why it is not signed in, or why that is not known.
    pub reason: Option<String>,
}

impl Verdict {
    /// Not asked.
    pub fn unknown() -> Self {
        Self { signed_in: None, account: None, reason: None }
    }

    fn unknown_because(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::unknown() }
    }

    fn signed_in(account: Option<Account>) -> Self {
        Self { signed_in: Some(true), account, reason: None }
    }

    fn signed_out(reason: impl Into<Option<String>>) -> Self {
        Self { signed_in: Some(false), account: None, reason: reason.into() }
    }
}

/// The verdicts of all hosts.
pub struct Checks {
    /// Of the current one.
    pub current: anyhow::Result<Verdict>,
    /// Of the others, by the names of their profiles.
    pub others: Vec<(Context, Verdict)>,
}

/// Asks the current host, and the hosts of all other profiles that have a credential. With `offline` none is asked.
pub async fn check(app: &App, profiles: &Profiles, current: &Context, offline: bool) -> Checks {
    let others = profiles.profiles.iter().filter(|(name, _)| **name != current.target.profile);
    let others: Vec<Context> = others
        .map(|(name, profile)| Context::for_profile(name, profile))
        .filter(|other| other.source != CredentialSource::None)
        .collect();
    if offline {
        let others = others.into_iter().map(|other| (other, Verdict::unknown()));
        return Checks { current: Ok(Verdict::unknown()), others: others.collect() };
    }
    // First, since it may take an answer of the person, who then is not asked again.
    let session = match current.source {
        CredentialSource::None => None,
        _ => Some(current.session(app).await),
    };
    let opened = session.as_ref().filter(|session| session.is_ok()).and_then(|_| current.store_in_use());
    let _spinner = (!others.is_empty()).then(|| app.printer.spinner("Asking the hosts"));
    let (current, others) = tokio::join!(
        async {
            match session {
                None => Ok(Verdict::signed_out(None)),
                Some(session) => Ok(ask(&session?, &current.source).await?),
            }
        },
        check_others(app, others, opened)
    );
    Checks { current, others }
}

async fn check_others(app: &App, others: Vec<Context>, opened: Option<StoreKind>) -> Vec<(Context, Verdict)> {
    let mut sessions = Vec::new();
    for other in others {
        let session = match other.store_in_use() {
            Some(store) if may_ask_person(app, store, opened) => {
                Err(format!("not checked: opening the {store} store might prompt you"))
            }
            // One after the other: the encrypted file is opened once, and a keyring serves one call at a time.
            // `--allow-insecure-http` was given for the current host only.
            _ => other.protected_session(app).await.map_err(|error| Problem::from_error(&error).message),
        };
        sessions.push((other, session));
    }
    let end = tokio::time::Instant::now() + OTHERS_LIMIT;
    join_all(sessions.into_iter().map(async |(other, session)| {
        let verdict = match session {
            Err(reason) => Verdict::unknown_because(reason),
            Ok(session) => match tokio::time::timeout_at(end, ask(&session, &other.source)).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(error)) => Verdict::unknown_because(error.to_string()),
                Err(_) => Verdict::unknown_because(format!("no answer within {} seconds", OTHERS_LIMIT.as_secs())),
            },
        };
        (other, verdict)
    }))
    .await
}

/// Whether reading from a store may show a prompt: for a passphrase, or to unlock the keyring. One that was opened a moment ago
/// does not ask again.
fn may_ask_person(app: &App, store: StoreKind, opened: Option<StoreKind>) -> bool {
    match store {
        _ if opened == Some(store) => false,
        StoreKind::Plaintext => false,
        StoreKind::File => app.prompts_for_passphrase,
        StoreKind::Keyring => app.env.can_show_pages,
    }
}

async fn ask(session: &Session<'_>, source: &CredentialSource) -> Result<Verdict, ApiError> {
    let host = session.base();
    if *source != CredentialSource::ProfileDevice {
        let what = if matches!(source, CredentialSource::Token(_)) { "the token" } else { "the API key" };
        return match session.check_api_key().await {
            Ok(ApiKeyCheck::Accepted(account)) => Ok(Verdict::signed_in(account)),
            Ok(ApiKeyCheck::NotRequired) => {
                Ok(Verdict::signed_out(format!("{host} requires no credential, so {what} has no effect there")))
            }
            Err(ApiError::Unauthorized { message, .. }) => {
                Ok(Verdict::signed_out(format!("{host} refuses {what}: {message}")))
            }
            Err(error) => Err(error),
        };
    }
    if !matches!(session.host_kind().await?, HostKind::AccountHost) {
        return Ok(Verdict::signed_out(format!(
            "{host} does not support accounts (any more): it ignores the device key"
        )));
    }
    Ok(match session.me().await? {
        Me::SignedIn(account) => Verdict::signed_in(Some(account)),
        Me::SignedOut { skew: Some(ahead), .. } => Verdict::signed_out(clock_hint(&host.to_string(), ahead)),
        Me::SignedOut { .. } => Verdict::signed_out(format!("{host} does not accept this device's key any more")),
    })
}

/// Prints it; warnings, the error and the advice go to stderr.
pub fn print(app: &App, report: &Report, context: &Context) -> anyhow::Result<()> {
    let mut list = Checklist::default();
    for host in &report.hosts {
        let mark = if host.current { " (current)" } else { "" };
        list.heading(&format!("{}{mark}", host.host));
        let (check, text) = verdict(host);
        // Problems of the current host are printed on stderr.
        list.item(check, &text, host.detail.as_deref().filter(|_| !host.current), &[]);
        let profile = match host.current {
            true => format!("{} ({})", host.profile, report.account_side.host_reason.describe()),
            false => host.profile.clone(),
        };
        list.facts([("Profile", profile), ("Credential", in_words(&host.credential))]);
        list.facts(host.credential.fingerprint.as_deref().map(|print| ("Fingerprint", group_fingerprint(print))));
    }
    list.heading("Models");
    list.facts([
        ("run MODEL", compared(&report.run, &report.account_side)),
        ("run MODEL-cloud", compared(&report.run_cloud, &report.account_side)),
    ]);
    app.printer.checklist(&list)?;
    for warning in &report.warnings {
        app.printer.warn(warning);
    }
    match &report.error {
        Some(error) => app.printer.error(error.code, error.exit_code, &error.message, error.hint.as_deref(), &[]),
        None if report.signed_in == Some(false) => app.printer.hint(&context.refused_hint()),
        None => {}
    }
    Ok(())
}

fn verdict(host: &HostReport) -> (Check, String) {
    match (host.signed_in, &host.account) {
        (Some(true), Some(account)) => (Check::Fine, format!("Signed in as {}", describe(account))),
        (Some(true), None) => (Check::Fine, "Signed in".to_owned()),
        (Some(false), _) if host.current => (Check::Error, "Not signed in".to_owned()),
        (Some(false), _) => (Check::Warning, "Not signed in any more".to_owned()),
        (None, _) => (Check::Note, "Sign-in not checked".to_owned()),
    }
}

fn describe(account: &Account) -> String {
    let details: Vec<&str> =
        [account.email.as_str(), account.plan.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
    match details.as_slice() {
        [] => account.label().to_owned(),
        details => format!("{} ({})", account.label(), details.join(", ")),
    }
}

/// What `run` would use, in few words where that is the current host.
fn compared(side: &Side, account: &Side) -> String {
    if side.host == account.host && side.credential == account.credential {
        return "the current host and credential".to_owned();
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
        ("token", "gitlab") => "token of GitLab".to_owned(),
        ("token", "github") => "token of GitHub Actions".to_owned(),
        ("token", "kubernetes") => "token of the Kubernetes service account".to_owned(),
        ("token", _) => {
            let file = credential.file.as_deref().map(|file| format!(" {}", file.display()));
            format!("token in the file{}", file.unwrap_or_default())
        }
        ("device-key", _) => format!("device key{store}"),
        _ => "no credential".to_owned(),
    }
}
