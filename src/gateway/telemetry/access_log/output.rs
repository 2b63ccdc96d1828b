//! What takes the lines of the access log. It may keep its thread waiting for as long as it likes.

use std::fs::File;
use std::io::{self, Write as _};

use super::line::BEGINNINGS;
use super::settings::AccessLogTarget;
use crate::gateway::append_file::AppendFile;
use crate::gateway::stdout_lines::{self, StdoutError};

/// See the module.
pub enum Output {
    /// The standard output of the gateway.
    Stdout,
    /// A file. It is opened when there is something to write.
    File(AppendFile),
}

/// Why lines were not written.
#[derive(Debug)]
pub struct OutputError {
    /// The bytes of the whole lines that are written.
    pub written: usize,
    /// What kept the others from it.
    pub error: io::Error,
}

impl Output {
    /// To that target.
    pub fn new(target: &AccessLogTarget) -> Self {
        match target {
            AccessLogTarget::Stdout => Self::Stdout,
            AccessLogTarget::File(path) => Self::File(AppendFile::new(path.clone(), BEGINNINGS)),
        }
    }

    /// Finds out whether it can be written to.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.opened().map(|_| ()),
        }
    }

    /// Writes whole lines, and nothing of a line that does not fit.
    ///
    /// # Errors
    /// What keeps it from writing all of them.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), OutputError> {
        match self {
            Self::Stdout => stdout_lines::write_lines(lines)
                .map_err(|StdoutError { written, error }| OutputError { written, error }),
            Self::File(file) => {
                let opened = file.opened().map_err(|error| OutputError { written: 0, error })?;
                append(opened, lines).inspect_err(|_| file.close())
            }
        }
    }

    /// Nothing was written for a while: a file that was removed would take space as long as it is open.
    pub fn rest(&mut self) {
        if let Self::File(file) = self {
            file.close();
        }
    }
}

fn append(file: &mut File, lines: &[u8]) -> Result<(), OutputError> {
    let before = file.metadata().map_err(|error| OutputError { written: 0, error })?.len();
    let mut done = 0;
    while done < lines.len() {
        let error = match file.write(&lines[done..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                done += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let written = memchr::memrchr(b'\n', &lines[..done]).map_or(0, |end| end + 1);
        if written < done {
            // If this fails, too, the file is put right when it is opened again.
            let _ = file.set_len(before + written as u64);
        }
        return Err(OutputError { written, error });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_that_was_cut_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let target = AccessLogTarget::File(path.clone());
        let (logfmt, json) = ("time=2027-01-01T00:00:00Z request=1\n", "{\"time\":\"2027-01-01T00:00:00Z\"}\n");
        for (before, kept) in [
            ("", ""),
            (logfmt, logfmt),
            (&logfmt[..3], ""),
            (&logfmt[..20], ""),
            (&*format!("{json}{}", &json[..20]), json),
            (&*format!("{json}{{"), json),
            // Of another program.
            ("a key", "a key\n"),
            ("a\ntime=never", "a\ntime=never\n"),
        ] {
            fs::write(&path, before).unwrap();
            let mut output = Output::new(&target);
            output.open().unwrap();
            output.write(b"time=2 a\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}time=2 a\n"), "{before:?}");
        }
    }

    #[test]
    fn a_file_may_be_renamed_removed_and_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let mut output = Output::new(&AccessLogTarget::File(path.clone()));
        output.write(b"time=2 a\n").unwrap();
        fs::rename(&path, &old).unwrap();
        output.write(b"time=2 b\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "time=2 a\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "time=2 b\n");
        fs::remove_file(&path).unwrap();
        output.write(b"time=2 c\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "time=2 c\n");
        fs::write(&path, "").unwrap();
        output.write(b"time=2 d\n").unwrap();
        output.rest();
        output.write(b"time=2 e\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "time=2 d\ntime=2 e\n");
    }
}
