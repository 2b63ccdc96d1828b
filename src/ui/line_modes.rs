//! The terminal's modes during a chat. Outside the line editor, keys are not echoed and wait unread, so that what is typed into
//! an answer appears at the next prompt; Ctrl-C and Ctrl-Z act at once. However the chat ends, the modes are restored.

#[cfg(unix)]
pub(super) use unix::{TerminalModes, end, suspend};

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, getsid, kill_current_process_group};
    use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
    use signal_hook::consts::{SIGSTOP, SIGTSTP};
    use signal_hook::iterator::Signals;

    use crate::ui::stream::Stream;

    /// A paste arrives between two marks, which distinguish it from typing.
    const MARK_PASTES: &[u8] = b"\x1b[?2004h";
    const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

    /// How the terminal was before the chat that is going on.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
    /// How often the process was stopped and went on.
    static STOPS: Mutex<u64> = Mutex::new(0);
    static STOPPED: Condvar = Condvar::new();
    static LISTEN: Once = Once::new();
    /// The cursor is behind a prompt.
    static READING: AtomicBool = AtomicBool::new(false);

    fn before() -> MutexGuard<'static, Option<Termios>> {
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_pastes(on: bool) {
        if let Ok(stdout) = Stream::stdout() {
            // A closed terminal needs no marks.
            let _ = stdout.write_all(if on { MARK_PASTES } else { MARK_NO_PASTES });
        }
    }

    fn set(modes: &Termios) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Drain, modes)?)
    }

    /// The modes of a chat, until this is dropped.
    #[derive(Debug)]
    pub struct TerminalModes(());

    impl TerminalModes {
        /// Takes the terminal on stdin. A simple one, where lines are edited by the terminal itself, is left as it is.
        ///
        /// # Errors
        /// When stdin is not a terminal.
        pub fn begin(simple: bool) -> io::Result<Self> {
            let found = tcgetattr(io::stdin())?;
            *before() = (!simple).then_some(found);
            LISTEN.call_once(watch_suspend_signal);
            let modes = Self(());
            modes.quiet()?;
            Ok(modes)
        }

        /// Keys are neither echoed nor read.
        ///
        /// # Errors
        /// When the terminal refuses.
        pub fn quiet(&self) -> io::Result<()> {
            let Some(mut modes) = before().clone() else { return Ok(()) };
            modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN);
            // Ctrl-C throws away nothing that was typed before it.
            modes.local_modes.insert(LocalModes::ISIG | LocalModes::NOFLSH);
            modes.input_modes.remove(InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            set(&modes)?;
            mark_pastes(true);
            Ok(())
        }

        /// Whether a line is being read from now on.
        pub fn reading(&self, on: bool) {
            READING.store(on, Ordering::SeqCst);
        }

        /// As it was before the chat, for another program.
        ///
        /// # Errors
        /// When the terminal refuses.
        pub fn lend(&self) -> io::Result<()> {
            let Some(modes) = before().clone() else { return Ok(()) };
            mark_pastes(false);
            set(&modes)
        }
    }

    impl Drop for TerminalModes {
        fn drop(&mut self) {
            end();
        }
    }

    /// Puts everything back, if a chat is going on. Also called where the process ends while another thread reads keys.
    pub fn end() {
        let Some(modes) = before().take() else { return };
        let _ = set(&modes);
        mark_pastes(false);
        if READING.swap(false, Ordering::SeqCst)
            && let Ok(stdout) = Stream::stdout()
        {
            // The next output, such as a shell's prompt, must start on its own line.
            let _ = stdout.write_all(b"\n");
        }
    }

    /// Stops the process group, as Ctrl-Z does elsewhere; returns when it continues. For the thread that reads keys itself.
    pub fn suspend() {
        let count = || STOPS.lock().unwrap_or_else(PoisonError::into_inner);
        let so_far = *count();
        if kill_current_process_group(Signal::TSTP).is_ok() {
            // Nothing happens where there is no shell to come back from.
            let _ = STOPPED.wait_timeout_while(count(), Duration::from_secs(1), |count| *count == so_far);
        }
    }

    /// From now on, a stop first puts the terminal back, and takes it again afterwards.
    fn watch_suspend_signal() {
        let Ok(mut signals) = Signals::new([SIGTSTP]) else { return };
        let watch = move || {
            for _ in signals.forever() {
                stop();
                *STOPS.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                STOPPED.notify_all();
            }
        };
        let _ = std::thread::Builder::new().name("suspend".to_owned()).spawn(watch);
    }

    fn stop() {
        let me = getpid();
        // Without a parent shell nothing could resume this process.
        if getsid(None).is_ok_and(|session| session == me) {
            return;
        }
        let chat = before().clone();
        let now = chat.as_ref().and_then(|_| tcgetattr(io::stdin()).ok());
        if let Some(modes) = &chat {
            let _ = set(modes);
            mark_pastes(false);
        }
        // To this thread: sent to the process, it could be taken by another one, and this one would run on for a while.
        let _ = signal_hook::low_level::raise(SIGSTOP);
        if let Some(modes) = now.filter(|_| before().is_some()) {
            let _ = set(&modes);
            mark_pastes(true);
        }
    }

    #[cfg(test)]
    mod tests {
        use std::fs::File;
        use std::io::Read as _;

        use portable_pty::{CommandBuilder, PtySize, native_pty_system};

        use super::*;

        /// What [`a_panic_puts_the_terminal_back`] runs in a terminal of its own.
        #[test]
        #[ignore = "takes the terminal on stdin, and panics"]
        fn panics_in_a_chat() {
            let modes = TerminalModes::begin(false).unwrap();
            modes.reading(true);
            let now = tcgetattr(io::stdin()).unwrap();
            assert!(!now.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON));
            panic!("as expected");
        }

        #[test]
        fn a_panic_puts_the_terminal_back() {
            let pair = native_pty_system().openpty(PtySize::default()).unwrap();
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            let path = pair.master.tty_name().unwrap();
            let terminal = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap());
            let before = tcgetattr(&terminal).unwrap();
            let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
            command.args(["--ignored", "--exact", "--nocapture", "ui::line_modes::unix::tests::panics_in_a_chat"]);
            let mut child = pair.slave.spawn_command(command).unwrap();
            let mut reader = pair.master.try_clone_reader().unwrap();
            drop(pair.slave);
            // Kept from filling up; it ends with the last holder of the terminal.
            let shown = std::thread::spawn(move || {
                let mut shown = Vec::new();
                let _ = reader.read_to_end(&mut shown);
                shown
            });
            child.wait().unwrap();
            let after = tcgetattr(&terminal).unwrap();
            drop(terminal);
            let shown = String::from_utf8_lossy(&shown.join().unwrap()).into_owned();
            assert!(shown.contains("as expected"), "{shown}");
            assert_eq!((after.local_modes, after.input_modes), (before.local_modes, before.input_modes));
            assert!(shown.rfind("\x1b[?2004l") > shown.rfind("\x1b[?2004h"), "{shown:?}");
        }
    }
}

#[cfg(not(unix))]
pub(super) use other::{TerminalModes, end};

#[cfg(not(unix))]
mod other {
    use std::io;

    /// Nothing is changed here: the console is read key by key anyway.
    #[derive(Debug)]
    pub struct TerminalModes(());

    impl TerminalModes {
        pub fn begin(_: bool) -> io::Result<Self> {
            Ok(Self(()))
        }

        pub fn quiet(&self) -> io::Result<()> {
            Ok(())
        }

        pub fn lend(&self) -> io::Result<()> {
            Ok(())
        }

        pub fn reading(&self, _: bool) {}
    }

    pub fn end() {}
}
