//! Our folders and files: whether other accounts can read or change them, and whether they are ours.

use std::path::Path;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::access::{Access, access};
use crate::disk::shell_quoted;
use crate::vault::StoreKind;

const GROUP: Group = Group::Stores;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let paths = &view.app.paths;
    let mut found = Vec::new();
    for folder in [&paths.config, &paths.data] {
        found.extend(look(folder, folder_exposure));
    }
    let secrets = [StoreKind::File, StoreKind::Plaintext].into_iter().filter_map(|store| view.app.vault.file(store));
    for file in secrets {
        found.extend(look(&file, secret_exposure));
    }
    found.extend(look(view.app.profiles.path(), index_exposure));
    if found.is_empty() {
        let there = [&paths.config, &paths.data].into_iter().filter(|folder| folder.exists());
        let closed = there.map(|folder| format!("{} is closed to other accounts", folder.display()));
        found.extend(closed.map(|what| Finding::new(Level::Ok, GROUP, "permissions", what)));
    }
    found
}

fn look(path: &Path, exposure: fn(&Path, Access) -> Option<Finding>) -> Vec<Finding> {
    match access(path) {
        Ok(None) => Vec::new(),
        Ok(Some(access)) => exposure(path, access).into_iter().chain(owner(path, access)).collect(),
        Err(error) => {
            let what = format!("{} cannot be looked at: {error}", path.display());
            vec![Finding::new(Level::Error, GROUP, "permissions", what)]
        }
    }
}

fn folder_exposure(path: &Path, access: Access) -> Option<Finding> {
    let (level, can, why) = if access.is_writable_by_others() {
        let why = "they can replace the files in it, and with them decide which host gets your credential";
        (Level::Error, "changed", why)
    } else if access.is_open_to_others() {
        (Level::Warning, "looked into", "the names of your hosts and profiles are nobody else's business")
    } else {
        return None;
    };
    let what = format!("{} can be {can} by other accounts (mode {:04o})", path.display(), access.mode);
    let finding = Finding::new(level, GROUP, "folder-exposed", what).why(why);
    Some(finding.remedy(format!("chmod 700 {}", shell_quoted(path))))
}

fn secret_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_open_to_others().then(|| {
        let what = format!("{} is open to other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, GROUP, "secrets-exposed", what)
            .why("what it holds may be known to them, and the store refuses to use it")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
            .remedy("if others use this machine: ollama-auth device rotate, and new API keys for those in it")
    })
}

/// It holds no secret, but decides where secrets go.
fn index_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_writable_by_others().then(|| {
        let what = format!("{} can be changed by other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, GROUP, "profiles-exposed", what)
            .why("they could send your credential to a host of theirs, so it is not read")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
    })
}

fn owner(path: &Path, access: Access) -> Option<Finding> {
    (!access.is_ours()).then(|| {
        let what = format!("{} belongs to another account (user id {})", path.display(), access.owner);
        // Files of root's are trusted, but not ours to change.
        Finding::new(Level::Error, GROUP, "owner", what)
            .why("it cannot be used or changed from this account; a `sudo ollama-auth …` with your HOME may have made it")
            .remedy(format!("sudo chown -R \"$(id -u)\" {}", shell_quoted(path)))
    })
}
