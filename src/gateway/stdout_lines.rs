//! Lines on the standard output of the gateway, which a supervisor or a container's log driver reads. Whatever writes them, they are whole and
//! never mix.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::stdio::stdout;

/// Between two attempts where the standard output is set to refuse instead of to wait.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that a pipe takes whole, whatever other programs write to it (`PIPE_BUF` of Linux).
const PIECE: usize = 4096;

/// Held by the one that writes: one of an earlier configuration may still wait for a reader, in the middle of a line.
static TURN: Mutex<Turn> = Mutex::new(Turn { is_within_line: false });

struct Turn {
    /// A write failed in the middle of a line.
    is_within_line: bool,
}

/// Why lines could not be written.
#[derive(Debug)]
pub struct StdoutError {
    /// The bytes of the whole lines that were written.
    pub written: usize,
    /// What kept the others from it.
    pub error: io::Error,
}

/// Writes whole lines, each with its end. Waits for a reader for as long as it takes.
///
/// # Errors
/// A standard output that is closed, or a disk that is full.
pub fn write_lines(lines: &[u8]) -> Result<(), StdoutError> {
    let mut done = 0;
    while done < lines.len() {
        // For each piece, so that no writer waits for all lines of another.
        let mut turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = &lines[done..];
        let piece = &rest[..piece_length(rest)];
        if turn.is_within_line {
            write_all(b"\n").map_err(|(_, error)| StdoutError { written: done, error })?;
            turn.is_within_line = false;
        }
        if let Err((count, error)) = write_all(piece) {
            let whole = memchr::memrchr(b'\n', &piece[..count]).map_or(0, |end| end + 1);
            turn.is_within_line = whole < count;
            return Err(StdoutError { written: done + whole, error });
        }
        done += piece.len();
        drop(turn);
        std::thread::yield_now();
    }
    Ok(())
}

/// The whole lines at the beginning that a pipe takes in one piece; one that is longer stands alone.
fn piece_length(lines: &[u8]) -> usize {
    let fitting = &lines[..lines.len().min(PIECE)];
    let end = memchr::memrchr(b'\n', fitting).or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |end| end + 1)
}

/// How many bytes were written before the error.
fn write_all(text: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < text.len() {
        // Not by the standard library: other output would wait for its lock.
        match rustix::io::write(stdout(), &text[done..]) {
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
            Err(error) => return Err((done, error.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_lines_and_a_long_line_stands_alone() {
        let line = |length: usize| "x".repeat(length - 1) + "\n";
        for (lines, length) in [
            (vec![1], 1),
            (vec![100, 200], 300),
            (vec![4000, 96, 5], 4096),
            (vec![4000, 97, 5], 4000),
            (vec![9000, 5], 9000),
        ] {
            let text: String = lines.iter().map(|length| line(*length)).collect();
            assert_eq!(piece_length(text.as_bytes()), length, "{lines:?}");
        }
    }
}
