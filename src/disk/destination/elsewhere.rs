//! Without owners and open folders: the path is resolved once.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Controller, LastLink};
use crate::disk::DiskError;
use crate::disk::write::{folder_of, refuse_irregular, remove_abandoned, temporary_beside};

/// A name in a folder; the file may not be there.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
}

impl Destination {
    /// Finds the folder that `path` leads to.
    ///
    /// # Errors
    /// [`DiskError::Io`] for a folder that is not there and a link that leads nowhere.
    pub fn resolve(path: &Path, last: LastLink) -> Result<Self, DiskError> {
        let failed = |source| DiskError::io("find", path, source);
        if last == LastLink::Follow && path.is_symlink() {
            return Ok(Self { path: path.canonicalize().map_err(failed)? });
        }
        let name = path.file_name().ok_or_else(|| DiskError::NotAFile { path: path.to_owned() })?;
        Ok(Self { path: folder_of(path).canonicalize().map_err(failed)?.join(name) })
    }

    /// The path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who else can replace the file: not known here.
    pub fn controller(&self) -> Option<Controller> {
        None
    }

    /// Whether the group of the folder can replace the file: not known here.
    pub fn is_open_to_group(&self) -> bool {
        false
    }

    pub(in crate::disk) fn open(&self) -> Result<Option<(File, Metadata)>, DiskError> {
        self.refuse_irregular()?;
        let failed = |source| DiskError::io("read", &self.path, source);
        match File::open(&self.path) {
            Ok(file) => {
                let found = file.metadata().map_err(failed)?;
                Ok(Some((file, found)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(in crate::disk) fn refuse_irregular(&self) -> Result<(), DiskError> {
        refuse_irregular(&self.path)
    }

    /// Whether the file is still the one that was found.
    pub(in crate::disk) fn still_is(&self, before: Option<&Metadata>) -> io::Result<bool> {
        let now = match self.path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        let identity = |found: &Metadata| (found.len(), found.modified().ok());
        Ok(before.map(identity) == now.as_ref().map(identity))
    }

    pub(in crate::disk) fn temporary(&self) -> io::Result<NamedTempFile> {
        remove_abandoned(&self.path);
        temporary_beside(&self.path)
    }

    pub(in crate::disk) fn persist(&self, temporary: NamedTempFile, replace: bool) -> io::Result<()> {
        let done = if replace { temporary.persist(&self.path) } else { temporary.persist_noclobber(&self.path) };
        done.map(drop).map_err(|error| error.error)
    }
}
