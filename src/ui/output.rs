//! The byte sink for model output on stdout. Into a pipe or a file the bytes pass unchanged, in large writes; on a
//! terminal the text is made harmless and wrapped at its width.
//!
//! Nothing is written before [`Output::flush`] (or a full buffer): call it before every wait for more input.

use super::sanitize::Sanitizer;
use super::stream::Stream;
use super::style::Tone;
use super::wrap::Wrapper;
use std::io;

/// Bytes collected before they are written unasked.
const BUFFER: usize = 64 * 1024;

/// How model output is shown on a terminal. Neither setting matters where stdout is not a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Pass the model's bytes to the terminal as they are, escape sequences included. Implies no wrapping.
    pub raw: bool,
    /// Leave line breaks to the terminal.
    pub no_word_wrap: bool,
}

/// What a terminal needs beyond plain bytes.
struct Terminal {
    sanitizer: Sanitizer,
    wrapper: Option<Wrapper>,
    color: bool,
    tone: Tone,
    /// The safe text of one piece; kept for its memory.
    text: String,
    lines: String,
    /// The width is asked for again before the first piece after a flush.
    width_known: bool,
}

/// See the module. `Send`; dropping it is [`Output::abandon`], ignoring errors: so ends an answer that is interrupted.
pub struct Output {
    stream: Stream,
    is_terminal: bool,
    /// The text so far ends in the middle of a line.
    mid_line: bool,
    buffer: Vec<u8>,
    terminal: Option<Box<Terminal>>,
    failed: bool,
}

impl Output {
    pub(super) fn new(stream: Stream, is_terminal: bool, color: bool, options: OutputOptions) -> Self {
        let terminal = (is_terminal && !options.raw).then(|| {
            Box::new(Terminal {
                sanitizer: Sanitizer::default(),
                wrapper: (!options.no_word_wrap).then(|| Wrapper::new(stream.columns())),
                color,
                tone: Tone::Plain,
                text: String::new(),
                lines: String::new(),
                width_known: true,
            })
        });
        Self { stream, is_terminal, mid_line: false, buffer: Vec::new(), terminal, failed: false }
    }

    /// Adds untrusted text.
    ///
    /// # Errors
    /// When a full buffer could not be written; `BrokenPipe` when the reader is gone.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.write_bytes(text.as_bytes())
    }

    /// Adds untrusted bytes; on a terminal a UTF-8 character may be split over calls.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
        match &mut self.terminal {
            None => self.buffer.extend_from_slice(bytes),
            Some(terminal) => {
                terminal.text.clear();
                terminal.sanitizer.push(bytes, &mut terminal.text);
                terminal.emit(&self.stream, &mut self.buffer);
            }
        }
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Changes how the following text looks, on a terminal with colour; elsewhere nothing happens.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn tone(&mut self, tone: Tone) -> io::Result<()> {
        if let Some(terminal) = &mut self.terminal
            && terminal.color
            && terminal.tone != tone
        {
            terminal.tone = tone;
            self.buffer.extend_from_slice(tone.sequence().as_bytes());
        }
        Ok(())
    }

    /// Writes everything added so far, except the first half of a character.
    ///
    /// # Errors
    /// `BrokenPipe` when the reader is gone; otherwise what the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(terminal) = &mut self.terminal {
            terminal.width_known = false;
        }
        if self.buffer.is_empty() || self.failed {
            return Ok(());
        }
        let written = self.stream.write_all(&self.buffer);
        // A failed write is not tried again when this is dropped.
        self.failed = written.is_err();
        self.buffer.clear();
        written
    }

    /// Ends the text and writes all of it: resets the tone and, on a terminal, shows a character that was cut off.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub fn finish(&mut self) -> io::Result<()> {
        self.tone(Tone::Plain)?;
        if let Some(terminal) = &mut self.terminal {
            terminal.text.clear();
            terminal.sanitizer.finish(&mut terminal.text);
            terminal.emit(&self.stream, &mut self.buffer);
        }
        self.flush()
    }

    /// As [`Output::finish`], for an answer that was interrupted: on a terminal the cursor ends on a line of its own.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub fn abandon(&mut self) -> io::Result<()> {
        self.finish()?;
        if self.is_terminal && self.mid_line {
            return self.write("\n").and_then(|()| self.flush());
        }
        Ok(())
    }
}

impl Terminal {
    fn emit(&mut self, stream: &Stream, buffer: &mut Vec<u8>) {
        match &mut self.wrapper {
            None => buffer.extend_from_slice(self.text.as_bytes()),
            Some(wrapper) => {
                if !self.width_known {
                    wrapper.set_columns(stream.columns());
                    self.width_known = true;
                }
                self.lines.clear();
                wrapper.push(&self.text, &mut self.lines);
                buffer.extend_from_slice(self.lines.as_bytes());
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.abandon();
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("terminal", &self.terminal.is_some())
            .field("buffered", &self.buffer.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_terminal: bool, color: bool, options: OutputOptions, work: impl FnOnce(&mut Output)) -> String {
        let (stream, memory) = Stream::capture();
        let mut output = Output::new(stream, is_terminal, color, options);
        work(&mut output);
        drop(output);
        memory.text()
    }

    #[test]
    fn a_pipe_gets_the_bytes_as_they_are() {
        let text = "\x1b[31m\r\u{202e}ü\0";
        assert_eq!(
            written(false, true, OutputOptions::default(), |o| {
                o.tone(Tone::Faint).unwrap();
                o.write(text).unwrap();
            }),
            text
        );
    }

    #[test]
    fn a_terminal_gets_safe_text_and_a_tone_that_ends() {
        assert_eq!(
            written(true, true, OutputOptions::default(), |o| {
                o.tone(Tone::Faint).unwrap();
                o.write("\x1b[2Jhi\r\n").unwrap();
            }),
            "\x1b[2m^[[2Jhi\n\x1b[0m"
        );
        let raw = OutputOptions { raw: true, ..OutputOptions::default() };
        assert_eq!(written(true, true, raw, |o| o.write("\x1b[2J").unwrap()), "\x1b[2J\n");
    }

    #[test]
    fn an_abandoned_answer_ends_its_line() {
        assert_eq!(
            written(true, false, OutputOptions::default(), |o| {
                o.write("half an ans").unwrap();
                o.abandon().unwrap();
            }),
            "half an ans\n"
        );
        assert_eq!(
            written(false, false, OutputOptions::default(), |o| {
                o.write("half").unwrap();
                o.abandon().unwrap();
            }),
            "half"
        );
    }

    #[test]
    fn is_send() {
        fn send<T: Send>() {}
        send::<Output>();
    }

    #[test]
    fn a_full_buffer_is_written_and_many_small_writes_are_cheap() {
        let (stream, memory) = Stream::capture();
        let mut output = Output::new(stream, false, false, OutputOptions::default());
        let started = std::time::Instant::now();
        for _ in 0..300_000 {
            output.write("a piece of text ").unwrap();
        }
        // Printed for the record only: a limit on time would fail on a busy machine.
        eprintln!("300,000 writes: {:?}", started.elapsed());
        assert!(memory.len() > 4_000_000);
        output.flush().unwrap();
        assert_eq!(memory.len(), 4_800_000);
    }
}
