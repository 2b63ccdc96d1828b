//! A sink that is a file. Another program may rename or remove it, as `logrotate` does: then a new one is begun.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::line::{BEGINNING, SinkRecord};
use super::output::Output;
use crate::gateway::append_file::AppendFile;

/// How often a file may be renamed while a batch is written.
const ATTEMPTS: usize = 5;

/// See the module.
pub struct FileOutput(AppendFile);

impl FileOutput {
    /// With that path. It is opened when there is something to write.
    pub fn new(path: PathBuf) -> Self {
        // A line that was cut is written again.
        Self(AppendFile::new(path, &[BEGINNING]))
    }
}

impl Output for FileOutput {
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()> {
        let text: String = records.iter().map(|record| record.to_line() + "\n").collect();
        for _ in 0..ATTEMPTS {
            // What was renamed is whole: each batch is synced.
            let file = self.0.opened()?;
            if let Err(error) = append(file, text.as_bytes()) {
                self.0.close();
                return Err(error);
            }
            // One that was renamed in the meantime may be compressed already, without these lines: then the new one gets them, too.
            if self.0.is_current() {
                return Ok(());
            }
        }
        Err(io::Error::other("it is renamed or removed again and again"))
    }

    fn rest(&mut self) {
        // One that was removed would take space as long as it is open.
        if !self.0.is_current() {
            self.0.close();
        }
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
