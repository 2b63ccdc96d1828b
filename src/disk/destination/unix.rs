//! The walk from folder to folder, each opened in the one before, and what is done in the last.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{Controller, LastLink};
use crate::disk::DiskError;
use crate::disk::write::{remove_abandoned, sync_open_folder, temporary_beside};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// A name in an open folder; the file may not be there.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    name: OsString,
    folder: OwnedFd,
    controller: Option<Controller>,
}

impl Destination {
    /// Opens the folder that `path` leads to. Only links that belong to this account or to root are followed.
    ///
    /// # Errors
    /// [`DiskError::ForeignLink`]; [`DiskError::Io`] for a folder that is not there and a link that leads nowhere.
    pub fn resolve(path: &Path, last: LastLink) -> Result<Self, DiskError> {
        let failed = |source: io::Error| DiskError::io("find", path, source);
        let mut walk = Walk::new(path).map_err(failed)?;
        let mut pending: Vec<OsString> = reversed(path);
        let (mut links, mut is_last_link) = (0, false);
        while let Some(name) = pending.pop() {
            let is_last = pending.is_empty();
            if name == "/" || name == ".." {
                walk.enter(&name).map_err(|error| failed(error.into()))?;
                continue;
            }
            let found = match walk.look(&name) {
                Ok(found) => found,
                Err(Errno::NOENT) if is_last && !is_last_link => return Ok(walk.end(name)),
                Err(error) => return Err(failed(error.into())),
            };
            let is_link = FileType::from_raw_mode(found.st_mode).is_symlink();
            match (is_link, is_last) {
                (true, true) if last == LastLink::Keep => return Ok(walk.end(name)),
                (true, _) => {
                    links += 1;
                    is_last_link |= is_last;
                    if links > MAX_LINKS {
                        return Err(failed(Errno::LOOP.into()));
                    }
                    if !is_trusted(found.st_uid) {
                        return Err(DiskError::ForeignLink { path: walk.path.join(&name), owner: found.st_uid });
                    }
                    let target = walk.read_link(&name, &found).map_err(|error| failed(error.into()))?;
                    pending.extend(reversed(&target));
                }
                (false, true) => return Ok(walk.end(name)),
                (false, false) => walk.enter(&name).map_err(|error| failed(error.into()))?,
            }
        }
        // It ends with a folder: `/`, `.` or `..`.
        Err(DiskError::NotAFile { path: path.to_owned() })
    }

    /// The path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who else can replace the file.
    pub fn controller(&self) -> Option<Controller> {
        self.controller
    }

    /// Whether the group of the folder can replace the file.
    pub fn is_open_to_group(&self) -> bool {
        const GROUP: RawMode = 0o020;
        const STICKY: RawMode = 0o1000;
        rustix::fs::fstat(&self.folder).map_or(true, |found| found.st_mode & (GROUP | STICKY) == GROUP)
    }

    /// What has the name now.
    fn look(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file; `None` when there is none.
    pub(in crate::disk) fn open(&self) -> Result<Option<(File, Stat)>, DiskError> {
        let failed = |error: Errno| DiskError::io("read", &self.path, error.into());
        self.refuse_irregular()?;
        // NONBLOCK: a FIFO that was planted since must not make the open wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(DiskError::Symlink { path: self.path.clone() }),
            Err(error) => return Err(failed(error)),
        };
        let found = rustix::fs::fstat(&file).map_err(failed)?;
        self.check_regular(&found)?;
        Ok(Some((file.into(), found)))
    }

    /// Only a regular file may have the name.
    pub(in crate::disk) fn refuse_irregular(&self) -> Result<(), DiskError> {
        let found = self.look().map_err(|source| DiskError::io("write", &self.path, source))?;
        found.map_or(Ok(()), |found| self.check_regular(&found))
    }

    fn check_regular(&self, found: &Stat) -> Result<(), DiskError> {
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(DiskError::Symlink { path: self.path.clone() }),
            _ => Err(DiskError::NotAFile { path: self.path.clone() }),
        }
    }

    /// Whether the file is still the one that was found.
    pub(in crate::disk) fn still_is(&self, before: Option<&Stat>) -> io::Result<bool> {
        Ok(before.map(identity) == self.look()?.as_ref().map(identity))
    }

    /// An empty temporary file in the folder, for this account alone. It is made by its path, and refused if another folder has taken
    /// the place of the open one.
    pub(in crate::disk) fn temporary(&self) -> io::Result<NamedTempFile> {
        remove_abandoned(&self.path);
        let temporary = temporary_beside(&self.path)?;
        let made = rustix::fs::fstat(temporary.as_file())?;
        let name = temporary.path().file_name().unwrap_or_default();
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino) => Ok(temporary),
            Ok(_) | Err(Errno::NOENT) => Err(io::Error::other("another program moved the folder at the same time")),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames where nothing has the new name.
    fn rename_to_new(&self, name: &OsStr) -> Result<(), Errno> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.folder, name, &self.folder, &self.name, RenameFlags::NOREPLACE) {
                // Some file systems cannot do that.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                other => return other,
            }
        }
        rustix::fs::linkat(&self.folder, name, &self.folder, &self.name, AtFlags::empty())?;
        rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())
    }

    /// Gives a temporary file the name. With `replace` whatever has it is replaced.
    pub(in crate::disk) fn persist(&self, temporary: NamedTempFile, replace: bool) -> io::Result<()> {
        let name = temporary.path().file_name().unwrap_or_default();
        if replace {
            rustix::fs::renameat(&self.folder, name, &self.folder, &self.name)?;
        } else {
            self.rename_to_new(name)?;
        }
        // The name is gone, so that there is nothing to remove by it.
        let _ = temporary.into_temp_path().keep();
        let folder = rustix::fs::openat(&self.folder, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        sync_open_folder(&folder.into())
    }
}

/// The folder that has been reached.
struct Walk {
    path: PathBuf,
    folder: OwnedFd,
    controller: Option<Controller>,
}

impl Walk {
    fn new(path: &Path) -> Result<Self, io::Error> {
        let mut walk = Self { path: PathBuf::from("/"), folder: open_folder(CWD, "/")?, controller: None };
        if !path.has_root() {
            // The system names it without links.
            for name in reversed(&std::env::current_dir()?).into_iter().rev() {
                walk.enter(&name)?;
            }
        }
        walk.note_controller()?;
        Ok(walk)
    }

    fn look(&self, name: &OsString) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Where a link leads that was looked at: its owner must be that of the link that is read.
    fn read_link(&self, name: &OsString, before: &Stat) -> Result<PathBuf, Errno> {
        use std::os::unix::ffi::OsStringExt as _;
        let target = rustix::fs::readlinkat(&self.folder, name, Vec::new())?;
        let now = self.look(name)?;
        if identity(before) != identity(&now) {
            return Err(Errno::AGAIN);
        }
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    fn enter(&mut self, name: &OsString) -> Result<(), Errno> {
        self.folder = open_folder(&self.folder, name)?;
        match name.to_str() {
            Some("/") => self.path = PathBuf::from("/"),
            Some("..") => drop(self.path.pop()),
            _ => self.path.push(name),
        }
        self.note_controller()
    }

    /// A folder of another account, or one in which everyone may rename, anywhere on the way.
    fn note_controller(&mut self) -> Result<(), Errno> {
        const OPEN_TO_ALL: RawMode = 0o002;
        const STICKY: RawMode = 0o1000;
        let found = rustix::fs::fstat(&self.folder)?;
        let found = match found.st_mode & (OPEN_TO_ALL | STICKY) {
            _ if !is_trusted(found.st_uid) => Some(Controller::Account(found.st_uid)),
            OPEN_TO_ALL => Some(Controller::Everyone),
            _ => None,
        };
        self.controller = self.controller.or(found);
        Ok(())
    }

    fn end(self, name: OsString) -> Destination {
        Destination { path: self.path.join(&name), name, folder: self.folder, controller: self.controller }
    }
}

/// What tells a file that was replaced or changed.
fn identity(found: &Stat) -> impl PartialEq + use<> {
    (found.st_dev, found.st_ino, found.st_ctime, found.st_ctime_nsec)
}

/// Whether links and folders of that account are as good as our own.
pub(in crate::disk) fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// The names of a path, the first one last.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|part| *part != Component::CurDir);
    names.rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// Opens a folder to look up names in it, without following a link. Permission to list the folder is not needed for that.
fn open_folder(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let access = OFlags::PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let access = OFlags::RDONLY;
    rustix::fs::openat(at, name, access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn resolved(path: &Path, last: LastLink) -> Result<PathBuf, DiskError> {
        Destination::resolve(path, last).map(|destination| destination.path().to_owned())
    }

    #[test]
    fn a_path_leads_where_the_system_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        for (target, link) in
            [("a", "to-a"), ("../a/b", "a/to-b"), ("a/file", "to-file"), ("to-file", "again"), ("nowhere", "dangling")]
        {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(root.join("a"), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for below in
            ["a/file", "to-a/file", "to-a/to-b/../file", "absolute/./b/../file", "to-file", "again", "a/../again"]
        {
            let path = root.join(below);
            assert_eq!(resolved(&path, LastLink::Follow).unwrap(), path.canonicalize().unwrap(), "{below}");
        }
        assert_eq!(resolved(&root.join("to-a/new"), LastLink::Follow).unwrap(), root.join("a/new"));
        assert_eq!(resolved(&root.join("to-a/to-b"), LastLink::Keep).unwrap(), root.join("a/to-b"));
        assert_eq!(resolved(&root.join("dangling"), LastLink::Keep).unwrap(), root.join("dangling"));
        for below in ["dangling", "none/new", "a/file/new", "loop", "loop/new"] {
            assert!(matches!(resolved(&root.join(below), LastLink::Follow), Err(DiskError::Io { .. })), "{below}");
        }
        for path in ["/", ".", "..", "/tmp/.."] {
            assert!(matches!(resolved(Path::new(path), LastLink::Follow), Err(DiskError::NotAFile { .. })), "{path}");
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(resolved(Path::new("new"), LastLink::Follow).unwrap(), here.join("new"));
    }

    /// An account that controls the folder can put a link in its place at any moment.
    #[test]
    fn nothing_is_written_through_a_link_that_takes_the_folders_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["folder", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        let count = |name: &str| fs::read_dir(at(name)).unwrap().count();
        let destination = Destination::resolve(&at("folder/file"), LastLink::Keep).unwrap();
        let late = Destination::resolve(&at("folder/file"), LastLink::Keep).unwrap().temporary().unwrap();
        fs::rename(at("folder"), at("moved")).unwrap();
        symlink("other", at("folder")).unwrap();
        assert!(destination.temporary().unwrap_err().to_string().contains("moved the folder"));
        assert_eq!(count("other"), 0);
        destination.persist(late, false).unwrap();
        assert_eq!((count("other"), count("moved")), (0, 1));
        assert!(at("moved/file").is_file());
    }
}
