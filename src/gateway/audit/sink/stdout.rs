//! The sink that is the standard output of the gateway, which a supervisor or a container's log driver reads.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::stdio::stdout;

use super::line::SinkRecord;
use super::output::Output;

/// Between two attempts where the standard output is set to refuse instead of to wait.
const PAUSE: Duration = Duration::from_millis(50);

/// Held by who writes: the sink of an earlier configuration may still wait for a reader, in the middle of a line.
static TURN: Mutex<Turn> = Mutex::new(Turn { is_within_line: false });

struct Turn {
    /// A write failed in the middle of a line.
    is_within_line: bool,
}

/// See the module.
pub struct StdoutOutput;

impl Output for StdoutOutput {
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()> {
        let mut turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let end = if std::mem::take(&mut turn.is_within_line) { "\n" } else { "" };
            let line = format!("{end}{}\n", record.to_line());
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                // Not by the standard library: other output would wait for its lock.
                match rustix::io::write(stdout(), rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                    Err(error) => {
                        turn.is_within_line = !end.is_empty() || rest.len() < line.len();
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }
}
