//! The thread that writes the lines of one target.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::buffer::{LineBuffer, Work};
use super::counts::LineCounts;
use super::output::{Output, OutputError};
use super::settings::AccessLogTarget;

/// After so long without a line a file is closed.
const REST: Duration = Duration::from_secs(1);
/// The most memory that stays reserved for the lines of one batch.
const KEPT: usize = 256 << 10;

/// See the module. It ends when it was closed and everything is written.
pub struct Writer {
    /// Where the lines go.
    pub target: AccessLogTarget,
    /// The same as text.
    pub name: String,
    /// The lines that wait for it.
    pub buffer: Arc<LineBuffer>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(target: &AccessLogTarget, counts: &Arc<LineCounts>) -> io::Result<Self> {
        let writer = Self { target: target.clone(), name: target.to_string(), buffer: Arc::default() };
        let (output, name) = (Output::new(target), writer.name.clone());
        let (buffer, counts) = (writer.buffer.clone(), counts.clone());
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(output, &name, &buffer, &counts))?;
        Ok(writer)
    }
}

fn write_lines(mut output: Output, name: &str, buffer: &LineBuffer, counts: &Arc<LineCounts>) {
    if let Err(error) = output.open() {
        counts.add_dropped(0, name, &error.to_string());
    }
    let (mut batch, mut rest, mut works) = (Vec::new(), Some(REST), false);
    loop {
        match buffer.take(&mut batch, rest) {
            Work::Write(lines) => {
                let written = output.write(&batch);
                works = written.is_ok();
                match written {
                    Ok(()) => {
                        counts.add_written(lines);
                        counts.note_success(name);
                    }
                    Err(OutputError { written, error }) => {
                        let written = count_lines(&batch[..written]);
                        counts.add_written(written);
                        counts.add_dropped(lines - written, name, &error.to_string());
                    }
                }
                buffer.done(lines);
                batch.clear();
                batch.shrink_to(KEPT);
                rest = Some(REST);
            }
            Work::Rest => {
                output.rest();
                rest = None;
                if works {
                    // The last batch may have been written before the warning was.
                    counts.note_success(name);
                }
            }
            Work::End => return,
        }
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
