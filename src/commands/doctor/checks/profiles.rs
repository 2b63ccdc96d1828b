//! The profiles: whether their file can be read, and whether what stands in it makes sense together.

use std::collections::BTreeMap;

use super::super::finding::{Finding, Group, Level};
use super::super::view::{View, word};
use crate::address::Scheme;
use crate::identity::PublicKey;
use crate::profile::Profile;

const GROUP: Group = Group::Profiles;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let profiles = match &view.profiles {
        Ok(profiles) => profiles,
        Err(error) => {
            let finding = Finding::new(Level::Error, GROUP, "profiles-file", error.to_string())
                .why("without it no command knows which host and which credential to use");
            return vec![finding.remedies(error.hint())];
        }
    };
    let mut found = Vec::new();
    if profiles.profiles.is_empty() {
        let finding = Finding::new(Level::Note, GROUP, "profiles", "there is no profile: nobody has signed in yet");
        return vec![finding.remedy("ollama-auth signin")];
    }
    if let Some(current) = profiles.current.as_ref().filter(|current| !profiles.profiles.contains_key(*current)) {
        let finding = Finding::new(
            Level::Error,
            GROUP,
            "profile-current",
            format!("the current profile {current:?} does not exist"),
        )
        .why("commands that name no profile fall back to ollama.com");
        found.push(
            finding.remedies(profiles.profiles.keys().map(|name| format!("ollama-auth profile use {}", word(name)))),
        );
    }
    found.extend(profiles.profiles.iter().filter_map(|(name, profile)| alone(view, name, profile)));
    found.extend(same_origin(view));
    found.extend(same_key(view));
    if found.iter().all(|finding| finding.level == Level::Ok) {
        let what = match profiles.profiles.len() {
            1 => "the profile makes sense".to_owned(),
            count => format!("the {count} profiles make sense"),
        };
        found.push(Finding::new(Level::Ok, GROUP, "profiles", what));
    }
    found
}

fn alone(view: &View<'_>, name: &str, profile: &Profile) -> Option<Finding> {
    let url = &profile.url;
    let held = profile.device.is_some() || profile.api_key.is_some();
    if !held {
        let what = format!("the profile {name:?} holds nothing");
        let finding = Finding::new(Level::Note, GROUP, "profile-empty", what);
        return Some(finding.remedy(format!("ollama-auth signin --host {url} --profile {}", word(name))));
    }
    if url.scheme() == Scheme::Http && !url.is_loopback() && !view.app.global.allow_insecure_http {
        let what = format!("the profile {name:?} is for {url}, over plain http");
        let finding = Finding::new(Level::Warning, GROUP, "profile-plain-http", what).why(
            "no credential is sent there unless --allow-insecure-http is given: the network between could read it",
        );
        return Some(finding.remedy("give that host https, and sign in under its new address"));
    }
    if profile.api_key.is_none() && profile.device.as_ref().is_some_and(|device| !device.connected) {
        let what = format!("the sign-in of the profile {name:?} was never approved");
        let finding = Finding::new(Level::Note, GROUP, "profile-unapproved", what);
        return Some(finding.remedy(format!("ollama-auth signin --host {url} --profile {}", word(name))));
    }
    None
}

fn same_origin(view: &View<'_>) -> Vec<Finding> {
    let mut by_origin: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, profile) in view.each() {
        by_origin.entry(profile.url.origin().to_string()).or_default().push(name);
    }
    let several = by_origin.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|(origin, names)| {
            let what = format!("{} profiles are for {origin}: {}", names.len(), names.join(", "));
            Finding::new(Level::Note, GROUP, "profile-same-host", what)
                .why("with --host the current one of them is used, else the first by name")
                .remedy("name the one that is meant with --profile")
        })
        .collect()
}

fn same_key(view: &View<'_>) -> Vec<Finding> {
    let mut seen: Vec<(&PublicKey, Vec<(&str, &Profile)>)> = Vec::new();
    for (name, profile) in view.each() {
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
            let what = format!("one device key ({}) is used at {}", key.fingerprint(), hosts.join(" and "));
            Finding::new(Level::Warning, GROUP, "device-key-shared", what)
                .why("a signature names no host: whoever runs one of them can act as you at the other")
                .remedies(
                    users.iter().skip(1).map(|(name, _)| format!("ollama-auth device rotate --profile {}", word(name))),
                )
        })
        .collect()
}
