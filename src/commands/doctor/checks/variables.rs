//! Variables that decide which host and which credential is used: what is set and used, and what is set in vain.

use secrecy::ExposeSecret as _;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use crate::commands::context::withheld_note;
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
            for finding in contexts.iter().flat_map(key) {
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

fn key(context: &crate::commands::context::Context) -> Option<Finding> {
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
