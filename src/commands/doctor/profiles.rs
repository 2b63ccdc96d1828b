//! The profiles: whether their file can be read and its entries fit together; and what was started and not finished: a move
//! between stores, a key rotation, files set aside as damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::report::{Finding, Group, Level};
use super::{Snapshot, shell_word};
use crate::address::Scheme;
use crate::disk::shell_quoted;
use crate::identity::PublicKey;
use crate::profile::{DeviceRecord, Profile};
use crate::rotation::Rotation;

/// Checks that the profiles can be read and fit together.
pub fn check_profiles(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let profiles = match &snapshot.profiles {
        Ok(profiles) => profiles,
        Err(error) => {
            let finding = Finding::new(Level::Error, Group::Profiles, "profiles-file", error.to_string())
                .why("commands need it to choose a host and a credential");
            return vec![finding.remedies(error.hint())];
        }
    };
    let mut found = Vec::new();
    if profiles.profiles.is_empty() {
        let finding =
            Finding::new(Level::Note, Group::Profiles, "profiles", "there are no profiles: you have not signed in yet");
        return vec![finding.remedy("ollama-auth signin")];
    }
    if let Some(current) = profiles.current.as_ref().filter(|current| !profiles.profiles.contains_key(*current)) {
        let finding = Finding::new(
            Level::Error,
            Group::Profiles,
            "profile-current",
            format!("the current profile {current:?} does not exist"),
        )
        .why("commands without --profile fall back to ollama.com");
        found
            .push(finding.remedies(
                profiles.profiles.keys().map(|name| format!("ollama-auth profile use {}", shell_word(name))),
            ));
    }
    found.extend(profiles.profiles.iter().filter_map(|(name, profile)| profile_finding(snapshot, name, profile)));
    found.extend(profiles_with_same_host(snapshot));
    found.extend(profiles_with_same_key(snapshot));
    if found.iter().all(|finding| finding.level == Level::Ok) {
        let what = match profiles.profiles.len() {
            1 => "the profile is valid".to_owned(),
            count => format!("the {count} profiles are valid"),
        };
        found.push(Finding::new(Level::Ok, Group::Profiles, "profiles", what));
    }
    found
}

fn profile_finding(snapshot: &Snapshot<'_>, name: &str, profile: &Profile) -> Option<Finding> {
    let url = &profile.url;
    let held = profile.device.is_some() || profile.api_key.is_some();
    if !held {
        let what = format!("the profile {name:?} has no credential");
        let finding = Finding::new(Level::Note, Group::Profiles, "profile-empty", what);
        return Some(finding.remedy(format!("ollama-auth signin --host {url} --profile {}", shell_word(name))));
    }
    if url.scheme() == Scheme::Http && !url.is_loopback() && !snapshot.app.global.allow_insecure_http {
        let what = format!("the profile {name:?} uses plain http: {url}");
        let finding = Finding::new(Level::Warning, Group::Profiles, "profile-plain-http", what).why(
            "credentials are sent there only with --allow-insecure-http, since others on the network could read them",
        );
        return Some(finding.remedy("serve that host over https, then sign in to its https:// address"));
    }
    if profile.api_key.is_none() && profile.device.as_ref().is_some_and(|device| !device.connected) {
        let what = format!("the sign-in of the profile {name:?} was not approved");
        let finding = Finding::new(Level::Note, Group::Profiles, "profile-unapproved", what);
        return Some(finding.remedy(format!("ollama-auth signin --host {url} --profile {}", shell_word(name))));
    }
    None
}

fn profiles_with_same_host(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let mut by_origin: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, profile) in snapshot.profile_entries() {
        by_origin.entry(profile.url.origin().to_string()).or_default().push(name);
    }
    let several = by_origin.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|(origin, names)| {
            let what = format!("{} profiles are for {origin}: {}", names.len(), names.join(", "));
            Finding::new(Level::Note, Group::Profiles, "profile-same-host", what)
                .why("--host uses the current profile if it is one of them, otherwise the first by name")
                .remedy("choose one with --profile NAME")
        })
        .collect()
}

fn profiles_with_same_key(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let mut seen: Vec<(&PublicKey, Vec<(&str, &Profile)>)> = Vec::new();
    for (name, profile) in snapshot.profile_entries() {
        let Some(device) = &profile.device else { continue };
        match seen.iter_mut().find(|(key, _)| *key == &device.public_key) {
            Some((_, users)) => users.push((name, profile)),
            None => seen.push((&device.public_key, vec![(name, profile)])),
        }
    }
    let shared = seen
        .into_iter()
        .filter(|(_, users)| users.iter().any(|(_, profile)| profile.url.origin() != users[0].1.url.origin()));
    shared
        .map(|(key, users)| {
            let hosts: Vec<String> = users.iter().map(|(name, profile)| format!("{} ({name})", profile.url)).collect();
            let what = format!("the same device key ({}) is used at {}", key.fingerprint(), hosts.join(" and "));
            Finding::new(Level::Warning, Group::Profiles, "device-key-shared", what)
                .why("a signature works at every host that knows the key: the operator of one can act as you at the other")
                .remedies(
                    users
                        .iter()
                        .skip(1)
                        .map(|(name, _)| format!("ollama-auth device rotate --profile {}", shell_word(name))),
                )
        })
        .collect()
}

/// Checks for moves, device key rotations and damaged files that were left behind.
pub fn check_leftovers(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, profile) in snapshot.profile_entries() {
        if let Some(to) = profile.moving_to {
            let what = format!("moving the secrets of the profile {name:?} to the {to} store did not finish");
            let finding = Finding::new(Level::Warning, Group::Stores, "move-unfinished", what)
                .why("both stores may hold a copy")
                .remedy(format!("ollama-auth store move --to {to} --profile {}", shell_word(name)));
            found.push(finding);
        }
        found.extend(device_rotation_finding(name, profile.device.as_ref()));
    }
    for (name, what, store) in &snapshot.secrets.copies {
        let text =
            format!("the {store} store holds a second copy of the {} of the profile {name:?}", what.replace('-', " "));
        let used = snapshot.secrets.records.iter().find(|record| record.profile == *name);
        let finding =
            Finding::new(Level::Warning, Group::Stores, "copy-left", text)
                .why("signing out would not remove this copy")
                .remedies(used.map(|record| {
                    format!("ollama-auth store move --to {} --profile {}", record.store, shell_word(name))
                }));
        found.push(finding);
    }
    let folders = [&snapshot.app.paths.config, &snapshot.app.paths.data];
    for file in folders.into_iter().flat_map(|folder| damaged_files(folder)) {
        let what = format!("{} was set aside because it was damaged", file.display());
        let finding = Finding::new(Level::Note, Group::Stores, "set-aside", what)
            .why("it is not used any more, but may contain secrets")
            .remedy(format!("when you no longer need its contents: rm {}", shell_quoted(&file)));
        found.push(finding);
    }
    found
}

fn device_rotation_finding(name: &str, device: Option<&DeviceRecord>) -> Option<Finding> {
    let device = device?;
    if device.next.is_some() {
        let what = format!("the device key rotation of {name:?} did not finish");
        let finding = Finding::new(Level::Warning, Group::Profiles, "device-rotation-unfinished", what)
            .why("two keys may be connected at the host")
            .remedy(format!("ollama-auth device rotate --profile {}", shell_word(name)));
        return Some(finding);
    }
    if device.retired.is_empty() {
        return None;
    }
    let what = format!("{} replaced keys of {name:?} may still be connected at the host", device.retired.len());
    let finding = Finding::new(Level::Warning, Group::Profiles, "device-retired", what)
        .why("the host should not accept keys that you no longer use")
        .remedies(device.retired.iter().map(|key| {
            format!("ollama-auth device revoke {} --profile {}", shell_word(&key.line()), shell_word(name))
        }));
    Some(finding)
}

/// The files of a folder that were moved aside: `NAME.broken-N`.
fn damaged_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".broken-")))
        .collect();
    files.sort();
    files
}

/// Checks for API key rotations that did not finish.
pub fn check_rotations(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    match &snapshot.rotations {
        Ok(rotations) => rotations
            .iter()
            .filter(|rotation| rotation.is_unfinished())
            .map(|it| rotation_finding(snapshot, it))
            .collect(),
        Err(error) => {
            let finding = Finding::new(Level::Error, Group::Stores, "rotation-journal", error.to_string())
                .why("it may record a new, valid API key; until it can be read, no key can be rotated");
            vec![finding.remedies(error.hint())]
        }
    }
}

fn rotation_finding(snapshot: &Snapshot<'_>, rotation: &Rotation) -> Finding {
    let Rotation { profile, origin, new, .. } = rotation;
    let what = format!("an API key rotation of the profile {profile:?} at {origin} has not finished");
    let finding = Finding::new(Level::Warning, Group::Profiles, "rotation-unfinished", what).why(format!(
        "two keys may be valid, the old one and {new}; unless it is still running, the rotation was interrupted or failed"
    ));
    let is_there = snapshot.profile_entries().any(|(name, known)| name == profile && known.url.origin() == *origin);
    if !is_there {
        return finding
            .remedy(format!("ollama-auth signin --host {origin} --profile {}", shell_word(profile)))
            .remedy(format!("then: ollama-auth keys revoke {new} --profile {}", shell_word(profile)));
    }
    finding.remedy(resume_command(rotation))
}

/// The command that resumes it. The deploy command is not on record.
fn resume_command(rotation: &Rotation) -> String {
    let mut command = "ollama-auth keys rotate".to_owned();
    if let Some(old) = rotation.old.as_ref().filter(|_| !rotation.kept) {
        command += &format!(" {old}");
    }
    command += &format!(" --profile {}", shell_word(&rotation.profile));
    if let Some(file) = &rotation.targets.env_file {
        command += &format!(" --env-file {}", shell_quoted(file));
    }
    if rotation.targets.command {
        command += " --deploy CMD, with the same command as before";
    }
    command
}
