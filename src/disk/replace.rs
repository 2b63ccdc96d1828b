//! Writing files that a person named, whole or not at all, in the folder that [`Destination`] has opened.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::DiskError;
use super::destination::{Destination, LastLink};
use super::write::{PROBE_LENGTH, ensure_private_dir, folder_of};

/// More than any file of settings.
const LIMIT: u64 = 4 << 20;

#[cfg(unix)]
type Found = rustix::fs::Stat;
#[cfg(not(unix))]
type Found = std::fs::Metadata;

/// Writes a file that a person named, for its owner alone; missing folders are created (0700). `false` when something has that name,
/// which is left as it is unless `replace`.
///
/// # Errors
/// [`DiskError::ForeignLink`]; with `replace` [`DiskError::Symlink`] or [`DiskError::NotAFile`] when something else than a regular file
/// is there; [`DiskError::Io`] for everything that the system refuses.
pub fn write_given(path: &Path, bytes: &[u8], replace: bool) -> Result<bool, DiskError> {
    let destination = with_folder(path)?;
    if replace {
        destination.refuse_irregular()?;
    }
    match put(&destination, bytes, replace) {
        Ok(()) => Ok(true),
        Err(error) if !replace && error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(DiskError::io("write", path, error)),
    }
}

fn put(destination: &Destination, bytes: &[u8], replace: bool) -> io::Result<()> {
    let mut temporary = destination.temporary()?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    destination.persist(temporary, replace)
}

/// A file that a person named, and that gets its name once it is whole. Until then it is beside it, for its owner alone, and removed when
/// this is dropped.
pub struct NewFile {
    destination: Destination,
    temporary: NamedTempFile,
    named: PathBuf,
}

impl NewFile {
    /// An empty file. `None` when something has that name. It is written by its path, so no other account may control the folder.
    ///
    /// # Errors
    /// [`DiskError::ForeignLink`], [`DiskError::SharedFolder`]; [`DiskError::Io`], among it for a folder that is not there.
    pub fn create(path: &Path) -> Result<Option<Self>, DiskError> {
        let destination = Destination::resolve(path, LastLink::Keep)?;
        if destination.controller().is_some() || destination.is_open_to_group() {
            return Err(DiskError::SharedFolder { path: path.to_owned() });
        }
        let failed = |source| DiskError::io("write", path, source);
        match std::fs::symlink_metadata(destination.path()) {
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let temporary = destination.temporary().map_err(failed)?;
        Ok(Some(Self { destination, temporary, named: path.to_owned() }))
    }

    /// Where it can be written.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives it its name once it is on disk. `false` when something has got that name since.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn persist(self) -> Result<bool, DiskError> {
        let Self { destination, temporary, named } = self;
        let synced = temporary.as_file().sync_all();
        match synced.and_then(|()| destination.persist(temporary, false)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(DiskError::io("write", &named, error)),
        }
    }
}

/// Finds out whether [`write_given`] could replace the file now, by writing 64 KiB beside it and removing them.
///
/// # Errors
/// Those of [`write_given`].
pub fn probe_given(path: &Path) -> Result<(), DiskError> {
    let destination = with_folder(path)?;
    destination.refuse_irregular()?;
    let probe = || {
        let mut temporary = destination.temporary()?;
        temporary.write_all(&[0; PROBE_LENGTH])?;
        temporary.close()
    };
    probe().map_err(|source| DiskError::io("write", path, source))
}

/// Missing folders are made once the links before them are known to be ours.
fn with_folder(path: &Path) -> Result<Destination, DiskError> {
    match Destination::resolve(path, LastLink::Keep) {
        Err(DiskError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            ensure_private_dir(folder_of(path))?;
            Destination::resolve(path, LastLink::Keep)
        }
        other => other,
    }
}

/// Writes a file that everyone may read, or the file behind a link of ours. One that is there keeps its owner and mode.
///
/// # Errors
/// As for [`write_given`]; a missing folder is one.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let destination = Destination::resolve(path, LastLink::Follow)?;
    let before = Snapshot::of(&destination)?;
    let failed = |source| DiskError::io("write", path, source);
    let temporary = prepare(&destination, &before, bytes).map_err(failed)?;
    #[cfg(unix)]
    if before.found.is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    destination.persist(temporary, before.found.is_some()).map_err(failed)
}

/// A file as it was at one moment; it may not be there.
pub struct Snapshot {
    content: Zeroizing<Vec<u8>>,
    found: Option<Found>,
}

impl Snapshot {
    /// Reads the regular file `path`.
    ///
    /// # Errors
    /// [`DiskError::ForeignLink`], [`DiskError::Symlink`], [`DiskError::NotAFile`], [`DiskError::TooLarge`] above 4 MiB,
    /// [`DiskError::Io`].
    pub fn take(path: &Path) -> Result<Self, DiskError> {
        Self::of(&Destination::resolve(path, LastLink::Keep)?)
    }

    fn of(destination: &Destination) -> Result<Self, DiskError> {
        let path = destination.path();
        let Some((file, found)) = destination.open()? else {
            return Ok(Self { content: Zeroizing::default(), found: None });
        };
        // Room for all of it at once: growing would leave copies of a secret in freed memory.
        let length = file.metadata().map_err(|source| DiskError::io("read", path, source))?.len();
        let room = usize::try_from(length.min(LIMIT)).unwrap_or_default() + 1;
        let mut content = Zeroizing::new(Vec::with_capacity(room));
        file.take(LIMIT + 1).read_to_end(&mut content).map_err(|source| DiskError::io("read", path, source))?;
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
            use rustix::fs::Mode;
            let mode = |found: &Found| Mode::from_raw_mode(found.st_mode);
            self.found.as_ref().is_some_and(|found| mode(found).intersects(Mode::RGRP | Mode::ROTH))
        }
        #[cfg(not(unix))]
        false
    }

    /// The numeric id of the account that the file belongs to, where that is neither ours nor root.
    pub fn other_owner(&self) -> Option<u32> {
        #[cfg(unix)]
        {
            let owner = self.found.as_ref()?.st_uid;
            (!super::destination::is_trusted(owner)).then_some(owner)
        }
        #[cfg(not(unix))]
        None
    }
}

/// Replaces what was read by `bytes`. At every moment the old content or the new one is there, with the owner and the mode that it
/// had; a file that was not there is made for its owner alone.
///
/// # Errors
/// [`DiskError::ForeignLink`]; [`DiskError::Io`]: everything that the system refuses, among it an owner that cannot be kept, and a file
/// that was changed since it was read. Then the file is as it was.
pub fn replace_file(path: &Path, before: &Snapshot, bytes: &[u8]) -> Result<(), DiskError> {
    let destination = Destination::resolve(path, LastLink::Keep)?;
    let replace = || {
        let temporary = prepare(&destination, before, bytes)?;
        if !destination.still_is(before.found.as_ref())? {
            return Err(io::Error::other("another program changed it at the same time"));
        }
        destination.persist(temporary, before.found.is_some())
    };
    replace().map_err(|source| DiskError::io("write", path, source))
}

/// Finds out whether [`replace_file`] could replace the file now by something a little longer, by writing as much beside it and
/// removing that.
///
/// # Errors
/// Those of [`replace_file`].
pub fn probe_replace(path: &Path, before: &Snapshot) -> Result<(), DiskError> {
    const LONGER: usize = 4096;
    let destination = Destination::resolve(path, LastLink::Keep)?;
    let probe = || prepare(&destination, before, &vec![0; before.content.len() + LONGER])?.close();
    probe().map_err(|source| DiskError::io("write", path, source))
}

/// A file beside it with the new content, the owner and the mode.
fn prepare(destination: &Destination, before: &Snapshot, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut temporary = destination.temporary()?;
    temporary.write_all(bytes)?;
    #[cfg(unix)]
    if let Some(found) = &before.found {
        use rustix::fs::{Mode, fchmod, fstat};
        let made = fstat(temporary.as_file())?;
        if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid) {
            std::os::unix::fs::fchown(temporary.as_file(), Some(found.st_uid), Some(found.st_gid))?;
        }
        // After the owner, since a change of owner takes some bits away.
        fchmod(temporary.as_file(), Mode::from_raw_mode(found.st_mode))?;
    }
    temporary.as_file().sync_all()?;
    Ok(temporary)
}
