//! Results, on stdout: text, JSON, tables, lists, secrets that can be shown once.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use zeroize::Zeroizing;

use super::Printer;
use crate::ui::checklist::Checklist;
use crate::ui::output::{Output, OutputOptions};
use crate::ui::sanitize::{clean, clean_text, escape_json};
use crate::ui::style::Look;
use crate::ui::table::Table;
use crate::ui::table::fill;

/// Columns beyond which a sentence is hard to follow.
const WIDEST_TEXT: usize = 100;

/// Bytes that common terminals take for their clipboard, in Base64.
const CLIPBOARD: usize = 74_994;

impl Printer {
    /// A result, as text: a line on stdout (or several). Unchanged in a pipe, made harmless on a terminal.
    ///
    /// # Errors
    /// `BrokenPipe` when the reader is gone; otherwise what the system says.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let text = if self.0.terminal.stdout { clean_text(text) } else { Cow::Borrowed(text) };
        self.to_stdout(format!("{text}\n"))
    }

    /// A result, as indented JSON on stdout.
    ///
    /// # Errors
    /// As [`Printer::data`]; `InvalidData` when the value cannot be written as JSON.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        if self.0.terminal.stdout {
            text = escape_json(text);
        }
        text.push('\n');
        self.to_stdout(text)
    }

    /// A result that is one of many, as JSON on one line of stdout.
    ///
    /// # Errors
    /// As [`Printer::json`].
    #[cfg(feature = "gateway")]
    pub fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        let text = if self.0.terminal.stdout { escape_json(text) } else { text };
        self.to_stdout(text + "\n")
    }

    /// A secret that can be shown this once: a line on stdout. Unlike [`Printer::data`] it fails when the reader is gone.
    ///
    /// # Errors
    /// What the system says, `BrokenPipe` included.
    pub fn print_secret(&self, secret: &str) -> io::Result<()> {
        let mut line = Zeroizing::new(String::with_capacity(secret.len() + 1));
        line.push_str(secret);
        line.push('\n');
        self.try_to_stdout(line.as_bytes())
    }

    /// The same for a value that holds such a secret, as JSON.
    ///
    /// # Errors
    /// As [`Printer::print_secret`]; `InvalidData` when the value cannot be written as JSON.
    pub fn print_secret_json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        let text = Zeroizing::new(if self.0.terminal.stdout { escape_json(text) } else { text });
        self.print_secret(&text)
    }

    /// Whether output on stdout is lost: it was closed from the start, or is the null device.
    pub fn discards_stdout(&self) -> bool {
        self.0.stdout.is_null_device()
    }

    /// A table on stdout: on a terminal one that fits its width. What was left out for it is named on stderr.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn table(&self, table: &Table) -> io::Result<()> {
        let look = self.stdout_look();
        let rendered = table.render(look);
        self.to_stdout(rendered.text + "\n")?;
        if !rendered.left_out.is_empty() {
            let note = format!("Columns that do not fit: {}.", rendered.left_out.join(", "));
            self.note_lines(&fill(&note, look.width, 0));
        }
        Ok(())
    }

    /// Makes the screen empty, where stdout is a terminal that can be.
    ///
    /// # Errors
    /// As [`Printer::data`].
    #[cfg(feature = "gateway")]
    pub fn clear_screen(&self) -> io::Result<()> {
        match self.0.terminal.stdout && !self.0.terminal.dumb {
            true => self.to_stdout("\x1b[H\x1b[2J"),
            false => Ok(()),
        }
    }

    /// Labelled values on stdout, one a line, the values in one column.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn facts(&self, facts: &[(&str, String)]) -> io::Result<()> {
        let width = facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let columns = self.stdout_look().width;
        let value = |value: &str| fill(&clean(value), columns, width + 2);
        let lines: String = facts.iter().map(|(label, text)| format!("{label:<width$}  {}\n", value(text))).collect();
        self.to_stdout(lines)
    }

    /// A list of checks on stdout.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn checklist(&self, list: &Checklist) -> io::Result<()> {
        let look = self.stdout_look();
        self.to_stdout(list.render(Look { width: look.width.map(|width| width.min(WIDEST_TEXT)), ..look }))
    }

    fn stdout_look(&self) -> Look {
        let terminal = self.0.terminal;
        Look {
            symbols: terminal.stdout && terminal.utf8 && !terminal.dumb,
            color: self.colors_stdout(),
            width: terminal.stdout.then(|| self.0.stdout.columns()),
        }
    }

    /// A generated file on stdout, as it is.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.to_stdout(bytes)
    }

    /// The sink for model output on stdout.
    pub fn output(&self, options: OutputOptions) -> Output {
        Output::new(self.0.stdout.clone(), self.0.terminal.stdout, self.colors_stdout(), options)
    }

    /// Hands our own words to the terminal's clipboard (OSC 52); what a model writes never gets there by itself. `false` where
    /// they are longer than terminals take.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn copy_to_clipboard(&self, text: &str) -> io::Result<bool> {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        if encoded.len() > CLIPBOARD {
            return Ok(false);
        }
        self.to_stdout(format!("\x1b]52;c;{encoded}\x07"))?;
        Ok(true)
    }

    /// A closed pipe is not an error: the reader has what it wanted, and the exit code still tells the outcome.
    fn to_stdout(&self, text: impl AsRef<[u8]>) -> io::Result<()> {
        match self.try_to_stdout(text.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn try_to_stdout(&self, text: &[u8]) -> io::Result<()> {
        let written = self.0.progress.suspend(|| self.0.stdout.write_all(text));
        written.map_err(|error| io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
    }
}
