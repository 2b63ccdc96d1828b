//! Reading files that hold secrets: who else can read or change them is checked on the open file, so that
//! it cannot be swapped between the check and the reading.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use super::DiskError;

/// Far above any state file; a bound so that a wrong path cannot fill the memory.
const PRIVATE_LIMIT: u64 = 16 << 20;
const INPUT_LIMIT: u64 = 64 << 10;

/// Which other accounts may be able to read an input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Only the owner.
    Owner,
    /// The owner's group as well. systemd hands credentials to a service by an access control list, whose
    /// mask shows up in the group bits.
    Group,
    /// Everybody may read it: it holds no secret. Only its owner may write it, because it decides where secrets go.
    Readers,
    /// Anyone, and the file may belong to anyone: for a key that a person takes over from elsewhere and is warned about.
    Anyone,
}

/// Reads a file of ours that holds secrets or decides where they go; `None` when there is none.
///
/// # Errors
/// A symbolic link, anything but a regular file, a file that group or others can read or write, or one that
/// belongs to another account (root excepted) is refused; so is one above 16 MiB.
pub fn read_private(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    read_own(path, Exposure::Owner)
}

/// As [`read_private`], but others may read the file: for one that holds no secret and yet decides where secrets go.
///
/// # Errors
/// As for [`read_private`], except for a file that others can only read.
pub fn read_public(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    read_own(path, Exposure::Readers)
}

fn read_own(path: &Path, exposure: Exposure) -> Result<Option<Vec<u8>>, DiskError> {
    let Some(file) = open(path, false)? else {
        return Ok(None);
    };
    let found = file.metadata().map_err(|source| DiskError::io("read", path, source))?;
    if !found.is_file() {
        return Err(DiskError::NotAFile { path: path.to_owned() });
    }
    check_access(path, &found, exposure)?;
    read_bounded(path, file, found.len(), PRIVATE_LIMIT).map(Some)
}

/// Reads a secret from a file that a person or a service manager named; `None` when there is none.
///
/// Unlike [`read_private`] this follows symbolic links (a mounted secret often is one) and reads from a pipe
/// (`<(…)` in a shell); the file behind them is held to the same rules of access.
///
/// # Errors
/// A file open to others than `exposure` allows, or owned by another account (root excepted), is refused; so
/// is one above 64 KiB.
pub fn read_input(path: &Path, exposure: Exposure) -> Result<Option<Vec<u8>>, DiskError> {
    let Some(file) = open(path, true)? else {
        return Ok(None);
    };
    let found = file.metadata().map_err(|source| DiskError::io("read", path, source))?;
    if found.is_dir() {
        return Err(DiskError::NotAFile { path: path.to_owned() });
    }
    check_access(path, &found, exposure)?;
    read_bounded(path, file, found.len(), INPUT_LIMIT).map(Some)
}

/// Looks at the access to a file without reading it; `false` when there is none.
///
/// # Errors
/// As for [`read_input`], whatever the file's size.
pub fn check_input(path: &Path, exposure: Exposure) -> Result<bool, DiskError> {
    let Some(file) = open(path, true)? else {
        return Ok(false);
    };
    let found = file.metadata().map_err(|source| DiskError::io("read", path, source))?;
    check_access(path, &found, exposure)?;
    Ok(true)
}

fn open(path: &Path, follow: bool) -> Result<Option<File>, DiskError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // NONBLOCK: a planted FIFO must not make the open wait for a writer.
        let mut flags = OFlags::NONBLOCK;
        flags.set(OFlags::NOFOLLOW, !follow);
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    if !follow && std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(DiskError::Symlink { path: path.to_owned() });
    }
    match options.open(path) {
        Ok(file) => {
            // A pipe that has a writer is waited for; one that has none reads as empty.
            #[cfg(unix)]
            rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty())
                .map_err(|source| DiskError::io("read", path, source.into()))?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(_) if !follow && std::fs::symlink_metadata(path).is_ok_and(|at| at.is_symlink()) => {
            Err(DiskError::Symlink { path: path.to_owned() })
        }
        Err(source) => Err(DiskError::io("read", path, source)),
    }
}

#[cfg(unix)]
fn check_access(path: &Path, found: &std::fs::Metadata, exposure: Exposure) -> Result<(), DiskError> {
    use std::os::unix::fs::MetadataExt;
    let owner = found.uid();
    if exposure != Exposure::Anyone && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(DiskError::WrongOwner { path: path.to_owned(), owner });
    }
    let allowed = match exposure {
        Exposure::Owner => 0o700,
        Exposure::Group => 0o750,
        Exposure::Readers => 0o755,
        Exposure::Anyone => return Ok(()),
    };
    let mode = found.mode() & 0o777;
    if mode & !allowed != 0 {
        return Err(DiskError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_access(_path: &Path, _found: &std::fs::Metadata, _exposure: Exposure) -> Result<(), DiskError> {
    // Windows keeps a profile folder to its owner by inherited access control lists.
    Ok(())
}

fn read_bounded(path: &Path, file: File, length: u64, limit: u64) -> Result<Vec<u8>, DiskError> {
    let too_large = || DiskError::TooLarge { path: path.to_owned(), limit };
    if length > limit {
        return Err(too_large());
    }
    // Room for all of it at once: growing would leave copies of a secret in freed memory.
    let room = usize::try_from(length).unwrap_or_default() + 64;
    let mut bytes = Vec::with_capacity(room);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| DiskError::io("read", path, source))?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn file(folder: &Path, name: &str, mode: u32) -> std::path::PathBuf {
        let path = folder.join(name);
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn only_a_private_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let private = file(folder.path(), "private", 0o600);
        let link = folder.path().join("link");
        symlink(&private, &link).unwrap();
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert_eq!(read_private(&private).unwrap().unwrap(), b"secret");
        assert!(read_private(&folder.path().join("absent")).unwrap().is_none());
        for link in [link, dangling] {
            assert!(matches!(read_private(&link), Err(DiskError::Symlink { .. })));
        }
        for mode in [0o640, 0o604, 0o620, 0o602] {
            let error = read_private(&file(folder.path(), "open", mode)).unwrap_err();
            assert!(matches!(error, DiskError::Exposed { mode: m, .. } if m == mode));
            assert!(error.hint().unwrap().starts_with("run: chmod 600 "));
        }
        assert!(matches!(read_private(folder.path()), Err(DiskError::NotAFile { .. })));
    }

    #[test]
    fn an_input_file_may_be_a_link_but_not_an_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let private = file(folder.path(), "private", 0o400);
        let link = folder.path().join("link");
        symlink(&private, &link).unwrap();
        assert!(read_input(&link, Exposure::Owner).unwrap().is_some());
        let group = file(folder.path(), "group", 0o440);
        assert!(read_input(&group, Exposure::Owner).is_err());
        assert!(read_input(&group, Exposure::Group).unwrap().is_some());
        let world = file(folder.path(), "world", 0o444);
        assert!(read_input(&world, Exposure::Group).is_err());
    }

    #[test]
    fn a_planted_fifo_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_private(&path), Err(DiskError::NotAFile { .. })));
    }

    #[test]
    fn a_huge_file_is_refused_without_reading_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "huge", 0o600);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(PRIVATE_LIMIT + 1).unwrap();
        assert!(matches!(read_private(&path), Err(DiskError::TooLarge { .. })));
    }
}
