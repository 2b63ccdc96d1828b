//! A real gnome-keyring-daemon on a private D-Bus session bus, both in a temporary folder of their own.
//!
//! The bus knows no service files: nothing is started on demand, and there is no prompter, so that a locked
//! keyring answers an unlock request with a dismissed prompt at once instead of looking for a display.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a daemon may take to come up or to end; only a broken machine needs that long.
const TIMEOUT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "keyring password";

const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// A keyring and its bus; both end when this is dropped.
pub struct Keyring {
    daemon: Option<Process>,
    // Fields are dropped in this order: the daemon first, then its bus, then the folder of both.
    _bus: Process,
    folder: TempDir,
}

impl Keyring {
    /// A keyring whose default collection exists and is unlocked.
    pub fn start_unlocked() -> Self {
        let mut keyring = Self::start_bus_only();
        keyring.daemon = Some(keyring.start_daemon(true));
        keyring.wait_until("the default collection is unlocked", |keyring| keyring.is_locked() == Some(false));
        keyring
    }

    /// A keyring whose default collection exists and is locked, as after a login without its password.
    pub fn start_locked() -> Self {
        let mut keyring = Self::start_unlocked();
        keyring.restart_locked();
        keyring
    }

    /// A session bus on which no keyring runs.
    pub fn start_bus_only() -> Self {
        let folder = tempfile::Builder::new().prefix("keyring-").tempdir().expect("a temporary folder");
        for name in ["home", "run", "data"] {
            ensure_private(&folder.path().join(name));
        }
        let socket = folder.path().join("bus");
        let config = folder.path().join("bus.conf");
        let text = BUS_CONFIG.replace("@SOCKET@", socket.to_str().expect("a UTF-8 path"));
        fs::write(&config, text).expect("the bus configuration");
        let mut command = Command::new("dbus-daemon");
        command
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut bus = Process::spawn(command);
        let output = bus.0.stdout.take().expect("its output is piped");
        let (sender, address) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let address = address.recv_timeout(TIMEOUT).unwrap_or_default();
        assert!(address.starts_with("unix:path="), "dbus-daemon did not start");
        Self { daemon: None, _bus: bus, folder }
    }

    /// Locks the keyring by starting it again without its password. Its entries stay.
    pub fn restart_locked(&mut self) {
        self.end_service();
        self.daemon = Some(self.start_daemon(false));
        self.wait_until("the default collection is locked", |keyring| keyring.is_locked() == Some(true));
    }

    /// Ends the keyring in good order; the bus stays.
    pub fn end_service(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end_gracefully();
        }
    }

    /// Stops the keyring in its tracks: it keeps its name on the bus and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen keyring go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The environment by which a program finds this bus and no other.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            ("DBUS_SESSION_BUS_ADDRESS".to_owned(), format!("unix:path={}", path("bus"))),
            ("XDG_RUNTIME_DIR".to_owned(), path("run")),
        ]
    }

    /// The secret that `secret-tool` finds under the attributes of an entry of ours.
    pub fn lookup(&self, username: &str) -> Option<String> {
        let output = self.secret_tool(&["lookup", "service", "ollama-auth", "username", username], "");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("a UTF-8 secret"))
    }

    /// Adds a second entry of the same name, as another program or another collection would.
    pub fn add_twin(&self, username: &str, secret: &str) {
        let attributes = ["service", "ollama-auth", "username", username, "twin", "yes"];
        let arguments = [&["store", "--label=twin"], &attributes[..]].concat();
        let output = self.secret_tool(&arguments, secret);
        assert!(output.status.success(), "{output:?}");
    }

    /// Everything `secret-tool` lists for our service, secrets included.
    pub fn list(&self) -> String {
        let output = self.secret_tool(&["search", "--all", "service", "ollama-auth"], "");
        let mut text = String::from_utf8(output.stdout).expect("UTF-8");
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        text
    }

    fn secret_tool(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new("secret-tool");
        command.args(arguments).envs(self.env());
        run(command, input)
    }

    fn start_daemon(&self, unlock: bool) -> Process {
        let mut command = Command::new("gnome-keyring-daemon");
        command
            .args(["--foreground", "--components=secrets"])
            .args(unlock.then_some("--unlock"))
            .arg("--control-directory")
            .arg(self.folder.path().join("run/keyring"))
            .envs(self.env())
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("GNOME_KEYRING_CONTROL")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut daemon = Process::spawn(command);
        let mut input = daemon.0.stdin.take().expect("its input is piped");
        if unlock {
            // The password is the whole input, without a line break.
            input.write_all(PASSWORD.as_bytes()).expect("the password");
        }
        daemon
    }

    /// The state of the default collection; `None` while there is no keyring or no such collection.
    fn is_locked(&self) -> Option<bool> {
        let mut command = Command::new("dbus-send");
        command
            .args(["--session", "--print-reply=literal", "--reply-timeout=5000"])
            .args(["--dest=org.freedesktop.secrets", "/org/freedesktop/secrets/aliases/default"])
            .arg("org.freedesktop.DBus.Properties.Get")
            .args(["string:org.freedesktop.Secret.Collection", "string:Locked"])
            .envs(self.env());
        let output = run(command, "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.split_whitespace().last() {
            Some("true") if output.status.success() => Some(true),
            Some("false") if output.status.success() => Some(false),
            _ => None,
        }
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !reached(self) {
            assert!(start.elapsed() < TIMEOUT, "gnome-keyring: not reached: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("a keyring runs");
        kill_process(daemon.pid(), signal).expect("a signal to our own child");
    }
}

/// Takes every session bus away from a program. `empty` is a folder without a bus in it, so that the library's
/// fallback to `$XDG_RUNTIME_DIR/bus`, and from there to the bus of a logged-in user, finds nothing.
pub fn without_bus(command: &mut Command, empty: &Path) {
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", empty);
}

/// A child that is killed, at the latest, when this is dropped.
struct Process(Child);

impl Process {
    fn spawn(mut command: Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("cannot start {program} ({error}): scripts/test installs it"),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn end_gracefully(mut self) {
        let _ = kill_process(self.pid(), Signal::CONT);
        let _ = kill_process(self.pid(), Signal::TERM);
        let start = Instant::now();
        while self.0.try_wait().expect("our own child").is_none() {
            assert!(start.elapsed() < TIMEOUT, "a daemon ignores SIGTERM");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Child::kill sends nothing to a child that has been waited for, so no other process is ever hit.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(command);
    if let Some(mut stdin) = process.0.stdin.take() {
        // A program that reads no input closes it early.
        let _ = stdin.write_all(input.as_bytes());
    }
    let stdout = process.0.stdout.take().map(read_all).unwrap_or_default();
    let stderr = process.0.stderr.take().map(read_all).unwrap_or_default();
    let status = process.0.wait().expect("our own child");
    Output { status, stdout, stderr }
}

fn read_all(mut pipe: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

fn ensure_private(folder: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder).expect("a folder");
}
