//! Movement on stderr: a spinner for waiting, and the area that it shares with the bars of a pull. Where stderr is not a terminal
//! nothing moves. Quiet shows neither.

use super::sanitize::clean;
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

/// Time between two frames of the spinner.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The area of moving lines that a printer's spinners and bars share, so that other lines can be put above it.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) moving: bool,
    pub(super) quiet: bool,
    /// Made when the first line moves: most commands never need it.
    area: OnceLock<MultiProgress>,
}

impl Progress {
    pub(super) fn new(moving: bool, quiet: bool) -> Self {
        Self { moving: moving && !quiet, quiet, area: OnceLock::new() }
    }

    /// Takes the moving lines away while `write` runs.
    pub(super) fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        match self.area.get() {
            Some(area) => area.suspend(write),
            None => write(),
        }
    }

    /// Forgets a line that was added.
    pub(super) fn remove(&self, bar: &ProgressBar) {
        if let Some(area) = self.area.get() {
            area.remove(bar);
        }
    }

    pub(super) fn add(&self, bar: ProgressBar) -> Option<ProgressBar> {
        let target = || ProgressDrawTarget::term_like_with_hz(Box::new(NarrowedTerminal::stderr()), 20);
        let area = || MultiProgress::with_draw_target(target());
        self.moving.then(|| self.area.get_or_init(area).add(bar))
    }
}

/// stderr, reported a little narrower than it is, with the lines broken there.
///
/// indicatif fills every line up and leaves it to the terminal's own margin to begin the next. There a terminal echoes Ctrl-C
/// as `^C` on a line below, and the one that is then cleared is the wrong one.
#[derive(Debug)]
struct NarrowedTerminal {
    terminal: Term,
    /// Columns written since the start of the line.
    column: AtomicUsize,
}

/// Columns of `^C`, and the last one, where a terminal defers the wrap.
const MARGIN: u16 = 3;

impl NarrowedTerminal {
    fn stderr() -> Self {
        Self { terminal: Term::buffered_stderr(), column: AtomicUsize::new(0) }
    }

    fn start_of_line(&self) {
        self.column.store(0, Ordering::Relaxed);
    }
}

impl TermLike for NarrowedTerminal {
    fn width(&self) -> u16 {
        TermLike::width(&self.terminal).saturating_sub(MARGIN).max(1)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.terminal)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_left(n)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)?;
        self.start_of_line();
        self.terminal.write_line("")
    }

    /// The templates hold no escape sequences, and messages are clean: every character is one to see.
    fn write_str(&self, text: &str) -> io::Result<()> {
        let limit = usize::from(TermLike::width(self));
        let mut column = self.column.load(Ordering::Relaxed);
        let mut broken = String::with_capacity(text.len() + 2);
        for character in text.chars() {
            let width = character.width().unwrap_or(0);
            if character == '\r' {
                column = 0;
            } else if width > 0 && column > 0 && column + width > limit {
                broken.push('\n');
                column = 0;
            }
            broken.push(character);
            column += width;
        }
        self.column.store(column, Ordering::Relaxed);
        self.terminal.write_str(&broken)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.start_of_line();
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.terminal.flush()
    }
}

/// indicatif's templates are constants here, so the fallback is never used.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A message beside something that turns. Dropping it takes it off the screen; the cursor is never hidden.
///
/// Clear it before model output begins on the same terminal.
#[derive(Debug)]
pub struct Spinner {
    bar: Option<ProgressBar>,
}

impl Spinner {
    pub(super) fn start(progress: &Progress, message: &str) -> Self {
        let bar = progress.add(ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}")));
        if let Some(bar) = &bar {
            bar.set_message(clean(message).into_owned());
            bar.enable_steady_tick(TICK);
        }
        Self { bar }
    }

    /// Takes it off the screen.
    pub fn clear(self) {}
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
