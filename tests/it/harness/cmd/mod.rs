//! Runs the real program in a sandbox: a home and XDG directories of its own, an environment with nothing else in it,
//! a PATH with nothing but a stub browser, a deadline that kills it and fails the test.

mod child;
mod output;
mod secrets;

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Once},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

pub use child::Child;
pub use output::Output;

use super::{
    DEADLINE,
    browser::{Behaviour, Browser},
};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ollama-auth");

/// A home of its own, deleted at drop.
pub struct Sandbox {
    root: TempDir,
    env: Vec<(OsString, OsString)>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Empty directories, no browser, no session bus.
    pub fn new() -> Self {
        default_signals();
        let root = TempDir::with_prefix("ollama-auth-test-").expect("a temporary directory");
        let mut sandbox = Self { root, env: Vec::new() };
        for (name, dir) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "home/.config"),
            ("XDG_DATA_HOME", "home/.local/share"),
            ("XDG_STATE_HOME", "home/.local/state"),
            ("XDG_CACHE_HOME", "home/.cache"),
            ("XDG_RUNTIME_DIR", "run"),
            ("TMPDIR", "tmp"),
            ("PATH", "bin"),
        ] {
            let path = sandbox.path(dir);
            fs::create_dir_all(&path).expect("a directory of the sandbox");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a private mode");
            sandbox.set_env(name, path);
        }
        sandbox.set_env("LANG", "C.UTF-8");
        sandbox.set_env("TZ", "UTC");
        sandbox
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path below it.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(below)
    }

    /// `HOME`.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes a file below the root, with its directories, readable by its owner alone.
    pub fn write(&self, below: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("a directory");
        fs::write(&path, bytes).expect("a file of the sandbox");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a private mode");
        path
    }

    /// Sets a variable for every command of this sandbox.
    pub fn set_env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.remove_env(name.as_ref());
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable away, such as `HOME`.
    pub fn remove_env(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.env.retain(|(known, _)| known != name.as_ref());
        self
    }

    /// The whole environment of a command of this sandbox.
    pub fn env(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// Puts a browser on its PATH.
    pub fn browser(&self, behaviour: Behaviour) -> Browser {
        Browser::install(&self.path("bin"), &self.path("browser"), behaviour)
    }

    /// The program under test with these arguments.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        self.program(PROGRAM, args)
    }

    /// Another program, in the same environment.
    pub fn program<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Cmd {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .process_group(0);
        Cmd { command, stdin: None, deadline: DEADLINE, root: self.root().to_owned() }
    }

    /// Every file below the root with its bytes, sorted: to see that nothing was lost or left.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        secrets::files(self.root())
    }

    /// Fails when `secret` stands in an output, or in any file of the sandbox that does not lie at or below one of
    /// `allowed` (paths below the root). It is looked for as it is, line by line, and in base64.
    pub fn assert_no_secret(&self, secret: &str, outputs: &[&Output], allowed: &[&str]) {
        secrets::assert_absent(self.root(), secret, outputs, allowed);
    }
}

/// Lets every child start with the usual reactions to signals, also if the tests run in the background of a shell or under
/// `nohup`, which ignore some. A signal with a handler is not ignored in a child.
fn default_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
            if mask & (1 << (signal.as_raw() - 1)) != 0 {
                signal_hook::flag::register(signal.as_raw(), Arc::default()).expect("a handler for an ignored signal");
            }
        }
    });
}

/// A command to be run.
pub struct Cmd {
    command: Command,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
    root: PathBuf,
}

impl Cmd {
    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable for this command.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away for this command.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Its working directory; the home otherwise.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Pipes this into it. Without it stdin is `/dev/null`.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_owned());
        self
    }

    /// How long it may take before it is killed and the test fails.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Child {
        self.command
            .stdin(match self.stdin {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Child::spawn(self.command, self.stdin, self.deadline, self.root)
    }

    /// Runs it to its end, which must come before the deadline.
    pub fn run(self) -> Output {
        self.spawn().finish()
    }
}
