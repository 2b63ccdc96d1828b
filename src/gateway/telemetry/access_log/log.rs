//! The access log that the configuration has now, which a reload may replace.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::counts::LineCounts;
use super::fields::write_fields;
use super::line::LineWriter;
use super::settings::{AccessLogFormat, AccessLogSettings, AccessLogTarget};
use super::timestamp::CachedTimestamp;
use super::writer::Writer;
use crate::gateway::telemetry::summary::RequestSummary;

/// How long the gateway waits at its end for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest line for which memory stays reserved.
const USUAL_LENGTH: usize = 4 << 10;

/// See the module.
#[derive(Default)]
pub struct AccessLog {
    is_on: AtomicBool,
    /// Read for each request until its line is in the buffer: after a change none is added to an earlier one.
    active: RwLock<Option<Active>>,
    /// All that may still have lines to write.
    writers: Mutex<Vec<Arc<Writer>>>,
    counts: Arc<LineCounts>,
}

struct Active {
    writer: Arc<Writer>,
    format: AccessLogFormat,
}

/// What a thread uses for each of its lines.
#[derive(Default)]
struct Scratch {
    time: CachedTimestamp,
    line: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl AccessLog {
    /// Whether requests are logged.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Logs the requests that end from now on there, or not at all. Lines that were added before are written where they were to go. A file that cannot be
    /// opened is told in the log of the process, and tried again for each batch of lines.
    pub fn configure(&self, settings: Option<&AccessLogSettings>) {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.retain(|writer| !writer.buffer.has_ended());
        let active = settings.and_then(|settings| {
            let writer = self.writer(&mut writers, &settings.target)?;
            Some(Active { writer, format: settings.format })
        });
        let current = active.as_ref().map(|active| active.writer.clone());
        self.is_on.store(active.is_some(), Ordering::Relaxed);
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active;
        for writer in writers.iter().filter(|writer| !current.as_ref().is_some_and(|it| Arc::ptr_eq(it, writer))) {
            writer.buffer.close();
        }
    }

    /// The one for that target: of an earlier configuration, or a new one.
    fn writer(&self, writers: &mut Vec<Arc<Writer>>, target: &AccessLogTarget) -> Option<Arc<Writer>> {
        let earlier = writers.iter().find(|writer| writer.target == *target && writer.buffer.reopen());
        if let Some(earlier) = earlier {
            return Some(earlier.clone());
        }
        match Writer::start(target, &self.counts) {
            Ok(writer) => {
                let writer = Arc::new(writer);
                writers.push(writer.clone());
                Some(writer)
            }
            Err(error) => {
                tracing::error!(%error, "cannot start the access log: requests are not logged");
                None
            }
        }
    }

    /// Logs a request that ended at `now`, in Unix seconds.
    pub fn record(&self, now: i64, request: &RequestSummary) {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let Some(active) = &*active else { return };
        let record = |scratch: &mut Scratch| {
            let Scratch { time, line } = scratch;
            line.clear();
            let mut fields = LineWriter::begin(line, active.format);
            write_fields(&mut fields, time.text(now), request);
            fields.end();
            if !active.writer.buffer.push(line) {
                self.counts.add_dropped(1, &active.writer.name, "lines are not written fast enough");
            }
            line.shrink_to(USUAL_LENGTH);
        };
        // A thread that ends may have dropped its own already.
        if SCRATCH.try_with(|scratch| record(&mut scratch.borrow_mut())).is_err() {
            record(&mut Scratch::default());
        }
    }

    /// Writes what waits, and ends. A disk or a reader that takes nothing is waited for two seconds.
    pub fn finish(&self) {
        self.configure(None);
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        let until = Instant::now() + PATIENCE;
        for writer in writers {
            let unwritten = writer.buffer.wait(until.saturating_duration_since(Instant::now()));
            if unwritten > 0 {
                self.counts.add_lost(unwritten, &writer.name);
            }
        }
    }

    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.counts.written()
    }

    /// Lines that were dropped: there was no room for them, or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use axum::http::Method;

    use super::*;
    use crate::gateway::origin::Origin;

    fn to_file(path: &Path) -> AccessLogSettings {
        AccessLogSettings { target: AccessLogTarget::File(path.to_owned()), format: AccessLogFormat::Logfmt }
    }

    fn request() -> RequestSummary {
        RequestSummary {
            origin: Origin::new([192, 0, 2, 7].into()),
            method: Method::GET,
            route: "/",
            trace: None,
            caller: None,
            status: 200,
            code: None,
            total: Duration::ZERO,
            bytes: 0,
            inference: None,
        }
    }

    #[test]
    fn no_line_is_lost_while_it_is_switched() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        let log = AccessLog::default();
        let settings = files.each_ref().map(|path| to_file(path));
        log.configure(Some(&settings[0]));
        let json = AccessLogSettings { format: AccessLogFormat::Json, ..settings[1].clone() };
        std::thread::scope(|scope| {
            let recording: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..2000).for_each(|_| log.record(0, &request())))).collect();
            for settings in [&settings[1], &json, &settings[0]].into_iter().cycle().take(60) {
                log.configure(Some(settings));
                std::thread::yield_now();
            }
            recording.into_iter().for_each(|thread| thread.join().unwrap());
        });
        log.finish();
        assert!(!log.is_on());
        log.record(0, &request());
        let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
        assert_eq!(text.lines().count(), 8000);
        assert!(text.lines().all(|line| line.starts_with("time=1970") || line.starts_with("{\"time\":\"1970")));
        assert_eq!((log.written(), log.dropped()), (8000, 0));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/access.log");
        let log = AccessLog::default();
        log.configure(Some(&to_file(&path)));
        for _ in 0..5 {
            log.record(0, &request());
        }
        log.finish();
        assert_eq!((log.written(), log.dropped()), (0, 5));
        // Once it can be opened, it is written to.
        fs::create_dir(path.parent().unwrap()).unwrap();
        log.configure(Some(&to_file(&path)));
        log.record(0, &request());
        log.finish();
        assert_eq!((log.written(), log.dropped()), (1, 5));
    }
}
