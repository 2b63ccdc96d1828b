//! The files of a database: where they are, and the check that no other user can change or read them.
//!
//! A user who can write to the folder can replace the files, so the folder is checked like the file. Everything is
//! looked at before SQLite opens the file: closing it once more in the same process would take SQLite's own locks away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::{DiskError, Lock, ensure_private_dir};
use crate::gateway::StoreError;

/// In bytes.
const SMALLEST_PAGE: u64 = 512;

/// The path with its folder made, looked at, and free of symbolic links.
pub(super) fn locate(path: &Path) -> Result<PathBuf, StoreError> {
    let open = |reason: String| StoreError::Open { place: path.display().to_string(), reason };
    let name = path.file_name().ok_or_else(|| open("the path has no file name".to_owned()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure_private_dir(folder).map_err(|error| open(error.to_string()))?;
    let folder = fs::canonicalize(folder).map_err(|error| open(error.to_string()))?;
    let path = folder.join(name);
    check_folder(&path, &folder)?;
    Ok(path)
}

/// The file of that name with something after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The lock on `file`, unless another process holds it.
pub(super) fn lock(path: &Path, file: &Path) -> Result<Option<Lock>, StoreError> {
    match Lock::acquire(file, Duration::ZERO) {
        Ok(lock) => Ok(Some(lock)),
        Err(DiskError::Busy { .. }) => Ok(None),
        Err(error) => Err(StoreError::Open { place: path.display().to_string(), reason: error.to_string() }),
    }
}

/// Makes the file when there is none, and checks all that SQLite will open.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        match fs::symlink_metadata(&file) {
            Ok(found) => check_file(path, &file, &found)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(StoreError::Open { place: path.display().to_string(), reason: error.to_string() });
            }
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check_length(path),
        Err(error) => Err(StoreError::Open { place: path.display().to_string(), reason: error.to_string() }),
    }
}

/// SQLite takes a file that is shorter than its smallest page for an empty database, and would write over it.
fn check_length(path: &Path) -> Result<(), StoreError> {
    let place = path.display().to_string();
    match fs::symlink_metadata(path).map(|found| found.len()) {
        Ok(length @ 1..SMALLEST_PAGE) => {
            Err(StoreError::Damaged { place, reason: format!("it was cut to {length} bytes") })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Open { place, reason: error.to_string() }),
    }
}

/// Sees to it that the file is still in its folder after a power cut.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        match File::open(folder)?.sync_all() {
            // Some network file systems cannot; they keep names by themselves.
            Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

fn unsafe_at(path: &Path, reason: String, fix: String) -> StoreError {
    StoreError::Unsafe { place: path.display().to_string(), reason, fix }
}

#[cfg(unix)]
fn check_folder(path: &Path, folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;

    let found = fs::metadata(folder)
        .map_err(|error| StoreError::Open { place: path.display().to_string(), reason: error.to_string() })?;
    let (mode, owner, shown) = (found.mode() & 0o7777, found.uid(), folder.display());
    if !found.is_dir() {
        return Err(StoreError::Open { place: path.display().to_string(), reason: format!("{shown} is not a folder") });
    }
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(unsafe_at(path, format!("its folder belongs to another account (user id {owner})"), run_as(owner)));
    }
    if mode & 0o022 != 0 {
        let reason = format!("other accounts may write to its folder {shown} (mode {mode:04o})");
        return Err(unsafe_at(path, reason, "put it in a folder of its own with mode 0700".to_owned()));
    }
    Ok(())
}

#[cfg(unix)]
fn check_file(path: &Path, file: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;

    let (mode, owner, shown) = (found.mode() & 0o777, found.uid(), file.display());
    if !found.is_file() {
        let what = if found.is_symlink() { "a symbolic link, which is not followed" } else { "not a regular file" };
        return Err(unsafe_at(path, format!("{shown} is {what}"), "give the path of the file itself".to_owned()));
    }
    // Not root's either: what root makes beside it could not be opened by the account it belongs to.
    if owner != rustix::process::geteuid().as_raw() {
        return Err(unsafe_at(path, format!("{shown} belongs to another account (user id {owner})"), run_as(owner)));
    }
    // SQLite names its log, and we our lock, after the file: a second name would have others of both.
    if found.nlink() > 1 {
        let reason = format!("{shown} has a second name (a hard link)");
        return Err(unsafe_at(path, reason, "copy it to a file of its own".to_owned()));
    }
    if mode & 0o077 != 0 {
        let reason = format!("{shown} is open to other accounts (mode {mode:04o})");
        return Err(unsafe_at(path, reason, crate::disk::chmod(file)));
    }
    Ok(())
}

#[cfg(unix)]
fn run_as(owner: u32) -> String {
    format!("run it as the account with the user id {owner}")
}

/// Windows keeps a profile folder to its owner by inherited access control lists.
#[cfg(not(unix))]
fn check_folder(_path: &Path, _folder: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(not(unix))]
fn check_file(path: &Path, file: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
    if found.is_file() {
        return Ok(());
    }
    let reason = format!("{} is not a regular file", file.display());
    Err(unsafe_at(path, reason, "give the path of the file itself".to_owned()))
}
