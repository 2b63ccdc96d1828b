//! Replacing the content of a file that belongs to somebody else's program: whole, with its owner and mode kept, and only if nobody
//! else has changed it since it was read.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::atomic::{folder_of, refuse_irregular, sweep, sync_folder, temporary_beside};
use super::error::DiskError;

/// More than any file of settings.
const LIMIT: u64 = 4 << 20;

/// A file as it was at one moment; it may not be there.
pub struct Snapshot {
    content: Zeroizing<Vec<u8>>,
    found: Option<Metadata>,
}

impl Snapshot {
    /// Reads the regular file `path`.
    ///
    /// # Errors
    /// [`DiskError::Symlink`], [`DiskError::NotAFile`], [`DiskError::TooLarge`] above 4 MiB, [`DiskError::Io`].
    pub fn take(path: &Path) -> Result<Self, DiskError> {
        refuse_irregular(path)?;
        let failed = |source| DiskError::io("read", path, source);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { content: Zeroizing::default(), found: None });
            }
            Err(error) => return Err(failed(error)),
        };
        let found = file.metadata().map_err(failed)?;
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1));
        file.take(LIMIT + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > LIMIT {
            return Err(DiskError::TooLarge { path: path.to_owned(), limit: LIMIT });
        }
        Ok(Self { content, found: Some(found) })
    }

    /// What it held; empty where it was not there.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Whether group or others may read it.
    pub fn is_exposed(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            self.found.as_ref().is_some_and(|found| found.mode() & 0o044 != 0)
        }
        #[cfg(not(unix))]
        false
    }

    /// Whether the file at `path` is still the one that was read.
    fn still_holds(&self, path: &Path) -> bool {
        let now = path.symlink_metadata().ok();
        match (&self.found, now) {
            (None, None) => true,
            (Some(before), Some(now)) => {
                #[cfg(unix)]
                {
                    use std::os::unix::fs::MetadataExt as _;
                    let identity = |found: &Metadata| (found.dev(), found.ino(), found.ctime(), found.ctime_nsec());
                    identity(before) == identity(&now)
                }
                #[cfg(not(unix))]
                {
                    before.len() == now.len() && before.modified().ok() == now.modified().ok()
                }
            }
            _ => false,
        }
    }
}

/// Replaces what was read by `bytes`. At every moment the old content or the new one is there, with the owner and the mode that it
/// had; a file that was not there is made for its owner alone.
///
/// # Errors
/// [`DiskError::Io`]: everything that the system refuses, among it an owner that cannot be kept, and a file that was changed since it
/// was read. Then the file is as it was.
pub fn replace_file(path: &Path, before: &Snapshot, bytes: &[u8]) -> Result<(), DiskError> {
    let failed = |source| DiskError::io("write", path, source);
    let temporary = prepare(path, before, bytes)?;
    if !before.still_holds(path) {
        return Err(failed(io::Error::other("another program changed it at the same time")));
    }
    match &before.found {
        Some(_) => temporary.persist(path).map(drop),
        None => temporary.persist_noclobber(path).map(drop),
    }
    .map_err(|error| failed(error.error))?;
    sync_folder(folder_of(path)).map_err(failed)
}

/// Finds out whether [`replace_file`] could replace the file now by something a little longer, by writing as much beside it and
/// removing that.
///
/// # Errors
/// Those of [`replace_file`].
pub fn probe_replace(path: &Path, before: &Snapshot) -> Result<(), DiskError> {
    const LONGER: usize = 4096;
    let temporary = prepare(path, before, &vec![0; before.content.len() + LONGER])?;
    temporary.close().map_err(|source| DiskError::io("write", path, source))
}

/// A file beside it with the new content, the owner and the mode.
fn prepare(path: &Path, before: &Snapshot, bytes: &[u8]) -> Result<NamedTempFile, DiskError> {
    let failed = |source| DiskError::io("write", path, source);
    sweep(path);
    let mut temporary = temporary_beside(path).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    #[cfg(unix)]
    if let Some(found) = &before.found {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
        let made = temporary.as_file().metadata().map_err(failed)?;
        if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
            fchown(temporary.as_file(), Some(found.uid()), Some(found.gid())).map_err(failed)?;
        }
        // After the owner, since a change of owner takes some bits away.
        let mode = std::fs::Permissions::from_mode(found.mode() & 0o7777);
        temporary.as_file().set_permissions(mode).map_err(failed)?;
    }
    temporary.as_file().sync_all().map_err(failed)?;
    Ok(temporary)
}
