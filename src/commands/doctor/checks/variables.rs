//! Variables that decide which host and which credential is used: what is set and used, and what is set in vain.

use secrecy::ExposeSecret as _;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use crate::commands::context::{Context, unused_file_note, withheld_note};
use crate::exit::Problem;
use crate::keyspec::ApiKey;
use crate::profile::{CredentialSource, Profile};

const GROUP: Group = Group::Environment;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(error) = view.app.wanted_store() {
        let Problem { message, hint, .. } = Problem::of(&error);
        found.push(Finding::new(Level::Error, GROUP, "store-variable", message).remedies(hint));
    }
    match &view.decisions {
        Err(problem) => {
            let finding = Finding::new(Level::Error, GROUP, "decision", &problem.message)
                .why("no command can tell which host and which credential to use");
            found.push(finding.remedies(problem.hint.clone()));
        }
        Ok(contexts) => {
            found.extend(mistyped(view));
            // The three decisions often agree.
            for finding in contexts.iter().flat_map(|context| file(view, context).into_iter().chain(key(context))) {
                if !found.contains(&finding) {
                    found.push(finding);
                }
            }
        }
    }
    found
}

/// A key of a gateway holds a checksum.
fn mistyped(view: &View<'_>) -> Option<Finding> {
    let key = view.app.env.api_key.as_ref()?.expose_secret();
    let error = ApiKey::parse(key).err().filter(|_| key.starts_with(ApiKey::PREFIX))?;
    let what = format!("OLLAMA_API_KEY begins as a gateway's key does, but is none: {error}");
    let finding = Finding::new(Level::Error, GROUP, "api-key-mistyped", what).why("no host will accept it");
    Some(finding.remedy("set it anew from where it is kept, whole and alone"))
}

fn file(view: &View<'_>, context: &Context) -> Option<Finding> {
    let file = view.app.credentials.as_ref()?;
    if let Some(other) = &context.unused_file {
        let what = unused_file_note(other, context.url());
        let finding = Finding::new(Level::Note, GROUP, "credentials-file-unused", what);
        return Some(finding.why("a credential goes only to the host that it is meant for"));
    }
    if context.source != CredentialSource::File {
        return None;
    }
    let (url, path) = (context.url(), file.path().display());
    let stored = context.profile.as_ref().is_some_and(Profile::has_credential);
    if file.is_named_by_flag() || !stored {
        let what = format!("the key in the credentials file {path} is used at {url}");
        return Some(Finding::new(Level::Ok, GROUP, "credentials-file", what));
    }
    let profile = &context.target.profile;
    let what = format!(
        "the key in the credentials file {path} is used at {url} instead of what the profile {profile:?} holds"
    );
    let finding =
        Finding::new(Level::Warning, GROUP, "credentials-file-wins", what).why("the file comes before the profile");
    Some(finding.remedy("unset OLLAMA_AUTH_CREDENTIALS, unless that is meant"))
}

fn key(context: &Context) -> Option<Finding> {
    if let Some(withheld) = context.withheld {
        let finding = Finding::new(Level::Warning, GROUP, "api-key-unused", withheld_note(withheld, context.url()));
        return Some(finding.why("a credential goes only to the host that it is meant for"));
    }
    let stored = context.profile.as_ref().is_some_and(Profile::has_credential);
    if context.source != CredentialSource::Environment {
        return None;
    }
    let url = context.url();
    if !stored {
        let what = format!("OLLAMA_API_KEY is used at {url}");
        return Some(Finding::new(Level::Ok, GROUP, "api-key", what));
    }
    let what =
        format!("OLLAMA_API_KEY is used at {url} instead of what the profile {:?} holds", context.target.profile);
    let finding =
        Finding::new(Level::Warning, GROUP, "api-key-wins", what).why("the variable comes before the profile");
    Some(finding.remedy("unset OLLAMA_API_KEY, unless that is meant"))
}
