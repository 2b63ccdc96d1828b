//! A file that lines are appended to. Another program may rename or remove it, as `logrotate` does: then a new one is begun.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Bytes that are read at a time in search of the end of a line.
const BLOCK: u64 = 64 << 10;

/// See the module.
pub struct AppendFile {
    path: PathBuf,
    /// How the lines of this program begin.
    beginnings: &'static [&'static str],
    /// Whole lines, as far as this process knows.
    open: Option<File>,
}

impl AppendFile {
    /// With that path, for lines that begin in one of these ways. It is opened when there is something to write.
    pub fn new(path: PathBuf, beginnings: &'static [&'static str]) -> Self {
        Self { path, beginnings, open: None }
    }

    /// The file that has the path now: a regular one, made with mode 0600, whose last line is whole.
    ///
    /// # Errors
    /// A symbolic link, another kind of file, or one that cannot be opened or read.
    pub fn opened(&mut self) -> io::Result<&mut File> {
        let file = match self.open.take() {
            Some(file) if self.has_path(&file) => file,
            _ => open(&self.path, self.beginnings)?,
        };
        Ok(self.open.insert(file))
    }

    /// Whether the open file still is what the path names.
    pub fn is_current(&self) -> bool {
        self.open.as_ref().is_some_and(|file| self.has_path(file))
    }

    /// Closes it: what a failed write has left in it is put right when it is opened again.
    pub fn close(&mut self) {
        self.open = None;
    }

    fn has_path(&self, file: &File) -> bool {
        let same = |one: Metadata, other: Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        let named = std::fs::symlink_metadata(&self.path).ok();
        file.metadata().ok().zip(named).is_some_and(|(open, named)| same(open, named))
    }
}

fn open(path: &Path, beginnings: &[&str]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    // A pipe without a reader is refused instead of waited for.
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed());
    let mut file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => io::Error::other("it is a symbolic link"),
        _ => error,
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    end_last_line(&mut file, beginnings)?;
    Ok(file)
}

/// Puts right what a crash or a full disk has left: the next line must not continue one that was cut. One of ours is removed; what
/// another program has written stays.
fn end_last_line(file: &mut File, beginnings: &[&str]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = start_of_last_line(file, length)?;
    if start == length {
        return Ok(());
    }
    let longest = beginnings.iter().map(|beginning| beginning.len()).max().unwrap_or_default();
    let mut found = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(longest as u64).read_to_end(&mut found)?;
    let is_ours =
        |beginning: &&str| found.starts_with(beginning.as_bytes()) || beginning.as_bytes().starts_with(&found);
    if beginnings.iter().any(is_ours) { file.set_len(start) } else { file.write_all(b"\n") }
}

/// Where the text after the last end of a line begins.
fn start_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
