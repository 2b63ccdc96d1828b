//! The sink that is the standard output of the gateway.

use std::io;

use super::line::SinkRecord;
use super::output::Output;
use crate::gateway::stdout_lines::write_lines;

/// See the module.
pub struct StdoutOutput;

impl Output for StdoutOutput {
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()> {
        let text: String = records.iter().map(|record| record.to_line() + "\n").collect();
        write_lines(text.as_bytes()).map_err(|failed| failed.error)
    }
}
