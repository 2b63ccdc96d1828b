//! One of the standard streams as the rest of `ui` writes to it: unbuffered, from any thread, and without losing
//! anything when a parent process has made the shared terminal or pipe non-blocking.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use zeroize::Zeroizing;

/// Width assumed where a stream is not a terminal or its width is unknown.
pub(super) const DEFAULT_COLUMNS: usize = 80;

/// Room for a secret that is caught, so that no copy of it is left behind where the memory grew.
const ROOM: usize = 4096;

/// What was written to a stream that is held in memory. It may be a secret: it is wiped when dropped, and cannot be printed.
#[derive(Clone)]
pub struct CapturedOutput(Arc<Mutex<Zeroizing<Vec<u8>>>>);

impl Default for CapturedOutput {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Zeroizing::new(Vec::with_capacity(ROOM)))))
    }
}

impl std::fmt::Debug for CapturedOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CapturedOutput(****)")
    }
}

impl CapturedOutput {
    /// Everything written so far; invalid UTF-8 is replaced.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Everything written so far, as a shell's `$(…)` has it: without the newlines at its end.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn secret(&self) -> SecretString {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SecretString::from(String::from_utf8_lossy(&bytes).trim_end_matches('\n'))
    }

    /// Bytes written so far.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True when nothing was written.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
pub(super) enum Stream {
    /// A duplicate of the standard stream's descriptor: no lock, no line buffer.
    #[cfg(unix)]
    File(Arc<File>),
    /// On Windows only the standard library's own handles translate UTF-8 for the console.
    #[cfg(not(unix))]
    Stdout,
    #[cfg(not(unix))]
    Stderr,
    CapturedOutput(CapturedOutput),
}

impl Stream {
    #[cfg(unix)]
    fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::File(Arc::new(File::from(fd.try_clone_to_owned()?))))
    }

    #[cfg(unix)]
    pub(super) fn stdout() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Self::duplicate(io::stdout().as_fd())
    }

    #[cfg(unix)]
    pub(super) fn stderr() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Self::duplicate(io::stderr().as_fd())
    }

    #[cfg(not(unix))]
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::Stdout)
    }

    #[cfg(not(unix))]
    pub(super) fn stderr() -> io::Result<Self> {
        Ok(Self::Stderr)
    }

    /// A stream that keeps what is written to it.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub(super) fn capture() -> (Self, CapturedOutput) {
        let memory = CapturedOutput::default();
        (Self::CapturedOutput(memory.clone()), memory)
    }

    /// Whether output is captured in memory.
    pub(super) fn is_captured(&self) -> bool {
        matches!(self, Self::CapturedOutput(_))
    }

    /// Writes all of `bytes`, waiting where the stream is non-blocking and full.
    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::File(file) => write_patiently(file, bytes),
            #[cfg(not(unix))]
            Self::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            #[cfg(not(unix))]
            Self::Stderr => io::stderr().write_all(bytes),
            Self::CapturedOutput(memory) => memory.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes),
        }
    }

    /// Whether it is the null device, which is also what the standard library opens in place of a closed stream.
    pub(super) fn is_null_device(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{FileTypeExt, MetadataExt};
            let Self::File(file) = self else { return false };
            let (Ok(own), Ok(null)) = (file.metadata(), std::fs::metadata("/dev/null")) else { return false };
            own.file_type().is_char_device() && null.file_type().is_char_device() && own.rdev() == null.rdev()
        }
        #[cfg(not(unix))]
        false
    }

    /// The terminal's width in columns; [`DEFAULT_COLUMNS`] where it cannot be known.
    pub(super) fn columns(&self) -> usize {
        let known = match self {
            #[cfg(unix)]
            Self::File(file) => rustix::termios::tcgetwinsize(file).ok().map(|size| size.ws_col),
            #[cfg(not(unix))]
            Self::Stdout => console::Term::stdout().size_checked().map(|size| size.1),
            #[cfg(not(unix))]
            Self::Stderr => console::Term::stderr().size_checked().map(|size| size.1),
            Self::CapturedOutput(_) => None,
        };
        known.filter(|&columns| columns > 0).map_or(DEFAULT_COLUMNS, usize::from)
    }
}

#[cfg(unix)]
fn write_patiently(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_full_non_blocking_pipe_loses_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = File::from(writer.as_fd().try_clone_to_owned().unwrap());
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let stream = Stream::File(Arc::new(writer));
        let expected = sent.clone();
        let thread = std::thread::spawn(move || stream.write_all(&sent));
        let mut received = vec![0; expected.len()];
        reader.read_exact(&mut received).unwrap();
        thread.join().unwrap().unwrap();
        assert!(received == expected);
    }

    #[test]
    fn a_closed_pipe_is_recognised() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let stream = Stream::duplicate(writer.as_fd()).unwrap();
        assert_eq!(stream.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
