//! State on disk: whole-file replacement, locks between processes, and versioned JSON documents.
//!
//! Everything here is synchronous and small. Files are private (0600 in 0700 folders on Unix), a symbolic link
//! is never followed (on the way to a file that a person named: only one of this account or root), and a file that cannot be understood is moved aside instead of being overwritten.

mod destination;
mod document;
mod lock;
mod read;
mod replace;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub use destination::{Controller, Destination, LastLink};
pub use document::Document;
pub use lock::Lock;
pub use read::{Exposure, check_input, read_input, read_private, read_public};
pub use replace::{NewFile, Snapshot, probe_given, probe_replace, replace_file, write_given, write_public};
pub use write::{ensure_private_dir, move_aside, probe_writable, remove, write_atomic};

/// A failure to read, write or lock a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A symbolic link is where a private file belongs; following it could send a secret elsewhere.
    #[error("{} is a symbolic link; a private file must be a regular file", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// A symbolic link of another account is on the way to a file that a person named.
    #[error("{} is a symbolic link of another account (user id {owner})", path.display())]
    ForeignLink {
        /// The link.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
    },
    /// Another account can replace the files of a folder, so that a secret could be written to a file of its own.
    #[error("other accounts can replace files in the folder of {}", path.display())]
    SharedFolder {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// Something that is not a regular file is where a private file belongs.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is there instead.
        path: PathBuf,
    },
    /// Other accounts can read or change the file.
    #[error("{} is open to other accounts (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to another account than ours (and not to root).
    #[error("{} belongs to another account (user id {owner})", path.display())]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
    },
    /// The file is larger than anything we would have written.
    #[error("{} is larger than {}", path.display(), size(*limit))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// Another process held the lock for the whole deadline.
    #[error("{} is still locked by another process after {} s", path.display(), deadline.as_secs())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        deadline: Duration,
    },
    /// The content makes no sense. Nothing in it was changed.
    #[error("{} is damaged ({reason}){}", path.display(), location_note(aside.as_deref()))]
    Broken {
        /// Where the file was expected.
        path: PathBuf,
        /// Where it was moved to; `None` when it could not be moved.
        aside: Option<PathBuf>,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is of a version that this program does not know. It is left as it is.
    #[error("{} was written by a newer ollama-auth (version {found}, this one knows {known})", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version it declares.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
}

/// The tail of a message on a damaged file: where its content can now be found.
pub(crate) fn location_note(aside: Option<&Path>) -> String {
    match aside {
        Some(aside) => format!("; it was moved unchanged to {}", aside.display()),
        None => "; the file was not changed".to_owned(),
    }
}

impl DiskError {
    /// Wraps an I/O error with what was being done to which path.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { action: "find", .. } => Some("check the path".to_owned()),
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Some("free some disk space and run the command again; nothing stored was lost".to_owned())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("check the owner and mode of {}", path.display()))
                }
                _ => None,
            },
            Self::ForeignLink { path, .. } => {
                let path = shell_quoted(path);
                Some(format!(
                    "see where it leads: readlink -f {path}\nif you trust that, pass this path instead of the link"
                ))
            }
            Self::SharedFolder { .. } => Some("write it to a folder that only you can write to".to_owned()),
            Self::Symlink { path } | Self::NotAFile { path } => {
                Some(format!("if you trust its content, replace {} by a regular file", path.display()))
            }
            Self::Exposed { path, .. } => Some(chmod(path)),
            Self::WrongOwner { path, .. } => {
                Some(format!("run the command as the account that owns {}; sudo is not needed", path.display()))
            }
            Self::Busy { path, .. } => {
                Some(format!("check whether another ollama-auth is running; do not remove {}", path.display()))
            }
            Self::Broken { aside: Some(_), .. } => Some(
                "restore a backup if you have one, or run the command again to start with an empty file".to_owned(),
            ),
            Self::Broken { path, .. } => {
                let path = shell_quoted(path);
                Some(format!("restore a backup of it, or start with an empty file: mv {path} {path}.damaged"))
            }
            Self::NewerVersion { .. } => Some("update ollama-auth".to_owned()),
            Self::TooLarge { .. } => None,
        }
    }
}

/// A number of bytes in the unit that people use.
fn size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The command that takes a file away from other accounts.
pub(crate) fn chmod(path: &Path) -> String {
    format!("run: chmod 600 {}", shell_quoted(path))
}

/// A path as it can be pasted into a shell.
pub(crate) fn shell_quoted(path: &Path) -> String {
    crate::shell::quoted(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_can_be_pasted_into_a_shell() {
        assert_eq!(chmod(Path::new("/a/b.json")), "run: chmod 600 /a/b.json");
        assert_eq!(chmod(Path::new("/a b'c")), r"run: chmod 600 '/a b'\''c'");
    }
}
