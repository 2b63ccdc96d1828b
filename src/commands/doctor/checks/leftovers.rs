//! What was begun and not finished: a move between stores, a rotation of a device key, files that were set aside as damaged.

use std::path::{Path, PathBuf};

use super::super::finding::{Finding, Group, Level};
use super::super::view::{View, word};
use crate::disk::shell_quoted;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, profile) in view.each() {
        if let Some(to) = profile.moving_to {
            let what =
                format!("the secrets of the profile {name:?} were being moved to the {to} store, which did not end");
            let finding = Finding::new(Level::Warning, Group::Stores, "move-unfinished", what)
                .why("a copy of them may lie in both stores")
                .remedy(format!("ollama-auth store move --to {to} --profile {}", word(name)));
            found.push(finding);
        }
        found.extend(device(name, profile.device.as_ref()));
    }
    for (name, what, store) in &view.secrets.copies {
        let text =
            format!("a copy of the {} of the profile {name:?} lies in the {store} store", what.replace('-', " "));
        let used = view.secrets.held.iter().find(|held| held.profile == *name);
        let finding = Finding::new(Level::Warning, Group::Stores, "copy-left", text)
            .why("it would outlive a sign-out, and nobody looks after it")
            .remedies(used.map(|held| format!("ollama-auth store move --to {} --profile {}", held.store, word(name))));
        found.push(finding);
    }
    let folders = [&view.app.paths.config, &view.app.paths.data];
    for file in folders.into_iter().flat_map(|folder| set_aside(folder)) {
        let what = format!("{} was set aside because it was damaged", file.display());
        let finding = Finding::new(Level::Note, Group::Stores, "set-aside", what)
            .why("it may hold secrets; it is not used")
            .remedy(format!("once nothing in it is missed: rm {}", shell_quoted(&file)));
        found.push(finding);
    }
    found
}

fn device(name: &str, device: Option<&crate::profile::DeviceRecord>) -> Option<Finding> {
    let device = device?;
    if device.next.is_some() {
        let what = format!("the rotation of the device key of {name:?} did not end");
        let finding = Finding::new(Level::Warning, Group::Profiles, "device-rotation-unfinished", what)
            .why("two keys may be connected at the host")
            .remedy(format!("ollama-auth device rotate --profile {}", word(name)));
        return Some(finding);
    }
    if device.retired.is_empty() {
        return None;
    }
    let what = format!("{} replaced keys of {name:?} may still be connected at the host", device.retired.len());
    let finding = Finding::new(Level::Warning, Group::Profiles, "device-retired", what)
        .why("a key that is not used any more should not be accepted any more")
        .remedies(
            device
                .retired
                .iter()
                .map(|key| format!("ollama-auth device revoke {} --profile {}", word(&key.line()), word(name))),
        );
    Some(finding)
}

/// The files of a folder that were moved aside: `NAME.broken-N`.
fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".broken-")))
        .collect();
    files.sort();
    files
}
