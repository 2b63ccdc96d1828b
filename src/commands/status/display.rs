//! `status` for people: a section for each host, and one for what `run` would use.

use super::{CredentialReport, HostReport, Report, Side};
use crate::app::App;
use crate::commands::context::Context;
use crate::identity::{Account, group_fingerprint};
use crate::ui::{Check, Checklist};

/// Prints it; warnings, the error and the advice go to stderr.
pub fn print(app: &App, report: &Report, context: &Context) -> anyhow::Result<()> {
    let mut list = Checklist::default();
    for host in &report.hosts {
        let mark = if host.current { " (current)" } else { "" };
        list.heading(&format!("{}{mark}", host.host));
        let (check, text) = verdict(host);
        // What concerns the current host is said on stderr.
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
        Some(error) => app.printer.error(error.code, error.exit_code, &error.message, error.hint.as_deref()),
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
        ("device-key", _) => format!("device key{store}"),
        _ => "no credential".to_owned(),
    }
}
