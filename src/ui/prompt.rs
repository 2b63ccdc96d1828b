//! Questions to a person, on stderr, answered from the terminal on stdin.
//!
//! The keys are read here and not by dialoguer: there, Ctrl-C at a password kills the process with the terminal's echo
//! still off, or does nothing where the program handles the signal, and at a question it leaves the cursor hidden.

use super::stream::Stream;
use std::io;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// No terminal, or `--no-input`.
    #[error("cannot prompt: this is not an interactive terminal")]
    NotInteractive,
    /// Ctrl-C, Ctrl-D, or the terminal was closed.
    #[error("interrupted")]
    Interrupted,
    /// The terminal could not be read or written.
    #[error("cannot use the terminal")]
    Io(#[from] io::Error),
}

/// An answer, or why there is none.
pub type PromptResult<T> = Result<T, PromptError>;

#[cfg(not(unix))]
pub(super) use other::{confirm, end, hidden};
#[cfg(unix)]
pub(super) use unix::{confirm, end, hidden};

#[cfg(unix)]
mod unix {
    use super::{PromptError, PromptResult, Stream};
    use rustix::termios::{
        LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
    };
    use secrecy::SecretString;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use zeroize::Zeroizing;

    const INTERRUPT: u8 = 3;
    const END_OF_INPUT: u8 = 4;
    const ERASE_LINE: u8 = 21;
    const ESCAPE: u8 = 27;

    pub fn confirm(stderr: &Stream, question: &str, default: bool) -> PromptResult<bool> {
        let _asking = Asking::begin();
        confirm_on(io::stdin().as_fd(), stderr, question, default)
    }

    pub fn hidden(stderr: &Stream, question: &str) -> PromptResult<SecretString> {
        let _asking = Asking::begin();
        hidden_on(io::stdin().as_fd(), stderr, question)
    }

    /// stdin's modes before the question that is open.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    fn before() -> MutexGuard<'static, Option<Termios>> {
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question on stdin is open until this is dropped.
    struct Asking;

    impl Asking {
        fn begin() -> Self {
            *before() = tcgetattr(io::stdin()).ok();
            Self
        }
    }

    impl Drop for Asking {
        fn drop(&mut self) {
            *before() = None;
        }
    }

    /// Ends a question that is still open on another thread: that thread sleeps in a read and goes with the process, so it
    /// will not put the terminal back.
    pub fn end(stderr: &Stream) {
        let Some(modes) = before().take() else {
            return;
        };
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &modes);
        let _ = stderr.write_all(b"\n");
    }

    /// The terminal with keys delivered one by one, unseen and without signals, until this is dropped.
    struct Keys<'fd> {
        terminal: BorrowedFd<'fd>,
        before: Termios,
    }

    impl<'fd> Keys<'fd> {
        fn take(terminal: BorrowedFd<'fd>) -> io::Result<Self> {
            let before = tcgetattr(terminal)?;
            let mut modes = before.clone();
            modes.local_modes.remove(
                LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN,
            );
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(terminal, OptionalActions::Drain, &modes)?;
            Ok(Self { terminal, before })
        }

        /// The next byte; one at a time, so that what follows the answer stays for the next reader.
        fn next(&self) -> PromptResult<u8> {
            let mut byte = [0];
            loop {
                match rustix::io::read(self.terminal, &mut byte) {
                    Ok(0) | Err(rustix::io::Errno::IO) => return Err(PromptError::Interrupted),
                    Ok(_) if matches!(byte[0], INTERRUPT | END_OF_INPUT) => {
                        return Err(PromptError::Interrupted);
                    }
                    Ok(_) => return Ok(byte[0]),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(rustix::io::Errno::AGAIN) => {
                        use rustix::event::{PollFd, PollFlags, poll};
                        let _ = poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], None);
                    }
                    Err(error) => return Err(io::Error::from(error).into()),
                }
            }
        }
    }

    impl Drop for Keys<'_> {
        fn drop(&mut self) {
            let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
        }
    }

    fn confirm_on(terminal: BorrowedFd<'_>, stderr: &Stream, question: &str, default: bool) -> PromptResult<bool> {
        let keys = Keys::take(terminal)?;
        // Keys from before the question are no answer to it, such as what was typed into a model's answer.
        tcflush(terminal, QueueSelector::IFlush).map_err(io::Error::from)?;
        stderr.write_all(format!("{question} [{}] ", if default { "Y/n" } else { "y/N" }).as_bytes())?;
        let answer = loop {
            match keys.next() {
                Ok(b'y' | b'Y') => break Ok(true),
                Ok(b'n' | b'N') => break Ok(false),
                Ok(b'\r' | b'\n') => break Ok(default),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        stderr.write_all(match answer {
            Ok(true) => b"yes\n",
            Ok(false) => b"no\n",
            Err(_) => b"\n",
        })?;
        answer
    }

    fn hidden_on(terminal: BorrowedFd<'_>, stderr: &Stream, question: &str) -> PromptResult<SecretString> {
        let keys = Keys::take(terminal)?;
        stderr.write_all(format!("{question}: ").as_bytes())?;
        let answer = read_secret(&keys);
        stderr.write_all(b"\n")?;
        answer
    }

    fn read_secret(keys: &Keys<'_>) -> PromptResult<SecretString> {
        // Room enough that it does not move, which would leave copies behind.
        let mut secret = Zeroizing::new(Vec::with_capacity(4096));
        loop {
            match keys.next()? {
                b'\r' | b'\n' => break,
                0x7f | 0x08 => {
                    // One character, which may be several bytes.
                    while secret.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                ERASE_LINE => secret.clear(),
                ESCAPE => skip_sequence(keys)?,
                0..=0x1f => {}
                byte if secret.len() < secret.capacity() => secret.push(byte),
                _ => {
                    return Err(
                        io::Error::new(io::ErrorKind::InvalidData, "the answer is longer than 4096 bytes").into()
                    );
                }
            }
        }
        match std::str::from_utf8(&secret) {
            Ok(text) => Ok(SecretString::from(text.to_owned())),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not UTF-8").into()),
        }
    }

    /// An arrow key or the like (`ESC [ … letter`) is not part of a secret.
    fn skip_sequence(keys: &Keys<'_>) -> PromptResult<()> {
        if matches!(keys.next()?, b'[' | b'O') {
            while !matches!(keys.next()?, 0x40..=0x7e) {}
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use portable_pty::{PtySize, native_pty_system};
        use secrecy::ExposeSecret;
        use std::fs::File;

        /// Runs `ask` on a pseudo-terminal where `keys` are typed; checks that its modes are restored.
        fn typed<T>(
            keys: &[u8],
            ask: impl FnOnce(BorrowedFd<'_>, &Stream) -> PromptResult<T>,
        ) -> (PromptResult<T>, String) {
            let pair = native_pty_system().openpty(PtySize::default()).unwrap();
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            let path = pair.master.tty_name().unwrap();
            let terminal = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap());
            let before = tcgetattr(&terminal).unwrap();
            let (stderr, shown) = Stream::capture();
            let mut writer = pair.master.take_writer().unwrap();
            let keys = keys.to_vec();
            // Typed only once the prompt is there: until then the line discipline would take Ctrl-C for itself.
            let seen = shown.clone();
            let typist = std::thread::spawn(move || {
                while seen.is_empty() {
                    std::thread::yield_now();
                }
                writer.write_all(&keys).unwrap();
                writer
            });
            let answer = ask(terminal.as_fd(), &stderr);
            let _writer = typist.join().unwrap();
            let after = tcgetattr(&terminal).unwrap();
            assert_eq!(after.local_modes, before.local_modes);
            (answer, shown.text())
        }

        #[test]
        fn confirms() {
            let ask = |keys: &[u8], default| {
                let (answer, shown) = typed(keys, |t, e| confirm_on(t, e, "Go on?", default));
                (answer.ok(), shown)
            };
            assert_eq!(ask(b"xy", false), (Some(true), "Go on? [y/N] yes\n".to_owned()));
            assert_eq!(ask(b"N", true), (Some(false), "Go on? [Y/n] no\n".to_owned()));
            assert_eq!(ask(b"\r", true).0, Some(true));
            assert_eq!(ask(b"\n", false).0, Some(false));
        }

        #[test]
        fn reads_a_secret_unseen() {
            let (secret, shown) = typed("wrong\x15k\x1b[Aeü\x7fy\r".as_bytes(), |t, e| hidden_on(t, e, "Passphrase"));
            assert_eq!(secret.unwrap().expose_secret(), "key");
            assert_eq!(shown, "Passphrase: \n");
        }

        #[test]
        fn ctrl_c_and_ctrl_d_interrupt_and_restore_the_terminal() {
            for key in [INTERRUPT, END_OF_INPUT] {
                let (answer, shown) = typed(&[b'a', key], |t, e| hidden_on(t, e, "Key"));
                assert!(matches!(answer, Err(PromptError::Interrupted)));
                assert_eq!(shown, "Key: \n");
                assert!(matches!(typed(&[key], |t, e| confirm_on(t, e, "?", true)).0, Err(PromptError::Interrupted)));
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use super::{PromptError, PromptResult, Stream};
    use console::{Key, Term};
    use secrecy::SecretString;
    use std::io;

    pub fn confirm(stderr: &Stream, question: &str, default: bool) -> PromptResult<bool> {
        stderr.write_all(format!("{question} [{}] ", if default { "Y/n" } else { "y/N" }).as_bytes())?;
        let answer = loop {
            match Term::stderr().read_key_raw() {
                Ok(Key::Char('y' | 'Y')) => break Ok(true),
                Ok(Key::Char('n' | 'N')) => break Ok(false),
                Ok(Key::Enter) => break Ok(default),
                Ok(Key::CtrlC | Key::Char('\u{3}' | '\u{4}')) => {
                    break Err(PromptError::Interrupted);
                }
                Ok(_) => {}
                Err(error) => break Err(interrupted(error)),
            }
        };
        stderr.write_all(if answer.is_ok() { b"" } else { b"\n" })?;
        if let Ok(yes) = answer {
            stderr.write_all(if yes { b"yes\n" } else { b"no\n" })?;
        }
        answer
    }

    /// Nothing to restore: the console's modes change only while one key is read.
    pub fn end(_stderr: &Stream) {}

    pub fn hidden(stderr: &Stream, question: &str) -> PromptResult<SecretString> {
        stderr.write_all(format!("{question}: ").as_bytes())?;
        Term::stderr().read_secure_line().map(SecretString::from).map_err(interrupted)
    }

    fn interrupted(error: io::Error) -> PromptError {
        if error.kind() == io::ErrorKind::Interrupted { PromptError::Interrupted } else { error.into() }
    }
}
