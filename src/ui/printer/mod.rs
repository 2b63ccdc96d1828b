//! The output of a command: results as lines or JSON on stdout, everything else on stderr. One value is made in `main` and
//! passed to every command; clones share the same streams.

mod messages;
mod results;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::progress::Progress;
use super::stream::{CapturedOutput, Stream};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Never.
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

#[derive(Debug)]
struct Shared {
    options: PrinterOptions,
    terminal: TerminalState,
    stdout: Stream,
    stderr: Stream,
    progress: Progress,
    /// For a command that runs within another, which reports the outcome itself.
    nested: bool,
}

/// What a person sees of a command that runs within another.
#[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everything.
    All,
    /// Its messages, but not its result, which is captured.
    Messages,
    /// Nothing; its result is captured.
    Hidden,
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
    pub fn in_memory(options: PrinterOptions, terminal: TerminalState) -> (Self, CapturedOutput, CapturedOutput) {
        let ((stdout, out), (stderr, err)) = (Stream::capture(), Stream::capture());
        (Self::on(options, terminal, stdout, stderr), out, err)
    }

    /// The printer of a command that runs within this one, and what it captures of the result. It never prompts, nothing
    /// is piped in, and results are for people.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn nested(&self, visibility: Visibility) -> (Self, CapturedOutput) {
        let (kept, memory) = Stream::capture();
        let shared = &self.0;
        let stdout = if visibility == Visibility::All { shared.stdout.clone() } else { kept };
        let stderr = if visibility == Visibility::Hidden { Stream::capture().0 } else { shared.stderr.clone() };
        let quiet = shared.options.quiet || visibility == Visibility::Hidden;
        let options = PrinterOptions { json: false, no_input: true, quiet, ..shared.options };
        let terminal = TerminalState {
            stdin: true,
            stdout: shared.terminal.stdout && visibility == Visibility::All,
            ..shared.terminal
        };
        let moving = terminal.stderr && !terminal.dumb && !stderr.is_captured();
        let progress = Progress::new(moving, quiet);
        (Self(Arc::new(Shared { options, terminal, stdout, stderr, progress, nested: true })), memory)
    }

    fn on(options: PrinterOptions, terminal: TerminalState, stdout: Stream, stderr: Stream) -> Self {
        // Captured output must not draw on the real terminal.
        let moving = terminal.stderr && !terminal.dumb && !options.json && !stderr.is_captured();
        let progress = Progress::new(moving, options.quiet);
        Self(Arc::new(Shared { options, terminal, stdout, stderr, progress, nested: false }))
    }

    /// Results and errors are JSON.
    pub fn is_json(&self) -> bool {
        self.0.options.json
    }

    /// Only warnings and errors are printed.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub fn is_quiet(&self) -> bool {
        self.0.options.quiet
    }

    /// This is the printer of a command that runs within another, see [`Printer::nested`].
    pub fn is_nested(&self) -> bool {
        self.0.nested
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::PromptError;

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
        printer.error_json("sign_in_needed", 4, "no \u{202e}", None, &[("retry_after_s", 7.into())]);
        assert_eq!(
            err.text(),
            "{\"error\":{\"code\":\"sign_in_needed\",\"exit_code\":4,\"message\":\"no \\u202e\",\"hint\":null,\"retry_after_s\":7}}\n"
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
