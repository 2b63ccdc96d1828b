//! Movement on stderr: a spinner for waiting and a bar a layer for pulls. Where stderr is no terminal nothing moves, and
//! a pull says each new status on a line of its own. Quiet shows neither.

use super::Printer;
use super::sanitize::clean;
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::collections::HashSet;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

/// Time between two frames of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Hex digits of a digest that are shown.
const SHORT_DIGEST: usize = 12;

/// Layers that are shown at once. A model has about a dozen; a host can name as many as it likes.
const MOST_LAYERS: usize = 16;

/// Lines that are said of one pull where nothing moves, likewise.
const MOST_SAID: usize = 200;

/// Characters of a status that are shown.
const LONGEST_STATUS: usize = 200;

/// Columns of a terminal that has room for a bar beside the numbers.
const WIDE: u16 = 80;

/// The area of moving lines that a printer's spinners and bars share, so that other lines can be put above it.
#[derive(Debug)]
pub(super) struct Progress {
    moving: bool,
    quiet: bool,
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
    fn remove(&self, bar: &ProgressBar) {
        if let Some(area) = self.area.get() {
            area.remove(bar);
        }
    }

    fn add(&self, bar: ProgressBar) -> Option<ProgressBar> {
        let target = || ProgressDrawTarget::term_like_with_hz(Box::new(Margin::stderr()), 20);
        let area = || MultiProgress::with_draw_target(target());
        self.moving.then(|| self.area.get_or_init(area).add(bar))
    }
}

/// stderr, said to be a little narrower than it is, with the lines broken there.
///
/// indicatif fills every line up and leaves it to the terminal's own margin to begin the next. There a terminal echoes Ctrl-C
/// as `^C` on a line below, and the one that is then cleared is the wrong one.
#[derive(Debug)]
struct Margin {
    terminal: Term,
    /// Columns written since the start of the line.
    column: AtomicUsize,
}

/// Columns of `^C`, and the last one, where a terminal defers the wrap.
const MARGIN: u16 = 3;

impl Margin {
    fn stderr() -> Self {
        Self { terminal: Term::buffered_stderr(), column: AtomicUsize::new(0) }
    }

    fn start_of_line(&self) {
        self.column.store(0, Ordering::Relaxed);
    }
}

impl TermLike for Margin {
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
fn style(template: &str) -> ProgressStyle {
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

/// The progress of a pull or push, fed with the server's status lines. Dropping it takes the bars off the screen:
/// what became of the pull is for its command to say.
#[derive(Debug)]
pub struct LayerBars {
    printer: Printer,
    /// The line without a bar, such as `pulling manifest`.
    status: Option<ProgressBar>,
    /// By digest, in order of appearance; at most [`MOST_LAYERS`], and no more than the terminal has lines for.
    layers: Vec<(String, ProgressBar)>,
    /// What was said where nothing moves. Layers are fetched side by side, so their lines come in turns.
    said: HashSet<String>,
}

impl LayerBars {
    pub(super) fn new(printer: Printer) -> Self {
        Self { printer, status: None, layers: Vec::new(), said: HashSet::new() }
    }

    /// Takes over one status line: `status` as the server words it, and for a layer its digest and sizes in bytes.
    pub fn update(&mut self, status: &str, digest: Option<&str>, total: Option<u64>, completed: Option<u64>) {
        let progress = self.printer.progress();
        if progress.quiet {
            return;
        }
        let status = match status.char_indices().nth(LONGEST_STATUS) {
            Some((end, _)) => &status[..end],
            None => status,
        };
        if !progress.moving {
            if self.said.len() < MOST_SAID && self.said.insert(status.to_owned()) {
                self.printer.note(status);
            }
            return;
        }
        match (digest, total) {
            (Some(digest), Some(total)) if self.has_room_for(digest) => {
                self.layer(digest, total, completed.unwrap_or(0));
            }
            _ => self.plain(status),
        }
    }

    /// Takes the bars off the screen.
    pub fn clear(self) {}

    /// Whether a layer is shown or can be; a finished one makes room.
    fn has_room_for(&mut self, digest: &str) -> bool {
        if self.layers.iter().any(|(known, _)| known == digest) {
            return true;
        }
        let lines = usize::from(Term::stderr().size().0).saturating_sub(2);
        if self.layers.len() < MOST_LAYERS.min(lines.max(1)) {
            return true;
        }
        let Some(finished) = self.layers.iter().position(|(_, bar)| bar.is_finished()) else {
            return false;
        };
        let (_, bar) = self.layers.remove(finished);
        bar.finish_and_clear();
        self.printer.progress().remove(&bar);
        true
    }

    fn layer(&mut self, digest: &str, total: u64, completed: u64) {
        if let Some(status) = self.status.take() {
            status.finish_and_clear();
        }
        let at = match self.layers.iter().position(|(known, _)| known == digest) {
            Some(at) => at,
            None => {
                let short = digest.rsplit(':').next().unwrap_or(digest).chars().take(SHORT_DIGEST).collect::<String>();
                // Sizes and rates from 1000 to 1023 of a unit take a column more than these say.
                let template = if Term::stderr().size().1 >= WIDE {
                    "{prefix:12} {bar:20} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}"
                } else {
                    "{prefix:12} {bytes}/{total_bytes} {eta}"
                };
                // What an earlier pull had already fetched says nothing about the rate.
                let bar = ProgressBar::new(total)
                    .with_style(style(template).progress_chars("##-"))
                    .with_position(completed.min(total));
                let Some(bar) = self.printer.progress().add(bar) else {
                    return;
                };
                bar.set_prefix(clean(&short).into_owned());
                bar.reset_eta();
                self.layers.push((digest.to_owned(), bar));
                self.layers.len() - 1
            }
        };
        let bar = &self.layers[at].1;
        // A layer whose digest was wrong is fetched again from its beginning.
        if completed < bar.position() {
            bar.reset();
        }
        bar.set_length(total);
        bar.set_position(completed.min(total));
        if completed >= total && !bar.is_finished() {
            bar.abandon();
        }
    }

    fn plain(&mut self, status: &str) {
        if self.status.is_none() {
            self.status =
                self.printer.progress().add(ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}")));
            if let Some(bar) = &self.status {
                bar.enable_steady_tick(TICK);
            }
        }
        if let Some(bar) = &self.status {
            bar.set_message(clean(status).into_owned());
        }
    }
}

impl Drop for LayerBars {
    fn drop(&mut self) {
        if let Some(status) = &self.status {
            status.finish_and_clear();
        }
        for (_, bar) in &self.layers {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Printer, PrinterOptions, TerminalState};

    fn pull(printer: &Printer) {
        let mut bars = printer.layer_bars();
        bars.update("pulling manifest", None, None, None);
        for done in 0..5 {
            bars.update("pulling ba9876543210", Some("sha256:ba9876543210fedc"), Some(9), Some(done));
            bars.update("pulling 0123456789ab", Some("sha256:0123456789abcdef"), Some(5), Some(done));
        }
        bars.update("success", None, None, None);
        bars.clear();
    }

    #[test]
    fn without_a_terminal_each_status_is_said_once() {
        let (printer, out, err) = Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        pull(&printer);
        printer.spinner("waiting").clear();
        assert_eq!(err.text(), "pulling manifest\npulling ba9876543210\npulling 0123456789ab\nsuccess\n");
        assert!(out.is_empty());
    }

    #[test]
    fn a_host_cannot_fill_a_log() {
        let (printer, _, err) = Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        let mut bars = printer.layer_bars();
        for number in 0..100_000 {
            bars.update(&format!("pulling {number} {}", "x".repeat(1000)), None, None, None);
        }
        assert_eq!(err.text().lines().count(), super::MOST_SAID);
        assert!(err.text().lines().all(|line| line.len() == super::LONGEST_STATUS));
    }

    #[test]
    fn quiet_says_nothing() {
        let (printer, _, err) =
            Printer::in_memory(PrinterOptions { quiet: true, ..PrinterOptions::default() }, TerminalState::default());
        pull(&printer);
        printer.spinner("waiting").clear();
        assert!(err.is_empty());
    }
}
