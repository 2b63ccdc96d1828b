//! What takes the lines of a sink.

use std::io;

use super::line::SinkRecord;

/// See the module.
pub trait Output: Send {
    /// Writes records. After an error some of them may be written.
    ///
    /// # Errors
    /// What keeps it from writing.
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()>;

    /// There is nothing to write now.
    fn rest(&mut self) {}
}
