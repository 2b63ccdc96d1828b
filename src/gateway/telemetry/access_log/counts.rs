//! How many lines were written and dropped, and what the log of the process says about those that were dropped: at once, and then once a
//! minute as long as there are more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::os_error::without_codes;

/// Between two warnings.
const INTERVAL: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct LineCounts {
    written: AtomicU64,
    dropped: AtomicU64,
    report: Mutex<Report>,
}

#[derive(Debug, Default)]
struct Report {
    /// Dropped lines that no warning has told yet.
    untold: u64,
    last: Option<Instant>,
    /// Lines were dropped, and no batch was written in full since.
    is_failing: bool,
    /// A thread is about to write one: the log of the process may keep it waiting.
    is_writing: bool,
}

impl LineCounts {
    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// So many were written.
    pub fn add_written(&self, lines: u64) {
        self.written.fetch_add(lines, Ordering::Relaxed);
    }

    /// A whole batch was written.
    pub fn note_success(self: &Arc<Self>, target: &str) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if report.is_failing && !report.is_writing {
            report.is_failing = false;
            let (target, dropped) = (target.to_owned(), std::mem::take(&mut report.untold));
            self.tell(&mut report, move || tracing::info!(target, dropped, "access log works again"));
        }
    }

    /// So many were dropped, for that reason. 0: it does not work, before there is a line.
    pub fn add_dropped(self: &Arc<Self>, lines: u64, target: &str, reason: &str) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.untold += lines;
        report.is_failing = true;
        if report.is_writing || report.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        report.last = Some(Instant::now());
        let (target, dropped) = (target.to_owned(), std::mem::take(&mut report.untold));
        let error = without_codes(reason);
        self.tell(&mut report, move || {
            tracing::warn!(target, error, dropped, "access log does not work: lines are dropped until it does");
        });
    }

    /// So many were not written before the end of the gateway.
    pub fn add_lost(&self, lines: u64, target: &str) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        tracing::warn!(target, dropped = lines, "access log lines could not be written before the end");
    }

    /// Writes to the log of the process, on a thread of its own: requests must not wait for it.
    fn tell(self: &Arc<Self>, report: &mut Report, write: impl FnOnce() + Send + 'static) {
        let counts = self.clone();
        let telling = std::thread::Builder::new().name("access-log-warn".to_owned()).spawn(move || {
            write();
            counts.report.lock().unwrap_or_else(PoisonError::into_inner).is_writing = false;
        });
        report.is_writing = telling.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_and_told_once_a_minute() {
        let counts = Arc::<LineCounts>::default();
        for _ in 0..1000 {
            counts.add_dropped(1, "file x", "no space");
        }
        assert_eq!((counts.written(), counts.dropped()), (0, 1000));
        // The first one was told at once.
        assert_eq!(counts.report.lock().unwrap().untold, 999);
        counts.add_written(3);
        assert_eq!((counts.written(), counts.dropped()), (3, 1000));
    }
}
