//! Everything else, on stderr: notes, warnings, errors, hints, events, progress, questions.

use secrecy::SecretString;
use serde_json::Value;

use unicode_width::UnicodeWidthStr as _;

use super::Printer;
use crate::os_error::without_codes;
use crate::ui::paragraph::wrapped;
use crate::ui::progress::{Progress, Spinner};
use crate::ui::prompt::{self, PromptError, PromptResult};
use crate::ui::qr::QrError;
use crate::ui::sanitize::{clean, clean_text, escape_json};
use crate::ui::style::Mark;

impl Printer {
    /// What is going on; one line.
    pub fn note(&self, text: &str) {
        if !self.0.options.quiet && !self.is_json() {
            self.to_stderr(&format!("{}\n", self.wrapped(&clean(text), 0)));
        }
    }

    /// The same in lines of our own words.
    pub(super) fn note_lines(&self, text: &str) {
        if !self.0.options.quiet && !self.is_json() {
            self.to_stderr(&format!("{text}\n"));
        }
    }

    /// Something was done; one line.
    pub fn success(&self, text: &str) {
        if !self.0.options.quiet && !self.is_json() {
            self.marked(Mark::Success, text);
        }
    }

    /// A command as a person would type it, after an empty line.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn command(&self, line: &str) {
        if !self.0.options.quiet && !self.is_json() {
            let (bold, plain) = if self.colors_stderr() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
            self.to_stderr(&format!("\n{bold}$ {}{plain}\n", clean(line)));
        }
    }

    /// Something may be wrong; one line, shown even when quiet.
    pub fn warn(&self, text: &str) {
        if self.is_json() {
            return self.event("warning", &serde_json::json!({ "message": without_codes(text) }));
        }
        self.marked(Mark::Warning, text);
    }

    /// What to do next, after an empty line. It may have several lines; the later ones are indented.
    pub fn hint(&self, text: &str) {
        if !self.0.options.quiet && !self.is_json() {
            self.say_hint(text);
        }
    }

    fn say_hint(&self, text: &str) {
        let text = clean_text(text).replace('\n', "\n  ");
        self.to_stderr(&format!("\n{}\n", self.wrapped(&text, 0)));
    }

    /// Lines for a person that are shown even when quiet, such as what `--verbose` reports after an answer.
    pub fn report(&self, text: &str) {
        self.to_stderr(&format!("{}\n", clean_text(text).trim_end_matches('\n')));
    }

    /// A QR code on stderr for `text`.
    ///
    /// # Errors
    /// When `text` is too long for one, or the terminal too narrow.
    pub fn qr(&self, text: &str) -> Result<(), QrError> {
        let columns = self.0.terminal.stderr.then(|| self.0.stderr.columns());
        let code = crate::ui::qr::qr(text, self.colors_stderr(), columns)?;
        self.to_stderr(&format!("\n{code}\n"));
        Ok(())
    }

    /// Something that a program reading stderr has to know at once: `{"event":NAME,…}` on a line of its own.
    pub fn event(&self, name: &str, members: &serde_json::Value) {
        let mut event = serde_json::json!({ "event": name });
        if let (Some(event), Some(members)) = (event.as_object_mut(), members.as_object()) {
            event.extend(members.clone());
        }
        self.to_stderr(&format!("{}\n", escape_json(event.to_string())));
    }

    /// What went wrong, and what to do next: as JSON where that is wanted, with these members too, else for a person.
    pub fn error(&self, code: &str, exit_code: u8, message: &str, hint: Option<&str>, members: &[(&str, Value)]) {
        if self.is_json() {
            self.error_json(code, exit_code, message, hint, members);
        } else {
            self.error_human(message, hint);
        }
    }

    /// What went wrong, and what to do next.
    pub fn error_human(&self, message: &str, hint: Option<&str>) {
        self.marked(Mark::Error, message);
        // The next step belongs to an error, even with `--quiet`.
        if let Some(hint) = hint {
            self.say_hint(hint);
        }
    }

    /// The same as one JSON object on one line of stderr:
    /// `{"error":{"code":…,"exit_code":…,"message":…,"hint":…}}`, `hint` being null where there is none.
    pub fn error_json(&self, code: &str, exit_code: u8, message: &str, hint: Option<&str>, members: &[(&str, Value)]) {
        let mut error =
            serde_json::json!({"error": {"code": code, "exit_code": exit_code, "message": message, "hint": hint}});
        for (name, value) in members {
            error["error"][*name] = value.clone();
        }
        self.to_stderr(&format!("{}\n", escape_json(error.to_string())));
    }

    /// Whether a [spinner](Self::spinner) can be seen.
    pub fn shows_spinners(&self) -> bool {
        self.0.progress.moving
    }

    /// A spinner on stderr, drawn until it is dropped or finished. Nothing moves where stderr is not a terminal.
    pub fn spinner(&self, message: &str) -> Spinner {
        Spinner::start(&self.0.progress, message)
    }

    /// Asks a yes-or-no question on stderr; Enter takes the default.
    ///
    /// # Errors
    /// `NotInteractive` when prompting is impossible, `Interrupted` on Ctrl-C or a closed terminal.
    pub fn confirm(&self, question: &str, default: bool) -> PromptResult<bool> {
        self.asking(|| prompt::confirm(&self.0.stderr, &clean(question), default))
    }

    /// Puts the terminal back when the program ends while a question is still open (it is asked on another thread).
    pub fn restore_terminal(&self) {
        prompt::end(&self.0.stderr);
        crate::ui::line_modes::end();
    }

    /// Puts the terminal back when a question is given up while it is still open.
    pub fn abort_prompt(&self) {
        prompt::end(&self.0.stderr);
    }

    /// Asks for a secret on stderr without showing it.
    ///
    /// # Errors
    /// As [`Printer::confirm`].
    pub fn hidden(&self, question: &str) -> PromptResult<SecretString> {
        self.asking(|| prompt::hidden(&self.0.stderr, &clean(question)))
    }

    /// Asks for a new secret twice, until both answers are equal.
    ///
    /// # Errors
    /// As [`Printer::confirm`].
    pub fn hidden_twice(&self, question: &str, again: &str) -> PromptResult<SecretString> {
        use secrecy::ExposeSecret;
        loop {
            let (first, second) = (self.hidden(question)?, self.hidden(again)?);
            if first.expose_secret() == second.expose_secret() {
                return Ok(first);
            }
            self.warn("the two entries differ; try again");
        }
    }

    fn asking<T>(&self, ask: impl FnOnce() -> PromptResult<T>) -> PromptResult<T> {
        if !self.is_interactive() {
            return Err(PromptError::NotInteractive);
        }
        self.0.progress.suspend(ask)
    }

    pub(in crate::ui) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    fn marked(&self, mark: Mark, text: &str) {
        let terminal = self.0.terminal;
        if self.0.nested && mark == Mark::Success {
            return self.to_stderr(&format!("{}\n", self.wrapped(&clean(text), 0)));
        }
        let symbols = terminal.stderr && terminal.utf8 && !terminal.dumb;
        let used = mark.prefix(symbols, false).width();
        let prefix = mark.prefix(symbols, self.colors_stderr());
        self.to_stderr(&format!("{prefix}{}\n", self.wrapped(&clean(text), used)));
    }

    /// A message for a person: without the numbers of system errors, and on a terminal in lines of its width. `used` columns are
    /// taken in front of it.
    fn wrapped(&self, text: &str, used: usize) -> String {
        let width = self.0.terminal.stderr.then(|| self.0.stderr.columns());
        wrapped(&without_codes(text), width, used)
    }

    /// A message that cannot be written is dropped: stderr is closed, so the failure cannot be reported either.
    fn to_stderr(&self, text: &str) {
        let _ = self.0.progress.suspend(|| self.0.stderr.write_all(text.as_bytes()));
    }
}
