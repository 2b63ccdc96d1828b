//! Our folders and files: who can read and change them. Permission checks never follow a link.

use std::io;
use std::path::Path;

use super::report::{Finding, Group, Level};
use super::snapshot::Snapshot;
use crate::disk::shell_quoted;
use crate::vault::StoreKind;

/// Mode and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// The owner's numeric id.
    pub owner: u32,
    /// It is a symbolic link.
    pub link: bool,
}

impl Access {
    /// Others than the owner can change it.
    pub fn is_writable_by_others(self) -> bool {
        !self.link && self.mode & 0o022 != 0
    }

    /// Others than the owner can do anything with it.
    pub fn is_open_to_others(self) -> bool {
        !self.link && self.mode & 0o077 != 0
    }

    /// It belongs to the account that runs us.
    pub fn is_own(self) -> bool {
        self.owner == current_user_id()
    }
}

/// `None` when there is nothing of that name.
///
/// # Errors
/// When it cannot be looked at.
pub fn access(path: &Path) -> io::Result<Option<Access>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(from_metadata(&found))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn from_metadata(found: &std::fs::Metadata) -> Access {
    use std::os::unix::fs::MetadataExt as _;
    Access { mode: found.mode() & 0o7777, owner: found.uid(), link: found.is_symlink() }
}

/// Windows keeps a profile folder to its owner by inherited access control lists.
#[cfg(not(unix))]
fn from_metadata(found: &std::fs::Metadata) -> Access {
    Access { mode: 0o700, owner: current_user_id(), link: found.is_symlink() }
}

/// The numeric id of the account that runs us.
#[cfg(unix)]
pub fn current_user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// There are none here: every file is taken for ours.
#[cfg(not(unix))]
pub fn current_user_id() -> u32 {
    0
}

/// Checks who can read or change our folders and files.
pub fn check_permissions(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let paths = &snapshot.app.paths;
    let mut found = Vec::new();
    for folder in [&paths.config, &paths.data] {
        found.extend(check_path(folder, folder_exposure));
    }
    let secrets =
        [StoreKind::File, StoreKind::Plaintext].into_iter().filter_map(|store| snapshot.app.vault.file(store));
    for file in secrets {
        found.extend(check_path(&file, secret_exposure));
    }
    found.extend(check_path(snapshot.app.profiles.path(), index_exposure));
    if found.is_empty() {
        let there = [&paths.config, &paths.data].into_iter().filter(|folder| folder.exists());
        let closed = there.map(|folder| format!("{} is closed to other accounts", folder.display()));
        found.extend(closed.map(|what| Finding::new(Level::Ok, Group::Stores, "permissions", what)));
    }
    found
}

fn check_path(path: &Path, exposure: fn(&Path, Access) -> Option<Finding>) -> Vec<Finding> {
    match access(path) {
        Ok(None) => Vec::new(),
        Ok(Some(access)) => exposure(path, access).into_iter().chain(foreign_owner(path, access)).collect(),
        Err(error) => {
            let what = format!("{} cannot be looked at: {error}", path.display());
            vec![Finding::new(Level::Error, Group::Stores, "permissions", what)]
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
    let finding = Finding::new(level, Group::Stores, "folder-exposed", what).why(why);
    Some(finding.remedy(format!("chmod 700 {}", shell_quoted(path))))
}

fn secret_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_open_to_others().then(|| {
        let what = format!("{} is open to other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, Group::Stores, "secrets-exposed", what)
            .why("what it holds may be known to them, and the store refuses to use it")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
            .remedy("if others use this machine: ollama-auth device rotate, and new API keys for those in it")
    })
}

/// It holds no secret, but decides where secrets go.
fn index_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_writable_by_others().then(|| {
        let what = format!("{} can be changed by other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, Group::Stores, "profiles-exposed", what)
            .why("they could send your credential to a host of theirs, so it is not read")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
    })
}

fn foreign_owner(path: &Path, access: Access) -> Option<Finding> {
    (!access.is_own()).then(|| {
        let what = format!("{} belongs to another account (user id {})", path.display(), access.owner);
        // Files of root's are trusted, but not ours to change.
        Finding::new(Level::Error, Group::Stores, "owner", what)
            .why("it cannot be used or changed from this account; a `sudo ollama-auth …` with your HOME may have made it")
            .remedy(format!("sudo chown -R \"$(id -u)\" {}", shell_quoted(path)))
    })
}
