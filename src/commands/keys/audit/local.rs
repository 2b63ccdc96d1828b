//! What `keys audit` checks on this machine: one key in two places, `OLLAMA_API_KEY` beside a stored key, files with secrets that other
//! accounts can read. Keys are compared, never shown.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::hosts::with_record;
use super::{Finding, profile_option};
use crate::app::App;
use crate::commands::context::{Context, StoredKeyError, api_key};
use crate::commands::keys::findings::FindingKind;
use crate::disk::{self, DiskError, Exposure};
use crate::exit::Problem;
use crate::profile::{ApiKeyRecord, CredentialSource, Profile, Profiles};
use crate::shell::{name_argument, quoted};
use crate::vault::PASSPHRASE_CREDENTIAL;

/// A stored key.
struct Copy<'a> {
    name: &'a str,
    profile: &'a Profile,
    record: &'a ApiKeyRecord,
    /// `None` if its store does not give it now.
    key: Option<SecretString>,
}

/// Looks at all of it. Where one profile was name_argument, others are still compared with it.
pub(super) async fn audit_machine(app: &App, contexts: &[Context], profiles: &Profiles) -> Vec<Finding> {
    let context_of =
        |name: &str| contexts.iter().find(|context| context.target.exists && context.target.profile == name);
    let (mut findings, mut copies) = (exposed(app, profiles), Vec::new());
    for (name, profile) in &profiles.profiles {
        let Some(record) = &profile.api_key else { continue };
        let key = match api_key(app, name, profile).await {
            Ok(key) => Some(key),
            Err(trouble) => {
                // Where it is what the host was to be asked with, that was said.
                if let Some(context) = context_of(name).filter(|context| context.source != CredentialSource::ProfileKey)
                {
                    findings.push(unreadable_finding(context, record, trouble));
                }
                None
            }
        };
        copies.push(Copy { name, profile, record, key });
    }
    for (index, copy) in copies.iter().enumerate() {
        let twins = copies[..index].iter().filter(|other| is_same(copy, other));
        findings.extend(
            twins
                .filter(|other| context_of(other.name).or(context_of(copy.name)).is_some())
                .map(|other| duplicate_finding(copy, other)),
        );
        if let (Some(context), Some(variable)) = (context_of(copy.name), &app.env.api_key) {
            findings.push(environment_finding(context, copy, variable));
        }
    }
    findings
}

fn is_same(one: &Copy<'_>, other: &Copy<'_>) -> bool {
    match (&one.key, &other.key) {
        (Some(one), Some(other)) => one.expose_secret() == other.expose_secret(),
        // What the hosts call them tells it too.
        _ => {
            let of = |copy: &Copy<'_>| copy.record.id.as_ref().map(|id| (copy.profile.url.origin(), id.clone()));
            of(one).is_some() && of(one) == of(other)
        }
    }
}

fn unreadable_finding(context: &Context, record: &ApiKeyRecord, trouble: StoredKeyError) -> Finding {
    let problem = Problem::from_error(&trouble.into());
    let message =
        format!("the stored key of the profile {:?} was not checked: {}", context.target.profile, problem.message);
    let finding = with_record(Finding::new(FindingKind::Unchecked, message).at(context), record);
    Finding { remedy: problem.hint, exit: problem.exit, ..finding }
}

fn duplicate_finding(copy: &Copy<'_>, other: &Copy<'_>) -> Finding {
    let place = |copy: &Copy<'_>| {
        let environment = copy.record.environment.as_ref().map_or_else(String::new, |name| format!(" for {name:?}"));
        format!("the profile {:?}{environment}", copy.name)
    };
    let which = if copy.record.name.is_some() || copy.record.id.is_some() { copy.record } else { other.record };
    let message = format!("{} and {} store the same key, {}", place(other), place(copy), which.describe());
    let finding = with_record(Finding::new(FindingKind::Duplicate, message), copy.record);
    let name = copy.record.name.as_deref().unwrap_or("NAME");
    Finding {
        profile: Some(copy.name.to_owned()),
        host: Some(copy.profile.url.to_string()),
        remedy: Some(format!("ollama-auth keys create {} --save --profile {}", name_argument(name), quoted(copy.name))),
        ..finding
    }
}

fn environment_finding(context: &Context, copy: &Copy<'_>, variable: &SecretString) -> Finding {
    let same = copy.key.as_ref().is_some_and(|key| key.expose_secret() == variable.expose_secret());
    let (kind, message) = if same {
        (FindingKind::Duplicate, format!("OLLAMA_API_KEY holds the same key as the profile {:?}", copy.name))
    } else {
        let message =
            format!("OLLAMA_API_KEY is set and is used instead of the key stored in the profile {:?}", copy.name);
        (FindingKind::Shadowed, message)
    };
    let remedy = format!("unset OLLAMA_API_KEY\nor: ollama-auth keys forget {}", profile_option(context));
    with_record(Finding::new(kind, message).at(context).remedy(remedy), copy.record)
}

/// The files that hold secrets, as far as we know of them, and who may read them.
fn files(app: &App, profiles: &Profiles) -> Vec<(PathBuf, Exposure)> {
    let mut files = vec![(app.paths.stock_key.clone(), Exposure::Owner)];
    // Also what was set aside as damaged, and what another version left.
    let ours = std::fs::read_dir(&app.paths.data).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_secret = |path: &PathBuf| path.is_file() && path.extension().is_none_or(|extension| extension != "lock");
    files.extend(ours.filter(is_secret).map(|path| (path, Exposure::Owner)));
    let named = app.global.passphrase_file.iter().chain(&app.env.passphrase_file);
    files.extend(named.map(|path| (path.clone(), Exposure::Owner)));
    files.extend(app.credentials.iter().map(|file| (file.path().to_owned(), file.exposure())));
    let credentials = app.env.credentials_directory.iter().map(|folder| folder.join(PASSPHRASE_CREDENTIAL));
    files.extend(credentials.map(|path| (path, Exposure::Group)));
    let imported = profiles.profiles.values().filter_map(|profile| profile.device.as_ref()?.imported_from.clone());
    files.extend(imported.map(|path| (path, Exposure::Owner)));
    for (path, _) in &mut files {
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files.dedup_by(|one, other| one.0 == other.0);
    files
}

fn exposed(app: &App, profiles: &Profiles) -> Vec<Finding> {
    let look = |(path, exposure): (PathBuf, Exposure)| {
        let error = disk::check_input(&path, exposure).err()?;
        let remedy = match &error {
            DiskError::Exposed { .. } => format!("chmod 600 {}", quoted(path.display())),
            DiskError::WrongOwner { .. } => {
                "check the owner; if that account is not yours, create a new key".to_owned()
            }
            // An unreadable file cannot be assessed, and the known programs do not create one.
            _ => return None,
        };
        let finding = Finding::new(FindingKind::Exposed, format!("{error}: treat its content as known to others"));
        Some(Finding { file: Some(path), ..finding.remedy(remedy) })
    };
    files(app, profiles).into_iter().filter_map(look).collect()
}
