//! Who may get at a file or folder: its mode and its owner, without following a link.

use std::io;
use std::path::Path;

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
    pub fn is_ours(self) -> bool {
        self.owner == own_id()
    }
}

/// `None` when there is nothing of that name.
///
/// # Errors
/// When it cannot be looked at.
pub fn access(path: &Path) -> io::Result<Option<Access>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(of(&found))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn of(found: &std::fs::Metadata) -> Access {
    use std::os::unix::fs::MetadataExt as _;
    Access { mode: found.mode() & 0o7777, owner: found.uid(), link: found.is_symlink() }
}

/// Windows keeps a profile folder to its owner by inherited access control lists.
#[cfg(not(unix))]
fn of(found: &std::fs::Metadata) -> Access {
    Access { mode: 0o700, owner: own_id(), link: found.is_symlink() }
}

/// The numeric id of the account that runs us.
#[cfg(unix)]
pub fn own_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// There are none here: every file is taken for ours.
#[cfg(not(unix))]
pub fn own_id() -> u32 {
    0
}
