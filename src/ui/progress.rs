//! Movement on stderr: a spinner for waiting and a bar a layer for pulls. Where stderr is no terminal nothing moves, and
//! a pull says each new status on a line of its own. Quiet shows neither.

use super::Printer;
use super::sanitize::clean;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

/// Time between two frames of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Hex digits of a digest that are shown.
const SHORT_DIGEST: usize = 12;

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
        Self {
            moving: moving && !quiet,
            quiet,
            area: OnceLock::new(),
        }
    }

    /// Takes the moving lines away while `write` runs.
    pub(super) fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        match self.area.get() {
            Some(area) => area.suspend(write),
            None => write(),
        }
    }

    fn add(&self, bar: ProgressBar) -> Option<ProgressBar> {
        let area = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        self.moving.then(|| self.area.get_or_init(area).add(bar))
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
        let bar =
            progress.add(ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}")));
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
    /// By digest, in order of appearance. A model has about a dozen layers.
    layers: Vec<(String, ProgressBar)>,
    /// What was said where nothing moves. Layers are fetched side by side, so their lines come in turns.
    said: HashSet<String>,
}

impl LayerBars {
    pub(super) fn new(printer: Printer) -> Self {
        Self {
            printer,
            status: None,
            layers: Vec::new(),
            said: HashSet::new(),
        }
    }

    /// Takes over one status line: `status` as the server words it, and for a layer its digest and sizes in bytes.
    pub fn update(
        &mut self,
        status: &str,
        digest: Option<&str>,
        total: Option<u64>,
        completed: Option<u64>,
    ) {
        let progress = self.printer.progress();
        if progress.quiet {
            return;
        }
        if !progress.moving {
            if self.said.insert(status.to_owned()) {
                self.printer.note(status);
            }
            return;
        }
        match (digest, total) {
            (Some(digest), Some(total)) => self.layer(digest, total, completed.unwrap_or(0)),
            _ => self.plain(status),
        }
    }

    /// Takes the bars off the screen.
    pub fn clear(self) {}

    fn layer(&mut self, digest: &str, total: u64, completed: u64) {
        if let Some(status) = self.status.take() {
            status.finish_and_clear();
        }
        let at = match self.layers.iter().position(|(known, _)| known == digest) {
            Some(at) => at,
            None => {
                let short = digest
                    .rsplit(':')
                    .next()
                    .unwrap_or(digest)
                    .chars()
                    .take(SHORT_DIGEST)
                    .collect::<String>();
                let style = style("{prefix:12} {bar:24} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}").progress_chars("##-");
                let bar = ProgressBar::new(total).with_style(style);
                let Some(bar) = self.printer.progress().add(bar) else {
                    return;
                };
                bar.set_prefix(clean(&short).into_owned());
                // What an earlier pull had already fetched says nothing about the rate.
                bar.set_position(completed);
                bar.reset_eta();
                self.layers.push((digest.to_owned(), bar));
                self.layers.len() - 1
            }
        };
        let bar = &self.layers[at].1;
        bar.set_length(total);
        bar.set_position(completed.min(total));
        if completed >= total && !bar.is_finished() {
            bar.abandon();
        }
    }

    fn plain(&mut self, status: &str) {
        if self.status.is_none() {
            self.status = self
                .printer
                .progress()
                .add(ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}")));
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
            bars.update(
                "pulling ba9876543210",
                Some("sha256:ba9876543210fedc"),
                Some(9),
                Some(done),
            );
            bars.update(
                "pulling 0123456789ab",
                Some("sha256:0123456789abcdef"),
                Some(5),
                Some(done),
            );
        }
        bars.update("success", None, None, None);
        bars.clear();
    }

    #[test]
    fn without_a_terminal_each_status_is_said_once() {
        let (printer, out, err) =
            Printer::in_memory(PrinterOptions::default(), TerminalState::default());
        pull(&printer);
        printer.spinner("waiting").clear();
        assert_eq!(
            err.text(),
            "pulling manifest\npulling ba9876543210\npulling 0123456789ab\nsuccess\n"
        );
        assert!(out.is_empty());
    }

    #[test]
    fn quiet_says_nothing() {
        let (printer, _, err) = Printer::in_memory(
            PrinterOptions {
                quiet: true,
                ..PrinterOptions::default()
            },
            TerminalState::default(),
        );
        pull(&printer);
        printer.spinner("waiting").clear();
        assert!(err.is_empty());
    }
}
