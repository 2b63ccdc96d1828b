//! How a command speaks: results as lines or JSON on stdout, everything else on stderr. One value is made in `main` and
//! handed to every command; clones share the same streams.

use super::checklist::{Checklist, Look};
use super::output::{Output, OutputOptions};
use super::progress::{LayerBars, Progress, Spinner};
use super::prompt::{self, PromptError, PromptResult};
use super::qr::QrError;
use super::sanitize::{clean, clean_text, is_dangerous};
use super::stream::{Memory, Stream};
use super::style::Mark;
use super::table::Table;
use secrecy::SecretString;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use zeroize::Zeroizing;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What the person asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrinterOptions {
    /// Results and errors are JSON.
    pub json: bool,
    /// No notes, successes, hints and progress; warnings and errors stay.
    pub quiet: bool,
    /// `--color`.
    pub color: ColorChoice,
    /// Never prompt.
    pub no_input: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color_env: bool,
}

/// What the standard streams are connected to.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminalState {
    /// stdin is a terminal.
    pub stdin: bool,
    /// stdout is a terminal.
    pub stdout: bool,
    /// stderr is a terminal.
    pub stderr: bool,
    /// `TERM` is `dumb`: no colour, no symbols, no moving lines.
    pub dumb: bool,
    /// The locale's encoding is UTF-8, so that symbols such as ✓ can be shown.
    pub utf8: bool,
}

impl TerminalState {
    /// Looks at the standard streams; what depends on the environment is passed in.
    pub fn detect(dumb: bool, utf8: bool) -> Self {
        Self {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            dumb,
            utf8,
        }
    }
}

/// Columns beyond which a sentence is hard to follow.
const WIDEST_TEXT: usize = 100;

/// Bytes that common terminals take for their clipboard, in Base64.
const CLIPBOARD: usize = 74_994;

#[derive(Debug)]
struct Shared {
    options: PrinterOptions,
    terminal: TerminalState,
    stdout: Stream,
    stderr: Stream,
    progress: Progress,
    /// For a command that is run within another, whose own words say what was achieved.
    within: bool,
}

/// What is seen of a command that is run within another.
#[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Everything.
    All,
    /// What it says, but not its result, which is kept.
    Talk,
    /// Nothing; its result is kept.
    Nothing,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Printer(Arc<Shared>);

impl Printer {
    /// A printer on the process's own streams.
    ///
    /// # Errors
    /// When a standard stream's descriptor cannot be duplicated (too many open files).
    pub fn new(options: PrinterOptions, terminal: TerminalState) -> io::Result<Self> {
        Ok(Self::on(options, terminal, Stream::stdout()?, Stream::stderr()?))
    }

    /// A printer that keeps what is written, and its (stdout, stderr).
    #[cfg(test)]
    pub fn in_memory(options: PrinterOptions, terminal: TerminalState) -> (Self, Memory, Memory) {
        let ((stdout, out), (stderr, err)) = (Stream::memory(), Stream::memory());
        (Self::on(options, terminal, stdout, stderr), out, err)
    }

    /// The printer of a command that is run within this one, and what it keeps of the result. Nobody is asked anything, nothing
    /// is piped in, and results are for people.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn within(&self, seen: Seen) -> (Self, Memory) {
        let (kept, memory) = Stream::memory();
        let shared = &self.0;
        let stdout = if seen == Seen::All { shared.stdout.clone() } else { kept };
        let stderr = if seen == Seen::Nothing { Stream::memory().0 } else { shared.stderr.clone() };
        let quiet = shared.options.quiet || seen == Seen::Nothing;
        let options = PrinterOptions { json: false, no_input: true, quiet, ..shared.options };
        let terminal =
            TerminalState { stdin: true, stdout: shared.terminal.stdout && seen == Seen::All, ..shared.terminal };
        let moving = terminal.stderr && !terminal.dumb && !stderr.is_memory();
        let progress = Progress::new(moving, quiet);
        (Self(Arc::new(Shared { options, terminal, stdout, stderr, progress, within: true })), memory)
    }

    fn on(options: PrinterOptions, terminal: TerminalState, stdout: Stream, stderr: Stream) -> Self {
        // What is kept in memory must not draw on the real terminal.
        let moving = terminal.stderr && !terminal.dumb && !options.json && !stderr.is_memory();
        let progress = Progress::new(moving, options.quiet);
        Self(Arc::new(Shared { options, terminal, stdout, stderr, progress, within: false }))
    }

    /// Results and errors are to be JSON.
    pub fn is_json(&self) -> bool {
        self.0.options.json
    }

    /// Only what goes wrong is to be said.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn is_quiet(&self) -> bool {
        self.0.options.quiet
    }

    /// A person can be asked: stdin and stderr are terminals, and `--no-input` was not given.
    pub fn is_interactive(&self) -> bool {
        self.0.terminal.stdin && self.0.terminal.stderr && !self.0.options.no_input
    }

    /// stdin is a terminal: nothing is piped in.
    pub fn stdin_is_terminal(&self) -> bool {
        self.0.terminal.stdin
    }

    /// stdout is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.0.terminal.stdout
    }

    /// The terminal knows no more than lines.
    pub fn is_dumb(&self) -> bool {
        self.0.terminal.dumb
    }

    /// Whether stdout gets colour.
    pub fn colors_stdout(&self) -> bool {
        self.colors(self.0.terminal.stdout)
    }

    /// Whether stderr gets colour.
    pub fn colors_stderr(&self) -> bool {
        self.colors(self.0.terminal.stderr)
    }

    fn colors(&self, is_terminal: bool) -> bool {
        match self.0.options.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !self.0.terminal.dumb && !self.0.options.no_color_env,
        }
    }

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

    /// A secret that can be shown this once: a line on stdout. Unlike [`Printer::data`] it says when nobody took it.
    ///
    /// # Errors
    /// What the system says, `BrokenPipe` included.
    pub fn hand_over(&self, secret: &str) -> io::Result<()> {
        let mut line = Zeroizing::new(String::with_capacity(secret.len() + 1));
        line.push_str(secret);
        line.push('\n');
        self.try_to_stdout(line.as_bytes())
    }

    /// The same for a value that holds such a secret, as JSON.
    ///
    /// # Errors
    /// As [`Printer::hand_over`]; `InvalidData` when the value cannot be written as JSON.
    pub fn hand_over_json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        let text = Zeroizing::new(if self.0.terminal.stdout { escape_json(text) } else { text });
        self.hand_over(&text)
    }

    /// Whether whatever is written to stdout is lost: it was closed from the start, or is the null device.
    pub fn stdout_is_nowhere(&self) -> bool {
        self.0.stdout.is_null_device()
    }

    /// A table on stdout.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn table(&self, table: &Table) -> io::Result<()> {
        self.to_stdout(table.render(self.colors_stdout()) + "\n")
    }

    /// Labelled values on stdout, one a line, the values in one column.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn facts(&self, facts: &[(&str, String)]) -> io::Result<()> {
        let width = facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let lines: String = facts.iter().map(|(label, value)| format!("{label:<width$}  {}\n", clean(value))).collect();
        self.to_stdout(lines)
    }

    /// A list of checks on stdout.
    ///
    /// # Errors
    /// As [`Printer::data`].
    pub fn checklist(&self, list: &Checklist) -> io::Result<()> {
        let terminal = self.0.terminal;
        let shown = terminal.stdout && !terminal.dumb;
        let width = terminal.stdout.then(|| self.0.stdout.columns().min(WIDEST_TEXT));
        let look = Look { symbols: shown && terminal.utf8, color: self.colors_stdout(), width };
        self.to_stdout(list.render(look))
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
    pub fn to_clipboard(&self, text: &str) -> io::Result<bool> {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        if encoded.len() > CLIPBOARD {
            return Ok(false);
        }
        self.to_stdout(format!("\x1b]52;c;{encoded}\x07"))?;
        Ok(true)
    }

    /// What is going on; one line.
    pub fn note(&self, text: &str) {
        if !self.0.options.quiet && !self.is_json() {
            self.to_stderr(&format!("{}\n", clean(text)));
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
            return self.event("warning", &serde_json::json!({ "message": text }));
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
        self.to_stderr(&format!("\n{}\n", clean_text(text).replace('\n', "\n  ")));
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
        let code = super::qr::qr(text, self.colors_stderr(), columns)?;
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

    /// What went wrong, and what to do next: as JSON where that is wanted, else for a person.
    pub fn error(&self, code: &str, exit_code: u8, message: &str, hint: Option<&str>) {
        if self.is_json() {
            self.error_json(code, exit_code, message, hint);
        } else {
            self.error_human(message, hint);
        }
    }

    /// What went wrong, and what to do next.
    pub fn error_human(&self, message: &str, hint: Option<&str>) {
        self.marked(Mark::Error, message);
        // What to do next belongs to an error, however quiet it is to be.
        if let Some(hint) = hint {
            self.say_hint(hint);
        }
    }

    /// The same as one JSON object on one line of stderr:
    /// `{"error":{"code":…,"exit_code":…,"message":…,"hint":…}}`, `hint` being null where there is none.
    pub fn error_json(&self, code: &str, exit_code: u8, message: &str, hint: Option<&str>) {
        let error =
            serde_json::json!({"error": {"code": code, "exit_code": exit_code, "message": message, "hint": hint}});
        self.to_stderr(&format!("{}\n", escape_json(error.to_string())));
    }

    /// A spinner on stderr, drawn until it is dropped or finished. Nothing moves where stderr is no terminal.
    pub fn spinner(&self, message: &str) -> Spinner {
        Spinner::start(&self.0.progress, message)
    }

    /// Progress bars on stderr for a pull or push; plain lines where stderr is no terminal.
    pub fn layer_bars(&self) -> LayerBars {
        LayerBars::new(self.clone())
    }

    /// Asks a yes-or-no question on stderr; Enter takes the default.
    ///
    /// # Errors
    /// `NotInteractive` when nobody can be asked, `Interrupted` on Ctrl-C or a closed terminal.
    pub fn confirm(&self, question: &str, default: bool) -> PromptResult<bool> {
        self.asking(|| prompt::confirm(&self.0.stderr, &clean(question), default))
    }

    /// Puts the terminal back when the program ends while a question is still open (it is asked on another thread).
    pub fn end_prompt(&self) {
        prompt::end(&self.0.stderr);
        super::line_modes::end();
    }

    /// Puts the terminal back when a question is given up while it is still open.
    pub fn end_question(&self) {
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
            self.warn("the two differ; try again");
        }
    }

    fn asking<T>(&self, ask: impl FnOnce() -> PromptResult<T>) -> PromptResult<T> {
        if !self.is_interactive() {
            return Err(PromptError::NotInteractive);
        }
        self.0.progress.suspend(ask)
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    fn marked(&self, mark: Mark, text: &str) {
        let terminal = self.0.terminal;
        if self.0.within && mark == Mark::Success {
            return self.to_stderr(&format!("{}\n", clean(text)));
        }
        let prefix = mark.prefix(terminal.stderr && terminal.utf8 && !terminal.dumb, self.colors_stderr());
        self.to_stderr(&format!("{prefix}{}\n", clean(text)));
    }

    /// A reader that has left is no error: what it wanted it has, and the exit code still says how things stand.
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

    /// Talk that cannot be delivered is lost: there is nobody left to tell.
    fn to_stderr(&self, text: &str) {
        let _ = self.0.progress.suspend(|| self.0.stderr.write_all(text.as_bytes()));
    }
}

/// JSON in which the dangerous characters are escaped as JSON itself provides. Outside strings JSON holds none but newlines.
fn escape_json(text: String) -> String {
    if !text.contains(|c| c != '\n' && is_dangerous(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && is_dangerous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: TerminalState = TerminalState { stdin: true, stdout: true, stderr: true, dumb: false, utf8: true };

    #[test]
    fn data_is_unchanged_in_a_pipe_and_harmless_on_a_terminal() {
        let (printer, out, _) = Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        printer.data("\x1b[2J\u{202e}").unwrap();
        assert_eq!(out.text(), "\x1b[2J\u{202e}\n");
        let (printer, out, _) = Printer::in_memory(PrinterOptions::default(), TERMINAL);
        printer.data("\x1b[2J").unwrap();
        assert_eq!(out.text(), "^[[2J\n");
    }

    #[test]
    fn json_stays_json_and_is_harmless_on_a_terminal() {
        let (printer, out, _) = Printer::in_memory(PrinterOptions::default(), TERMINAL);
        let value = serde_json::json!({"name": "a\u{9b}\u{e0041}\u{202e}\x1b\n"});
        printer.json(&value).unwrap();
        assert!(out.text().contains("\"a\\u009b\\udb40\\udc41\\u202e\\u001b\\n\""), "{}", out.text());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&out.text()).unwrap(), value);
    }

    #[test]
    fn meaning_survives_without_colour() {
        let say = |options, terminal| {
            let (printer, out, err) = Printer::in_memory(options, terminal);
            printer.note("n");
            printer.success("s");
            printer.warn("w\n!");
            printer.error_human("e\x1b", Some("try this\nor that"));
            assert!(out.is_empty());
            err.text()
        };
        let plain = PrinterOptions::default();
        assert_eq!(say(plain, TerminalState::default()), "n\ns\nwarning: w\\n!\nerror: e^[\n\ntry this\n  or that\n");
        assert_eq!(
            say(PrinterOptions { quiet: true, ..plain }, TerminalState::default()),
            "warning: w\\n!\nerror: e^[\n\ntry this\n  or that\n"
        );
        let no_color = PrinterOptions { no_color_env: true, ..plain };
        assert_eq!(say(no_color, TERMINAL), "n\n✓ s\n! w\\n!\n✗ e^[\n\ntry this\n  or that\n");
        assert!(say(plain, TERMINAL).contains("\x1b[32m✓\x1b[0m s"));
    }

    #[test]
    fn errors_as_json() {
        let (printer, _, err) = Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        printer.error_json("sign_in_needed", 4, "no \u{202e}", None);
        assert_eq!(
            err.text(),
            "{\"error\":{\"code\":\"sign_in_needed\",\"exit_code\":4,\"message\":\"no \\u202e\",\"hint\":null}}\n"
        );
    }

    #[test]
    fn nobody_is_asked_without_a_terminal_or_with_no_input() {
        let (printer, _, err) = Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        assert!(matches!(printer.confirm("sure?", true), Err(PromptError::NotInteractive)));
        let (printer, ..) =
            Printer::in_memory(PrinterOptions { no_input: true, ..PrinterOptions::default() }, TERMINAL);
        assert!(matches!(printer.hidden("key"), Err(PromptError::NotInteractive)));
        assert!(err.is_empty());
    }
}
