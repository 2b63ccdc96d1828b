//! A sink that is a file. Another program may rename or remove it, as `logrotate` does: then a new one is begun.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::line::{BEGINNING, SinkRecord};
use super::output::Output;

/// How often a file may be renamed while a batch is written.
const ATTEMPTS: usize = 5;
/// Bytes that are read at a time in search of the end of a line.
const BLOCK: u64 = 64 << 10;

/// See the module.
pub struct FileOutput {
    path: PathBuf,
    /// Whole lines, as far as this process knows.
    open: Option<File>,
}

impl FileOutput {
    /// With that path. It is opened when there is something to write.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// The file that has the path now.
    fn opened(&mut self) -> io::Result<&mut File> {
        let file = match self.open.take() {
            Some(file) if self.has_path(&file) => file,
            // What was renamed is whole: each batch is synced.
            _ => open(&self.path)?,
        };
        Ok(self.open.insert(file))
    }

    /// Whether it still is what the path names.
    fn has_path(&self, file: &File) -> bool {
        let same = |one: Metadata, other: Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        let named = std::fs::symlink_metadata(&self.path).ok();
        file.metadata().ok().zip(named).is_some_and(|(open, named)| same(open, named))
    }
}

impl Output for FileOutput {
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()> {
        let text: String = records.iter().map(|record| record.to_line() + "\n").collect();
        for _ in 0..ATTEMPTS {
            let file = self.opened()?;
            if let Err(error) = append(file, text.as_bytes()) {
                self.open = None;
                return Err(error);
            }
            // One that was renamed in the meantime may be compressed already, without these lines: then the new one gets them, too.
            if self.open.as_ref().is_some_and(|file| self.has_path(file)) {
                return Ok(());
            }
        }
        Err(io::Error::other("it is renamed or removed again and again"))
    }

    fn rest(&mut self) {
        // One that was removed would take space as long as it is open.
        self.open = self.open.take().filter(|file| self.has_path(file));
    }
}

/// All of it, or nothing.
fn append(file: &mut File, text: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        // If this fails, too, the file is put right when it is opened again.
        let _ = file.set_len(before);
    }
    written
}

fn open(path: &std::path::Path) -> io::Result<File> {
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
    end_last_line(&mut file)?;
    Ok(file)
}

/// Puts right what a crash or a full disk has left: the next line must not continue one that was cut. One of ours is removed, since it is
/// written again; what another program has written stays.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = start_of_last_line(file, length)?;
    if start == length {
        return Ok(());
    }
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    if BEGINNING.as_bytes().starts_with(&beginning) { file.set_len(start) } else { file.write_all(b"\n") }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn record(index: u64) -> SinkRecord {
        SinkRecord { origin: "a".into(), index, at: 0, line: Some("{}".to_owned()) }
    }

    fn lines(indexes: impl IntoIterator<Item = u64>) -> String {
        indexes.into_iter().map(|index| record(index).to_line() + "\n").collect()
    }

    #[test]
    fn a_line_that_was_cut_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let whole = lines([0, 1]);
        let long = format!("{BEGINNING}{}", "x".repeat(200_000));
        for (before, kept) in [
            ("", String::new()),
            (&*whole, whole.clone()),
            ("{", String::new()),
            (&whole[..whole.len() - 1], lines([0])),
            (&whole[..whole.len() / 2 + 1], lines([0])),
            (&*(whole.clone() + &long), whole.clone()),
            (&*long, String::new()),
            // Of another program.
            ("a key", "a key\n".to_owned()),
            ("a\n{\"b", "a\n{\"b\n".to_owned()),
        ] {
            fs::write(&path, before).unwrap();
            FileOutput::new(path.clone()).write(&[record(2)]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), kept + &lines([2]));
        }
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("events.jsonl"), folder.path().join("events.jsonl.1"));
        let mut output = FileOutput::new(path.clone());
        output.write(&[record(0)]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::rename(&path, &old).unwrap();
        output.rest();
        output.write(&[record(1), record(2)]).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), lines([0]));
        assert_eq!(fs::read_to_string(&path).unwrap(), lines([1, 2]));
        fs::remove_file(&path).unwrap();
        output.write(&[record(3)]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines([3]));
        // Its content was copied, and it was emptied.
        fs::write(&path, "").unwrap();
        output.write(&[record(4)]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines([4]));
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "").unwrap();
        let link = folder.path().join("link");
        symlink(&target, &link).unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        for (path, reason) in
            [(&link, "symbolic link"), (&pipe, "not a regular file"), (&folder.path().to_owned(), "directory")]
        {
            let error = FileOutput::new(path.clone()).write(&[record(0)]).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "");
    }
}
