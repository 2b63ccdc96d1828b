//! Rotations of API keys that did not end: the next run of `keys rotate` goes on with them.

use super::super::finding::{Finding, Group, Level};
use super::super::view::{View, word};
use crate::disk::shell_quoted;
use crate::rotation::Rotation;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    match &view.rotations {
        Ok(rotations) => rotations.iter().filter(|rotation| rotation.is_unfinished()).map(|it| one(view, it)).collect(),
        Err(error) => {
            let finding = Finding::new(Level::Error, Group::Stores, "rotation-journal", error.to_string()).why(
                "a new API key may be valid of which nothing else here knows, and no key can be rotated until then",
            );
            vec![finding.remedies(error.hint())]
        }
    }
}

fn one(view: &View<'_>, rotation: &Rotation) -> Finding {
    let Rotation { profile, origin, new, .. } = rotation;
    let what = format!("a rotation of an API key of the profile {profile:?} at {origin} has not ended");
    let finding = Finding::new(Level::Warning, Group::Profiles, "rotation-unfinished", what).why(format!(
        "two keys may be valid, the old one and {new}; if no run is at work now, it was interrupted or failed"
    ));
    let is_there = view.each().any(|(name, known)| name == profile && known.url.origin() == *origin);
    if !is_there {
        return finding
            .remedy(format!("ollama-auth signin --host {origin} --profile {}", word(profile)))
            .remedy(format!("then: ollama-auth keys revoke {new} --profile {}", word(profile)));
    }
    finding.remedy(command(rotation))
}

/// The run that goes on with it. The deploy command is not known here.
fn command(rotation: &Rotation) -> String {
    let mut command = "ollama-auth keys rotate".to_owned();
    if let Some(old) = rotation.old.as_ref().filter(|_| !rotation.kept) {
        command += &format!(" {old}");
    }
    command += &format!(" --profile {}", word(&rotation.profile));
    if let Some(file) = &rotation.targets.env_file {
        command += &format!(" --env-file {}", shell_quoted(file));
    }
    if rotation.targets.command {
        command += " --deploy CMD, with the command that it was begun with";
    }
    command
}
