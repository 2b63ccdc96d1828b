//! Runs the program in a pseudo-terminal, as a person would: keys go in, a screen (vt100) comes out. Waiting wakes with
//! the output, and ends at a deadline.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    num::NonZeroU16,
    os::unix::fs::OpenOptionsExt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::{
    fs::OFlags,
    termios::{LocalModes, tcgetattr},
};

use super::{
    DEADLINE,
    cmd::{PROGRAM, Sandbox},
};

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
    exit: Option<ExitStatus>,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// Also after a wait that failed the test while it held the lock: the threads are to end quietly.
fn lock(shared: &Shared) -> MutexGuard<'_, Seen> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program in a terminal. Killed at drop when it still runs.
pub struct Terminal {
    shared: Shared,
    master: Box<dyn MasterPty + Send>,
    /// Kept open so that the terminal's modes outlive the program and can be looked at.
    slave: Option<Box<dyn SlavePty + Send>>,
    keys: Box<dyn Write + Send>,
    killer: Box<dyn portable_pty::ChildKiller + Send + Sync>,
    pid: Option<u32>,
}

/// Size of a terminal in cells.
fn cells(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn nonzero(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).expect("a terminal has rows and columns")
}

impl Terminal {
    /// The program under test in a terminal of 80 by 24.
    pub fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        Self::start_program(sandbox, PROGRAM, args, 80, 24)
    }

    /// The program under test in a terminal of that size.
    pub fn start_sized(sandbox: &Sandbox, args: &[&str], columns: u16, rows: u16) -> Self {
        Self::start_program(sandbox, PROGRAM, args, columns, rows)
    }

    /// Any program, in the sandbox's environment with `TERM=xterm-256color`.
    pub fn start_program(sandbox: &Sandbox, program: &str, args: &[&str], columns: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(cells(columns, rows)).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        for (name, value) in sandbox.env() {
            command.env(name, value);
        }
        command.cwd(sandbox.home());
        let mut child =
            pair.slave.spawn_command(command).unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let shared: Shared = Arc::new((
            Mutex::new(Seen {
                parser: vt100::Parser::new(nonzero(rows), nonzero(columns), 10_000),
                raw: Vec::new(),
                ended: false,
                exit: None,
            }),
            Condvar::new(),
        ));
        let mut reader = pair.master.try_clone_reader().expect("a terminal to read");
        let keys = pair.master.take_writer().expect("a terminal to write to");
        let (killer, pid) = (child.clone_killer(), child.process_id());
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                let mut buffer = [0; 16 << 10];
                loop {
                    // The end of a terminal shows as an error (EIO), not as an empty read. Linux looks for bytes first and for the end
                    // then: what is written in between is left for the read after the error.
                    let read = match reader.read(&mut buffer) {
                        Ok(read) if read > 0 => read,
                        _ => reader.read(&mut buffer).unwrap_or(0),
                    };
                    let mut seen = lock(&shared);
                    seen.parser.process(&buffer[..read]);
                    seen.raw.extend_from_slice(&buffer[..read]);
                    seen.ended = read == 0;
                    shared.1.notify_all();
                    if read == 0 {
                        return;
                    }
                }
            }
        });
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                let exit = child.wait().expect("a child that can be waited for");
                lock(&shared).exit = Some(exit);
                shared.1.notify_all();
            }
        });
        Self { shared, master: pair.master, slave: Some(pair.slave), keys, killer, pid }
    }

    /// Types. Enter is `\r`, Ctrl-C is `\x03`, Ctrl-D is `\x04`, Escape is `\x1b`.
    pub fn send(&mut self, keys: &str) {
        self.send_bytes(keys.as_bytes());
    }

    /// The same for what need not be UTF-8.
    pub fn send_bytes(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).and_then(|()| self.keys.flush()).expect("a terminal that takes keys");
    }

    /// Changes the size; the program gets SIGWINCH.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut seen = lock(&self.shared);
        seen.parser.screen_mut().set_size(nonzero(rows), nonzero(columns));
        self.master.resize(cells(columns, rows)).expect("a terminal that can be resized");
    }

    /// Waits until the screen's text satisfies `done`, and gives it. Panics with the screen at the deadline.
    pub fn wait_for(&self, done: impl Fn(&str) -> bool) -> String {
        self.wait("the screen", DEADLINE, |seen| {
            let text = seen.parser.screen().contents();
            done(&text).then_some(text)
        })
    }

    /// Waits until the screen shows this text.
    pub fn wait_text(&self, text: &str) -> String {
        self.wait(&format!("{text:?}"), DEADLINE, |seen| {
            let screen = seen.parser.screen().contents();
            screen.contains(text).then_some(screen)
        })
    }

    /// Waits until the raw bytes satisfy `done`.
    pub fn wait_raw(&self, done: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        self.wait("the bytes", DEADLINE, |seen| done(&seen.raw).then(|| seen.raw.clone()))
    }

    fn wait<T>(&self, what: &str, time: Duration, ask: impl Fn(&Seen) -> Option<T>) -> T {
        let end = Instant::now() + time;
        let mut seen = lock(&self.shared);
        loop {
            if let Some(answer) = ask(&seen) {
                return answer;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !seen.ended,
                "timed out waiting for {what} (exit: {:?}); the screen:\n{}",
                seen.exit,
                seen.parser.screen().contents()
            );
            seen = self.shared.1.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The text on the screen: lines without trailing blanks.
    pub fn screen(&self) -> String {
        self.look(|screen| screen.contents())
    }

    /// Anything else of the screen: cursor, attributes, alternate screen, hidden cursor.
    pub fn look<T>(&self, ask: impl FnOnce(&vt100::Screen) -> T) -> T {
        ask(lock(&self.shared).parser.screen())
    }

    /// Every byte the program wrote to the terminal (as the terminal passes it on: `\n` as `\r\n`).
    pub fn raw(&self) -> Vec<u8> {
        lock(&self.shared).raw.clone()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a process that takes signals");
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.expect("a process that has an id")
    }

    /// Whether the terminal is as a shell expects it: echo, line editing by the terminal, and signals by key are on.
    /// Also true of the time after the program's end, until [`finish`](Self::finish).
    pub fn is_restored(&self) -> bool {
        let name = self.master.tty_name().expect("the name of the terminal");
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let terminal = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&name)
            .unwrap_or_else(|error| panic!("{}: {error}", name.display()));
        let modes = tcgetattr(&terminal).expect("the modes of a terminal");
        let wanted = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        modes.local_modes.contains(wanted)
    }

    /// Waits for the program's end and gives its exit code (128 + N for signal N is what a shell would show; here a
    /// signal is a panic, as no test wants it).
    pub fn wait_exit(&self) -> u32 {
        let exit = self.wait("its end", DEADLINE, |seen| seen.exit.clone());
        if let Some(signal) = exit.signal() {
            panic!("killed by {signal}; the screen:\n{}", self.screen());
        }
        exit.exit_code()
    }

    /// [`wait_exit`](Self::wait_exit), then everything that was still on its way to the screen. Gives exit code,
    /// screen, and whether the terminal was restored.
    pub fn finish(mut self) -> Finished {
        let code = self.wait_exit();
        let restored = self.is_restored();
        // With the last holder of the terminal gone, the reader comes to its end.
        self.slave = None;
        let seen = lock(&self.shared);
        let (seen, _) = self
            .shared
            .1
            .wait_timeout_while(seen, DEADLINE, |seen| !seen.ended)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(seen.ended, "something keeps the terminal open");
        Finished {
            code,
            restored,
            screen: seen.parser.screen().contents(),
            hidden_cursor: seen.parser.screen().hide_cursor(),
            column: seen.parser.screen().cursor_position().1,
            raw: seen.raw.clone(),
        }
    }
}

/// What is left when the program in a terminal has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit code.
    pub code: u32,
    /// Whether echo, line editing and signals were on again.
    pub restored: bool,
    /// The text on the screen.
    pub screen: String,
    /// Whether the cursor was left hidden.
    pub hidden_cursor: bool,
    /// The cursor's column, from 0: where a shell would put its prompt.
    pub column: u16,
    /// Every byte.
    pub raw: Vec<u8>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let running = lock(&self.shared).exit.is_none();
        if running {
            let _ = self.killer.kill();
        }
    }
}
