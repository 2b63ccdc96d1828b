//! The secrets on record: whether each is in its store, and is the one that was put there.

use secrecy::{ExposeSecret as _, SecretString};

use super::super::finding::{Finding, Group, Level};
use super::super::view::secrets::{Found, Held};
use super::super::view::{View, word};
use crate::identity::DeviceKey;
use crate::profile::Profile;
use crate::vault::EntryKind;

const GROUP: Group = Group::Profiles;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let of = |held: &Held| view.each().find(|(name, _)| *name == held.profile).map(|(_, profile)| profile);
    view.secrets.held.iter().filter_map(|held| one(held, of(held)?)).collect()
}

fn one(held: &Held, profile: &Profile) -> Option<Finding> {
    let Held { profile: name, kind, store, .. } = held;
    let what = if *kind == EntryKind::ApiKey { "API key" } else { "device key" };
    let again = if *kind == EntryKind::ApiKey { " --with-api-key" } else { "" };
    let again = format!("ollama-auth signin{again} --host {} --profile {}", profile.url, word(name));
    match &held.found {
        Found::Here(secret) if *kind == EntryKind::DeviceKey => device(name, profile, secret, again),
        Found::Here(_) | Found::Unknown => None,
        Found::Gone => {
            let text = format!("the {what} of the profile {name:?} is not in the {store} store any more");
            let why = "the record of it is there, so commands try to use it and fail";
            let finding = Finding::new(Level::Error, GROUP, "secret-gone", text).why(why).remedy(again);
            Some(finding.remedy(format!("or: ollama-auth profile remove {}", word(name))))
        }
        Found::Trouble(trouble) => {
            let text = format!("the {what} of the profile {name:?}: {}", trouble.message);
            Some(Finding::new(Level::Error, GROUP, "secret-unreadable", text).remedies(trouble.hint.clone()))
        }
    }
}

fn device(name: &str, profile: &Profile, secret: &SecretString, again: String) -> Option<Finding> {
    let record = profile.device.as_ref()?;
    let key = match DeviceKey::from_openssh(secret.expose_secret(), None) {
        Ok(key) => key,
        Err(error) => {
            let text = format!("what the {} store holds as the device key of {name:?} is none: {error}", record.store);
            return Some(Finding::new(Level::Error, GROUP, "secret-damaged", text).remedy(again));
        }
    };
    if *key.public() == record.public_key || record.next.as_ref() == Some(key.public()) {
        return None;
    }
    let text = format!(
        "the {} store holds another device key for {name:?} ({}) than the one on record ({})",
        record.store,
        key.public().fingerprint(),
        record.public_key.fingerprint()
    );
    let why = "another program, or a backup that was restored, has changed one of the two";
    Some(Finding::new(Level::Error, GROUP, "secret-foreign", text).why(why).remedy(again))
}
