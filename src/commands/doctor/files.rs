//! Our folders and files: who can read and change them. Permission checks never follow a link.

use std::io;
use std::path::Path;

use super::Snapshot;
use super::report::{Finding, Group, Level};
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
    /// Accounts other than the owner can change it.
    pub fn is_writable_by_others(self) -> bool {
        !self.link && self.mode & 0o022 != 0
    }

    /// Accounts other than the owner have any access to it.
    pub fn is_open_to_others(self) -> bool {
        !self.link && self.mode & 0o077 != 0
    }

    /// It belongs to the account that runs this program.
    pub fn is_own(self) -> bool {
        self.owner == current_user_id()
    }
}

/// `None` when the path does not exist.
///
/// # Errors
/// When the path cannot be inspected.
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

/// The numeric id of the account that runs this program.
#[cfg(unix)]
pub fn current_user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// There are no user ids here: every file counts as our own.
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
        let closed = there.map(|folder| format!("{} is accessible to this account only", folder.display()));
        found.extend(closed.map(|what| Finding::new(Level::Ok, Group::Stores, "permissions", what)));
    }
    found
}

fn check_path(path: &Path, exposure: fn(&Path, Access) -> Option<Finding>) -> Vec<Finding> {
    match access(path) {
        Ok(None) => Vec::new(),
        Ok(Some(access)) => exposure(path, access).into_iter().chain(foreign_owner(path, access)).collect(),
        Err(error) => {
            let what = format!("cannot inspect {}: {error}", path.display());
            vec![Finding::new(Level::Error, Group::Stores, "permissions", what)]
        }
    }
}

fn folder_exposure(path: &Path, access: Access) -> Option<Finding> {
    let (level, can, why) = if access.is_writable_by_others() {
        let why = "they can replace its files, and so choose which host gets your credential";
        (Level::Error, "changed", why)
    } else if access.is_open_to_others() {
        (Level::Warning, "listed", "they can see the names of your hosts and profiles")
    } else {
        return None;
    };
    let what = format!("{} can be {can} by other accounts (mode {:04o})", path.display(), access.mode);
    let finding = Finding::new(level, Group::Stores, "folder-exposed", what).why(why);
    Some(finding.remedy(format!("chmod 700 {}", shell_quoted(path))))
}

fn secret_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_open_to_others().then(|| {
        let what = format!("{} is accessible to other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, Group::Stores, "secrets-exposed", what)
            .why("they may have read the secrets in it, and the store refuses to use it")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
            .remedy("if others use this machine: run ollama-auth device rotate, and replace the API keys in it")
    })
}

/// It holds no secret, but decides where secrets go.
fn index_exposure(path: &Path, access: Access) -> Option<Finding> {
    access.is_writable_by_others().then(|| {
        let what = format!("{} can be changed by other accounts (mode {:04o})", path.display(), access.mode);
        Finding::new(Level::Error, Group::Stores, "profiles-exposed", what)
            .why("they could send your credential to a host of theirs, so the file is not used")
            .remedy(format!("chmod 600 {}", shell_quoted(path)))
    })
}

fn foreign_owner(path: &Path, access: Access) -> Option<Finding> {
    (!access.is_own()).then(|| {
        let what = format!("{} belongs to another account (user id {})", path.display(), access.owner);
        // A file owned by root is trusted, but this account cannot change it.
        Finding::new(Level::Error, Group::Stores, "owner", what)
            .why("this account cannot use or change it; `sudo ollama-auth …` may have created it")
            .remedy(format!("sudo chown -R \"$(id -u)\" {}", shell_quoted(path)))
    })
}
