//! Replacing a whole file: the old content or the new one is on disk at every moment, never a mixture, and no
//! planted symbolic link decides where the bytes go.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tempfile::NamedTempFile;

use super::DiskError;

/// More than any file of ours usually takes.
pub(super) const PROBE_LENGTH: usize = 64 << 10;

/// Replaces the content of `path` with `bytes`, readable by the owner alone.
///
/// The bytes go to a new file of random name beside it, which is synced and renamed over `path`; the folder is
/// created (0700) when absent. When anything fails, a full disk for instance, the old file is whole and the
/// new one is removed.
///
/// # Errors
/// [`DiskError::Symlink`] or [`DiskError::NotAFile`] when `path` is taken by something else than a regular
/// file, [`DiskError::Io`] for everything the system refuses.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    refuse_irregular(path)?;
    ensure_private_dir(folder_of(path))?;
    remove_abandoned(path);
    let failed = |source| DiskError::io("write", path, source);
    let mut temporary = temporary_beside(path).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder_of(path)).map_err(failed)
}

/// Older than this, a temporary file belongs to no write that is still going on.
const ABANDONED: Duration = Duration::from_secs(10 * 60);

/// Removes what a killed process left of its writes to `path`: such a file may hold a secret. What cannot be looked at or
/// removed stays; the next write tries again.
pub(super) fn remove_abandoned(path: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let prefix = format!(".{name}.");
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        // Of a database there may be a journal, too.
        let is_temporary = |found: &str| found.ends_with(".tmp") || found.ends_with(".tmp-journal");
        let ours = found.to_str().is_some_and(|found| found.starts_with(&prefix) && is_temporary(found));
        let age = entry.metadata().ok().filter(|found| found.is_file()).and_then(|found| found.modified().ok());
        let abandoned = age.and_then(|written| written.elapsed().ok()).is_some_and(|age| age > ABANDONED);
        if ours && abandoned {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Creates a folder and its missing parents, 0700 on Unix. An existing folder is left as it is.
///
/// # Errors
/// [`DiskError::Io`] naming the folder.
pub fn ensure_private_dir(folder: &Path) -> Result<(), DiskError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| DiskError::io("create", folder, source))
}

/// Finds out whether [`write_atomic`] could write `path` now, by writing 64 KiB beside it and removing
/// them.
///
/// # Errors
/// Those of [`write_atomic`].
pub fn probe_writable(path: &Path) -> Result<(), DiskError> {
    refuse_irregular(path)?;
    ensure_private_dir(folder_of(path))?;
    let failed = |source| DiskError::io("write", path, source);
    let mut temporary = temporary_beside(path).map_err(failed)?;
    temporary.write_all(&[0; PROBE_LENGTH]).map_err(failed)?;
    temporary.close().map_err(failed)
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// [`DiskError::Io`].
pub fn remove(path: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::io("remove", path, source);
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(()) => sync_folder(folder_of(path)).map_err(failed),
    }
}

/// Moves a file that makes no sense out of the way, to `path.broken-1`, `-2`, …, and returns its new place.
/// Nothing is overwritten.
///
/// # Errors
/// [`DiskError::Io`] when the file cannot be moved; it is then where it was.
pub fn move_aside(path: &Path) -> Result<PathBuf, DiskError> {
    let failed = |source| DiskError::io("move aside", path, source);
    for number in 1..=10_000_u32 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".broken-{number}"));
        let aside = PathBuf::from(name);
        // Creating the name first claims it: another process that tries the same number gets an error.
        match fs::File::create_new(&aside) {
            Ok(_) => {
                return match fs::rename(path, &aside) {
                    Ok(()) => Ok(aside),
                    Err(source) => {
                        let _ = fs::remove_file(&aside);
                        Err(failed(source))
                    }
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

pub(super) fn refuse_irregular(path: &Path) -> Result<(), DiskError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(DiskError::Symlink { path: path.to_owned() }),
        Ok(found) if !found.is_file() => Err(DiskError::NotAFile { path: path.to_owned() }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DiskError::io("write", path, source)),
    }
}

/// A new file with a random name, created exclusively, 0600 on Unix, removed on drop unless persisted.
pub(super) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(folder_of(path))
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    sync_open_folder(&fs::File::open(folder)?)
}

/// Makes the renames in a folder last.
#[cfg(unix)]
pub(super) fn sync_open_folder(folder: &fs::File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network and FUSE file systems cannot sync a folder; the rename itself has happened.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_write_left_is_removed_but_not_what_is_going_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let (old, new) =
            (folder.path().join(".secrets.json.AbCdEf.tmp"), folder.path().join(".secrets.json.GhIjKl.tmp"));
        for left in [&old, &new] {
            fs::write(left, "secret").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED;
        fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        write_atomic(&path, b"x").unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn content_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/state.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["state.json"]);
    }

    #[test]
    fn a_folder_in_the_way_is_refused_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::create_dir(&path).unwrap();
        assert!(matches!(write_atomic(&path, b"x"), Err(DiskError::NotAFile { .. })));
        assert_eq!(names(folder.path()), ["state.json"]);
    }

    #[test]
    fn setting_aside_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for content in ["first", "second"] {
            fs::write(&path, content).unwrap();
            move_aside(&path).unwrap();
        }
        assert_eq!(names(folder.path()), ["state.json.broken-1", "state.json.broken-2"]);
        assert_eq!(fs::read(folder.path().join("state.json.broken-1")).unwrap(), b"first");
        assert!(move_aside(&path).is_err());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/state.json");
        write_atomic(&path, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_refused_and_its_target_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "before").unwrap();
        let path = folder.path().join("state.json");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(write_atomic(&path, b"secret"), Err(DiskError::Symlink { .. })));
        assert_eq!(fs::read(&target).unwrap(), b"before");
    }
}
