//! The thread of a sink: a file or a pipe may keep it waiting for as long as it likes, and nothing else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::file::FileOutput;
use super::line::SinkRecord;
use super::output::Output;
use super::settings::SinkTarget;
use super::stdout::StdoutOutput;
use super::syslog::SyslogOutput;
use crate::disk::{DiskError, write_atomic};

/// What became of a batch that was written.
pub struct Written {
    /// Why the position could not be kept: after a restart the batch is written again.
    pub kept: Result<(), DiskError>,
}

enum Job {
    Write { records: Vec<SinkRecord>, position: Vec<u8>, answer: oneshot::Sender<io::Result<Written>> },
    Rest,
}

/// The thread, which ends when this is dropped and it waits for nothing.
pub struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
    is_given_up: Arc<AtomicBool>,
}

impl Writer {
    /// Starts it. It keeps the position in that file.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(name: &str, target: &SinkTarget, position_file: PathBuf) -> io::Result<Self> {
        let mut output: Box<dyn Output> = match target {
            SinkTarget::Stdout => Box::new(StdoutOutput),
            SinkTarget::File(path) => Box::new(FileOutput::new(path.clone())),
            SinkTarget::Syslog(path) => Box::new(SyslogOutput::new(path.clone())),
        };
        let (jobs, mut take) = mpsc::unbounded_channel();
        let is_given_up = Arc::<AtomicBool>::default();
        let given_up = is_given_up.clone();
        let work = move || {
            while let Some(job) = take.blocking_recv() {
                match job {
                    Job::Rest => output.rest(),
                    Job::Write { records, position, answer } => {
                        let written = output.write(&records).map(|()| {
                            // Another sink of that name may have got further.
                            let is_given_up = given_up.load(Ordering::Acquire);
                            let kept = if is_given_up { Ok(()) } else { write_atomic(&position_file, &position) };
                            Written { kept }
                        });
                        let _ = answer.send(written);
                    }
                }
            }
        };
        std::thread::Builder::new().name(format!("sink-{name}")).spawn(work)?;
        Ok(Self { jobs, is_given_up })
    }

    /// Writes records, and then keeps the position.
    ///
    /// # Errors
    /// What keeps it from writing.
    pub async fn write(&self, records: Vec<SinkRecord>, position: Vec<u8>) -> io::Result<Written> {
        let ended = || io::Error::other("its thread has ended");
        let (answer, written) = oneshot::channel();
        self.jobs.send(Job::Write { records, position, answer }).map_err(|_| ended())?;
        written.await.map_err(|_| ended())?
    }

    /// There is nothing to write now.
    pub fn rest(&self) {
        let _ = self.jobs.send(Job::Rest);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::Release);
    }
}
