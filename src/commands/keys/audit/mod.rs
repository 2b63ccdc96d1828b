//! `keys audit`: checks every key that the profiles may list, and the secrets on this machine. What cannot be checked is a finding too,
//! with the exit code of its reason: an audit that saw nothing must not look like one that found nothing.

mod hosts;
mod local;
mod sarif;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::findings::{FindingKind, Severity};
use super::list::seconds;
use crate::app::App;
use crate::cli::{AuditFormat, KeysAudit};
use crate::commands::context::Context;
use crate::exit::Exit;
use crate::profile::{Audience, CredentialSource, HostReason, Profile, Profiles, WithheldReason};
use crate::shell::quoted;
use crate::ui::sanitize::{clean, clean_text};

/// Something that was found.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    kind: FindingKind,
    level: Severity,
    /// A sentence without a full stop.
    message: String,
    /// What to do about it: commands, or advice.
    remedy: Option<String>,
    profile: Option<String>,
    host: Option<String>,
    /// The key's public id.
    id: Option<String>,
    /// Its name.
    name: Option<String>,
    environment: Option<String>,
    file: Option<PathBuf>,
    /// What the program would have ended with, for want of this check.
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    fn new(kind: FindingKind, message: String) -> Self {
        Self {
            kind,
            level: kind.level(),
            message,
            remedy: None,
            profile: None,
            host: None,
            id: None,
            name: None,
            environment: None,
            file: None,
            exit: Exit::Done,
        }
    }

    /// Of a profile and its host.
    fn at(self, context: &Context) -> Self {
        let profile = context.target.exists.then(|| context.target.profile.clone());
        Self { profile, host: Some(context.url().to_string()), ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// A profile that was looked at.
#[derive(Debug, Serialize)]
struct Checked {
    /// Its name; null for a credential without a profile.
    profile: Option<String>,
    host: String,
    /// How many keys its host listed; null if none could be asked for.
    keys: Option<usize>,
}

/// All of it.
#[derive(Debug)]
struct Audit {
    checked: Vec<Checked>,
    /// The worst first.
    findings: Vec<Finding>,
    /// The kinds that end it with exit code 8.
    fail_on: Vec<FindingKind>,
}

impl Audit {
    fn fails(&self, finding: &Finding) -> bool {
        self.fail_on.contains(&finding.kind)
    }

    /// What was found comes before what could not be looked at: it is certain.
    fn exit(&self) -> Exit {
        if self.findings.iter().any(|finding| self.fails(finding)) {
            return Exit::Found;
        }
        self.findings.iter().map(|finding| finding.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
    }
}

/// Runs it.
pub async fn run(app: &App, args: KeysAudit) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let contexts = contexts(app, &profiles)?;
    let max_age = seconds(args.max_age);
    let (checked, mut findings) = hosts::audit_hosts(app, &contexts, max_age, args.timeout.0).await;
    findings.extend(nothing_looked_at(&contexts, &checked, &findings));
    findings.extend(local::audit_machine(app, &contexts, &profiles).await);
    findings.sort_by_key(|finding| finding.kind);
    // Two profiles of one account see the same keys.
    let mut seen = std::collections::HashSet::new();
    findings.retain(|it| {
        it.id.is_none() || it.kind == FindingKind::Duplicate || seen.insert((it.kind, it.host.clone(), it.id.clone()))
    });
    let audit = Audit { checked, findings, fail_on: fail_on(&args.fail_on) };
    match args.format {
        AuditFormat::Sarif => app.printer.json(&sarif::log(&audit))?,
        AuditFormat::Json => print_json(app, &audit)?,
        AuditFormat::Text if app.printer.is_json() => print_json(app, &audit)?,
        AuditFormat::Text => print_text(app, &audit)?,
    }
    Ok(audit.exit())
}

/// Where no host lists keys and none is stored, no key was looked at at all.
fn nothing_looked_at(contexts: &[Context], checked: &[Checked], findings: &[Finding]) -> Option<Finding> {
    let is_stored = |context: &Context| context.profile.as_ref().is_some_and(|profile| profile.api_key.is_some());
    let looked = checked.iter().any(|checked| checked.keys.is_some()) || contexts.iter().any(is_stored);
    let is_reported = findings.iter().any(|finding| finding.exit != Exit::Done);
    let unchecked = || Finding {
        exit: Exit::Failed,
        ..Finding::new(FindingKind::Unchecked, "no key was checked: no host lists its keys to programs".to_owned())
    };
    (!looked && !is_reported).then(unchecked)
}

/// The kinds that are named. `unchecked` has an exit code of its own.
fn fail_on(names: &[String]) -> Vec<FindingKind> {
    let named = |kind: &FindingKind| names.iter().any(|name| name == "all" || name == kind.name());
    if names.iter().any(|name| name == "none") {
        return Vec::new();
    }
    FindingKind::ALL.into_iter().filter(|kind| *kind != FindingKind::Unchecked && named(kind)).collect()
}

/// The profile or host that is named; else every profile, and the gateway that `OLLAMA_API_KEY` and `OLLAMA_HOST` name beside them;
/// else what `OLLAMA_API_KEY` is for.
fn contexts(app: &App, profiles: &Profiles) -> anyhow::Result<Vec<Context>> {
    if app.host.is_some() || app.global.profile.is_some() || profiles.profiles.is_empty() {
        let context = Context::decide(app, profiles, Audience::Account)?;
        let source = context.profile.as_ref().map_or(CredentialSource::None, source);
        let source = if source == CredentialSource::None { context.source } else { source };
        return Ok(vec![Context { source, ..context }]);
    }
    let context = |(name, profile): (&String, &Profile)| Context {
        source: source(profile),
        ..Context::for_profile(name, profile)
    };
    let mut all: Vec<Context> = profiles.profiles.iter().map(context).collect();
    // A credentials file that cannot be used is found with the files of this machine.
    if let Ok(context) = Context::decide(app, profiles, Audience::Account)
        && is_from_environment(&context)
    {
        let known = all.iter_mut().find(|known| known.url().origin() == context.url().origin());
        match known {
            Some(known) if known.source != CredentialSource::None => {}
            Some(known) => *known = context,
            None => all.push(context),
        }
    }
    Ok(all)
}

/// Whether a gateway's key in `OLLAMA_API_KEY` chose the host, or is sent to none.
fn is_from_environment(context: &Context) -> bool {
    match context.withheld {
        Some(withheld) => matches!(withheld, WithheldReason::BelongsToGateway | WithheldReason::PlainHttp),
        None => context.source == CredentialSource::Environment && context.target.reason == HostReason::OllamaHost,
    }
}

/// The credential that sees the most: a device may list every key of its account, a key perhaps itself alone.
fn source(profile: &Profile) -> CredentialSource {
    match profile {
        Profile { device: Some(device), .. } if device.connected => CredentialSource::ProfileDevice,
        Profile { api_key: Some(_), .. } => CredentialSource::ProfileKey,
        _ => CredentialSource::None,
    }
}

/// The options that name a profile, or its host where there is none.
fn profile_option(context: &Context) -> String {
    if context.target.exists {
        format!("--profile {}", quoted(&context.target.profile))
    } else {
        format!("--host {}", quoted(context.url()))
    }
}

/// As JSON.
fn print_json(app: &App, audit: &Audit) -> anyhow::Result<()> {
    let failing = audit.findings.iter().filter(|finding| audit.fails(finding)).count();
    app.printer.json(&json!({
        "profiles": audit.checked,
        "findings": audit.findings,
        "fail_on": audit.fail_on,
        "failing": failing,
        "exit_code": audit.exit() as u8,
    }))?;
    Ok(())
}

/// By kind, the worst first, each with what to do about it.
fn print_text(app: &App, audit: &Audit) -> anyhow::Result<()> {
    for kind in FindingKind::ALL {
        let found: Vec<&Finding> = audit.findings.iter().filter(|finding| finding.kind == kind).collect();
        if !found.is_empty() {
            app.printer.data(&group(kind, &found))?;
        }
    }
    let keys: usize = audit.checked.iter().filter_map(|checked| checked.keys).sum();
    let looked = format!("{} and {}", count(audit.checked.len(), "profile"), count(keys, "key"));
    let failing = audit.findings.iter().filter(|finding| audit.fails(finding)).count();
    match (audit.findings.len(), failing) {
        (0, _) => app.printer.success(&format!("No findings in {looked}")),
        (all, 0) if audit.exit() != Exit::Done => {
            app.printer.warn(&format!("{looked}; {}; not everything could be checked", count(all, "finding")));
        }
        (all, 0) => app.printer.note(&format!("{looked}; {}, none of which fail the audit.", count(all, "finding"))),
        (all, some) => {
            app.printer.warn(&format!("{looked}; {}, {some} of which fail the audit", count(all, "finding")));
        }
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Its messages and remedies hold the words of hosts.
fn group(kind: FindingKind, found: &[&Finding]) -> String {
    let mut text = format!("{} ({}): {}\n", kind.name(), found.len(), kind.meaning());
    for finding in found {
        text += &format!("  - {}\n", clean(&finding.message));
        for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            text += &format!("      {}\n", clean_text(line));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_what_is_named() {
        let kinds = |names: &[&str]| fail_on(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(kinds(&["stale", "exposed"]), [FindingKind::Exposed, FindingKind::Stale]);
        assert_eq!(kinds(&["all"]).len(), FindingKind::ALL.len() - 1);
        assert!(kinds(&["stale", "none"]).is_empty());
    }

    #[test]
    fn what_was_found_comes_before_what_could_not_be_asked() {
        let found = |kind, exit| Finding { exit, ..Finding::new(kind, String::new()) };
        let audit = |findings, fail_on| Audit { checked: Vec::new(), findings, fail_on };
        let away = found(FindingKind::Unchecked, Exit::Unreachable);
        let stale = found(FindingKind::Stale, Exit::Done);
        assert_eq!(audit(vec![away.clone(), stale.clone()], vec![FindingKind::Stale]).exit(), Exit::Found);
        assert_eq!(audit(vec![away, stale.clone()], vec![]).exit(), Exit::Unreachable);
        assert_eq!(audit(vec![stale], vec![]).exit(), Exit::Done);
    }
}
