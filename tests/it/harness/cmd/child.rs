//! A running program: its output so far, its arguments and environment, signals, and its exit.

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{self, Command},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Output;

/// What a pipe has given so far.
#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    ended: bool,
}

type Pipe = Arc<(Mutex<Capture>, Condvar)>;

/// Also after a wait that failed the test while it held the lock: the readers are to end quietly.
fn lock(pipe: &Pipe) -> MutexGuard<'_, Capture> {
    pipe.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program while it runs. Its process group is killed at drop, or when the deadline is over.
pub struct Child {
    child: process::Child,
    started: Instant,
    deadline: Duration,
    stdout: Pipe,
    stderr: Pipe,
    root: PathBuf,
    name: String,
    reaped: bool,
}

impl Child {
    pub(super) fn spawn(mut command: Command, stdin: Option<Vec<u8>>, deadline: Duration, root: PathBuf) -> Self {
        // The arguments alone: the environment may hold a secret of the test.
        let name = format!("{:?} {:?}", command.get_program(), command.get_args());
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program may leave its stdin unread: a broken pipe is not an error.
            std::thread::spawn(move || {
                let _ = pipe.write_all(&bytes);
            });
        }
        Self {
            stdout: capture(child.stdout.take()),
            stderr: capture(child.stderr.take()),
            child,
            started,
            deadline,
            root,
            name,
            reaped: false,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `ps` shows every user of the machine.
    pub fn cmdline(&self) -> Vec<u8> {
        self.proc("cmdline")
    }

    /// The environment it was started with.
    pub fn environ(&self) -> Vec<u8> {
        self.proc("environ")
    }

    fn proc(&self, file: &str) -> Vec<u8> {
        let path = format!("/proc/{}/{file}", self.pid());
        fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits until stdout satisfies `done`, and gives it. Panics at the deadline, or when the output has ended.
    pub fn wait_stdout(&self, done: impl Fn(&str) -> bool) -> String {
        self.wait_for("stdout", &self.stdout, done)
    }

    /// The same for stderr.
    pub fn wait_stderr(&self, done: impl Fn(&str) -> bool) -> String {
        self.wait_for("stderr", &self.stderr, done)
    }

    fn wait_for(&self, what: &str, pipe: &Pipe, done: impl Fn(&str) -> bool) -> String {
        let end = self.started + self.deadline;
        let mut capture = lock(pipe);
        loop {
            let text = String::from_utf8_lossy(&capture.bytes).into_owned();
            if done(&text) {
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !capture.ended && !left.is_zero(),
                "{}: timed out waiting for its {what}, which is: {text:?}",
                self.name
            );
            capture = pipe.1.wait_timeout(capture, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.rustix_pid(), signal).expect("a process that takes signals");
    }

    /// Waits until its threads have gone to sleep so many times more: so long something in it wakes up again and again.
    pub fn wait_sleeps(&self, count: u64) {
        let tasks = format!("/proc/{}/task", self.pid());
        let sleeps = || -> u64 {
            let tasks = std::fs::read_dir(&tasks).expect("the threads of a process").flatten();
            let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
            let count = |status: String| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
            };
            status.filter_map(count).sum()
        };
        let until = sleeps() + count;
        crate::harness::poll("a process that wakes up", || (sleeps() >= until).then_some(()));
    }

    /// Sends what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn rustix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a process id")
    }

    /// Waits for its end; kills it and fails at the deadline. Fails too when something it started keeps its output
    /// open.
    pub fn finish(mut self) -> Output {
        let end = self.started + self.deadline;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            if Instant::now() >= end {
                let (out, err) = (self.text(&self.stdout), self.text(&self.stderr));
                panic!("{} did not end within {:?}\nstdout: {out:?}\nstderr: {err:?}", self.name, self.deadline);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let duration = self.started.elapsed();
        self.reaped = true;
        let mut streams = [&self.stdout, &self.stderr].map(|pipe| {
            let capture = lock(pipe);
            let (mut capture, _) = pipe
                .1
                .wait_timeout_while(capture, Duration::from_secs(10), |c| !c.ended)
                .unwrap_or_else(PoisonError::into_inner);
            assert!(capture.ended, "{} ended, but something it started keeps its output open", self.name);
            std::mem::take(&mut capture.bytes)
        });
        Output {
            status,
            stdout: std::mem::take(&mut streams[0]),
            stderr: std::mem::take(&mut streams[1]),
            duration,
            root: self.root.clone(),
        }
    }

    fn text(&self, pipe: &Pipe) -> String {
        let capture = lock(pipe);
        String::from_utf8_lossy(&capture.bytes).into_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let _ = kill_process_group(self.rustix_pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn capture(source: Option<impl Read + Send + 'static>) -> Pipe {
    let pipe = Pipe::default();
    let mut source = source.expect("a piped output");
    let writer = pipe.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        loop {
            let read = source.read(&mut buffer).unwrap_or(0);
            let mut capture = lock(&writer);
            capture.bytes.extend_from_slice(&buffer[..read]);
            capture.ended = read == 0;
            writer.1.notify_all();
            if read == 0 {
                return;
            }
        }
    });
    pipe
}
