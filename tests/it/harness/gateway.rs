//! The real gateway as a process on a free port, with the commands of its administrator.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    DEADLINE,
    cmd::{Child, Output, PROGRAM, Sandbox},
    poll, tool,
};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery";

/// A running gateway with a sandbox of its own.
pub struct Gateway {
    sandbox: Sandbox,
    child: Option<Child>,
    listening: Value,
    program: PathBuf,
    /// Its file, or its address.
    database: String,
    args: Vec<String>,
    /// A line of shell before it, which limits what it may have.
    within: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads a whole answer. A body that breaks off is an error that says so.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of the header")?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or("no status")?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let body = if header("transfer-encoding") == Some("chunked") {
            unchunked(rest)?
        } else if let Some(length) = header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            rest.get(..length).ok_or("the body is cut")?.to_vec()
        } else {
            rest.to_vec()
        };
        Ok(Self { status, headers, body })
    }

    /// A header's value.
    pub fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").ok_or("the body is cut before its end")?;
        let size = std::str::from_utf8(&rest[..line]).map_err(|error| error.to_string())?;
        let size = usize::from_str_radix(size, 16).map_err(|error| error.to_string())?;
        rest = &rest[line + 2..];
        body.extend_from_slice(rest.get(..size).ok_or("the body is cut in a chunk")?);
        rest = rest.get(size + 2..).ok_or("the body is cut after a chunk")?;
        if size == 0 {
            return Ok(body);
        }
    }
}

impl Gateway {
    /// In front of `upstream`, with an empty database.
    pub fn start(upstream: &str) -> Self {
        Self::start_with(upstream, &[])
    }

    /// The same with more arguments.
    pub fn start_with(upstream: &str, more: &[&str]) -> Self {
        Self::start_from(&[&["--upstream", upstream], more].concat())
    }

    /// The same after a line of shell, such as `ulimit -n 64`.
    pub fn start_within(upstream: &str, line: &str) -> Self {
        Self::begin(&["--upstream", upstream], Some(line.to_owned()))
    }

    /// Both: more arguments, and a line of shell.
    pub fn start_with_within(upstream: &str, more: &[&str], line: &str) -> Self {
        Self::begin(&[&["--upstream", upstream], more].concat(), Some(line.to_owned()))
    }

    /// With these arguments, which name the upstream server or a file that does.
    pub fn start_from(more: &[&str]) -> Self {
        Self::begin(more, None)
    }

    /// The same of another version, with the database that may already be in the sandbox.
    pub fn start_program(program: &Path, sandbox: Sandbox, listen: &str, more: &[&str]) -> Self {
        Self::begin_in(sandbox, program, listen, more, None)
    }

    /// On a PostgreSQL database, which it may share with others.
    pub fn start_on(database: &str, upstream: &str, more: &[&str]) -> Self {
        Self::start_replica(database, upstream, "127.0.0.1:0", more)
    }

    /// The same at another loopback address.
    pub fn start_replica(database: &str, upstream: &str, listen: &str, more: &[&str]) -> Self {
        Self::start_replica_in(Sandbox::new(), database, upstream, listen, more)
    }

    /// Another one of the same account: both have the same data folder.
    pub fn start_beside(&self, upstream: &str) -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set_env("XDG_DATA_HOME", self.sandbox.path("home/.local/share"));
        Self::start_replica_in(sandbox, &self.database, upstream, "127.0.0.1:0", &[])
    }

    /// The same as [`start_replica`](Self::start_replica) in a sandbox that was prepared.
    pub fn start_replica_in(sandbox: Sandbox, database: &str, upstream: &str, listen: &str, more: &[&str]) -> Self {
        let secret = sandbox.write("secret", "the same for all gateways of a test");
        let secret = format!("secret-file={}", secret.display());
        let more = [&["--upstream", upstream, "--set", &*secret], more].concat();
        Self::begin_on(database.to_owned(), sandbox, Path::new(PROGRAM), listen, &more, None)
    }

    fn begin(more: &[&str], within: Option<String>) -> Self {
        Self::begin_in(Sandbox::new(), Path::new(PROGRAM), "127.0.0.1:0", more, within)
    }

    fn begin_in(sandbox: Sandbox, program: &Path, listen: &str, more: &[&str], within: Option<String>) -> Self {
        let database = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
        Self::begin_on(database, sandbox, program, listen, more, within)
    }

    fn begin_on(
        database: String,
        sandbox: Sandbox,
        program: &Path,
        listen: &str,
        more: &[&str],
        within: Option<String>,
    ) -> Self {
        let mut args: Vec<String> = ["gateway", "serve", "--json", "--listen", listen].map(str::to_owned).into();
        args.extend(["--database".to_owned(), database.clone()]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let program = program.to_owned();
        let mut gateway = Self { sandbox, child: None, listening: Value::Null, program, database, args, within };
        gateway.launch();
        gateway
    }

    fn launch(&mut self) {
        let command = match &self.within {
            None => self.sandbox.program(&self.program, &self.args),
            Some(line) => {
                let script = format!("{line}; exec \"$@\"");
                self.sandbox.program("/bin/sh", ["-c", &*script, "sh"]).args([&self.program]).args(&self.args)
            }
        };
        let child = command.deadline(Duration::from_secs(300)).spawn();
        let is_event = |line: &str| {
            let event = serde_json::from_str::<Value>(line).ok()?;
            (event["event"] == "listening").then_some(event)
        };
        let text = child.wait_stderr(|text| text.lines().any(|line| is_event(line).is_some()));
        self.listening = text.lines().find_map(is_event).unwrap();
        // The next start is to take the same port, as that of a service would.
        let port = self.args.iter().position(|arg| arg == "--listen").unwrap() + 1;
        self.args[port] = self.listening["listen"].as_str().unwrap().to_owned();
        self.child = Some(child);
    }

    /// What it said about itself: `url`, `listen`, `upstream`, `setup_url`.
    pub fn listening(&self) -> &Value {
        &self.listening
    }

    /// What callers call it.
    pub fn url(&self) -> String {
        self.listening["url"].as_str().unwrap().to_owned()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.listening["listen"].as_str().unwrap().to_owned()
    }

    /// Its sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.sandbox.path("gateway/gateway.db")
    }

    /// The process.
    pub fn child(&self) -> &Child {
        self.child.as_ref().expect("a gateway that runs")
    }

    /// Ends it with a signal and gives what it printed.
    pub fn end(&mut self, signal: Signal) -> Output {
        let child = self.child.take().expect("a gateway that runs");
        child.signal(signal);
        child.finish()
    }

    /// Waits until it has ended by itself, and gives what it printed.
    pub fn wait(&mut self) -> Output {
        self.child.take().expect("a gateway that runs").finish()
    }

    /// Starts it again on the same port and database.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "end it first");
        self.launch();
    }

    /// Another configuration file, read with SIGHUP; and what the log says of it.
    pub fn reload(&self, file: &Path, content: &str) -> String {
        let ends = |text: &str| {
            text.matches("configuration reloaded").count() + text.matches("cannot reload the configuration").count()
        };
        let before = self.child().wait_stderr(|_| true);
        std::fs::write(file, content).expect("a configuration file that can be written");
        self.child().signal(Signal::HUP);
        let after = self.child().wait_stderr(|text| ends(text) > ends(&before));
        after[before.len()..].to_owned()
    }

    /// A command on its machine, such as `user list`.
    pub fn admin(&self, args: &[&str]) -> Output {
        self.admin_with(args, "")
    }

    /// The same with something on standard input.
    pub fn admin_with(&self, args: &[&str], stdin: &str) -> Output {
        let place = ["--database", &self.database];
        self.sandbox.command(["gateway"]).args(args).args(place).stdin(stdin).run()
    }

    /// Adds a person with [`PASSWORD`].
    pub fn add_user(&self, name: &str, role: &str) -> &Self {
        self.admin_with(&["user", "add", name, "--role", role], &format!("{PASSWORD}\n")).expect_code(0);
        self
    }

    /// Approves a device by its link, as a person of that name in front of a browser.
    pub fn approve(&self, link: &str, name: &str) -> String {
        self.browse(link, name, "Approve").expect_code(0).stdout().to_owned()
    }

    /// A device of that person's, signed in: a sandbox for its commands.
    pub fn device_of(&self, name: &str) -> Sandbox {
        let mut device = Sandbox::new();
        device.set_env("OLLAMA_AUTH_STORE", "plaintext");
        let sign_in = ["signin", "--host", &self.url(), "--no-wait"];
        let link = device.command(sign_in).run().expect_code(4).stdout().trim().to_owned();
        self.admin(&["approve", &link, "--user", name]).expect_code(0);
        device.command(sign_in).run().expect_code(0);
        device
    }

    /// The same, without asking for approval: the key is added.
    pub fn device_added_to(&self, name: &str) -> Sandbox {
        let mut device = Sandbox::new();
        device.set_env("OLLAMA_AUTH_STORE", "plaintext");
        let sign_in = ["signin", "--host", &self.url(), "--no-wait"];
        device.command(sign_in).run().expect_code(4);
        let shown = device.command(["device", "show", "--host", &self.url(), "--json"]).run().expect_code(0).json();
        let key = shown["public_key"].as_str().unwrap();
        self.admin(&["device", "add", key, "--user", name, "--name", "laptop"]).expect_code(0);
        // On a shared database the gateway hears of it a little later.
        poll("the sign-in of the added device", || (device.command(sign_in).run().code() == 0).then_some(()));
        device
    }

    /// An API key that a device makes, with the arguments of `keys create`.
    pub fn key(&self, device: &Sandbox, args: &[&str]) -> String {
        device.command(["keys", "create"]).args(args).run().expect_code(0).stdout().trim().to_owned()
    }

    /// Opens a page as a person of that name and presses a button.
    pub fn browse(&self, link: &str, name: &str, button: &str) -> Output {
        let script = self.sandbox.path("person.py");
        fs::write(&script, include_str!("person.py")).expect("the script of a person");
        let script = script.to_str().unwrap().to_owned();
        // python3 may be a script that needs other tools.
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.sandbox.program(tool("python3"), [&*script, link, name, PASSWORD, button]).env("PATH", path).run()
    }

    /// Sends bytes on a connection of their own, says that no more come, and gives everything that comes back.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).expect("a gateway that listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        // It may have answered and closed before everything is written.
        let _ = stream.write_all(bytes.as_ref());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let _ = stream.shutdown(Shutdown::Both);
        answer
    }

    /// The status of a list of models with an API key. Where the key is revoked at this moment, the body is cut off, so it is not read.
    pub fn status_of(&self, key: &str) -> u16 {
        let head = format!("GET /api/tags HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address());
        let answer = self.raw(format!("{head}Authorization: Bearer {key}\r\n\r\n"));
        let text = String::from_utf8_lossy(&answer);
        text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {text:?}"))
    }

    /// Makes a request. `headers` are lines such as `Authorization: Bearer …`.
    pub fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address());
        for header in headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let answer = self.raw(format!("{request}\r\n{body}"));
        let head = method == "HEAD";
        let parsed = if head { Answer::parse(&without_length(&answer)) } else { Answer::parse(&answer) };
        parsed.unwrap_or_else(|error| panic!("{method} {target}: {error}: {:?}", String::from_utf8_lossy(&answer)))
    }
}

/// The answer to HEAD names a length and has no body.
fn without_length(answer: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(answer).replace("content-length:", "x-content-length:").into_bytes()
}
