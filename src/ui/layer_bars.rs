//! The progress of a pull or push on stderr: one bar for each layer. Where stderr is not a terminal, each new status is a line of its own.

use super::Printer;
use super::progress::{TICK, style};
use super::sanitize::clean;
use console::Term;
use indicatif::ProgressBar;
use std::collections::HashSet;

/// Hex digits of a digest that are shown.
const SHORT_DIGEST: usize = 12;

/// Layers that are shown at once. A model has about a dozen; a host can name as many as it likes.
const MAX_LAYERS: usize = 16;

/// Lines that are printed for one pull where nothing moves, for the same reason.
const MAX_STATUS_LINES: usize = 200;

/// Characters of a status that are shown.
const MAX_STATUS_CHARS: usize = 200;

/// Columns of a terminal that has room for a bar beside the numbers.
const WIDE: u16 = 80;

/// The progress of a pull or push, fed with the server's status lines. Dropping it takes the bars off the screen:
/// what became of the pull is for its command to say.
#[derive(Debug)]
pub struct LayerBars {
    printer: Printer,
    /// The line without a bar, such as `pulling manifest`.
    status: Option<ProgressBar>,
    /// By digest, in order of appearance; at most [`MAX_LAYERS`], and no more than the terminal has lines for.
    layers: Vec<(String, ProgressBar)>,
    /// The statuses printed so far where nothing moves. Layers are fetched side by side, so their lines come in turns.
    printed_statuses: HashSet<String>,
}

impl Printer {
    /// Progress bars on stderr for a pull or push; plain lines where stderr is not a terminal.
    pub fn layer_bars(&self) -> LayerBars {
        LayerBars { printer: self.clone(), status: None, layers: Vec::new(), printed_statuses: HashSet::new() }
    }
}

impl LayerBars {
    /// Takes over one status line: `status` as the server words it, and for a layer its digest and sizes in bytes.
    pub fn update(&mut self, status: &str, digest: Option<&str>, total: Option<u64>, completed: Option<u64>) {
        let progress = self.printer.progress();
        if progress.quiet {
            return;
        }
        let status = match status.char_indices().nth(MAX_STATUS_CHARS) {
            Some((end, _)) => &status[..end],
            None => status,
        };
        if !progress.moving {
            if self.printed_statuses.len() < MAX_STATUS_LINES && self.printed_statuses.insert(status.to_owned()) {
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
        if self.layers.len() < MAX_LAYERS.min(lines.max(1)) {
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
    use crate::ui::{Printer, PrinterOptions, TerminalState};

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
        assert_eq!(err.text().lines().count(), super::MAX_STATUS_LINES);
        assert!(err.text().lines().all(|line| line.len() == super::MAX_STATUS_CHARS));
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
