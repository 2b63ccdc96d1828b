//! The stock program as a server, and as the client of a person.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::given::with_store;
use crate::harness::cmd::{Child, Cmd, Output, Sandbox};
use crate::harness::tool;

/// A port that is closed: whatever is not on this machine is asked for there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The program.
pub fn ollama() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stock/ollama");
    assert!(path.exists(), "{} is missing: run scripts/stock, which provides it", path.display());
    path.to_str().unwrap().to_owned()
}

/// A home in which nothing that the program asks for leaves the machine.
fn home() -> Sandbox {
    let mut sandbox = with_store("plaintext");
    let models = sandbox.path("models");
    sandbox.set_env("OLLAMA_MODELS", models).set_env("HTTPS_PROXY", NOWHERE).set_env("HTTP_PROXY", NOWHERE);
    sandbox
}

/// `ollama serve`.
pub struct Server {
    sandbox: Sandbox,
    _child: Child,
    url: String,
}

impl Server {
    /// On a free port, which it names itself.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more in its environment.
    pub fn start_with(env: &[(&str, &str)]) -> Self {
        let mut sandbox = home();
        sandbox.set_env("OLLAMA_HOST", "127.0.0.1:0");
        for (name, value) in env {
            sandbox.set_env(name, value);
        }
        let child = sandbox.program(ollama(), ["serve"]).deadline(Duration::from_secs(600)).spawn();
        let address = |log: &str| Some(log.split_once("Listening on ")?.1.split_once(' ')?.0.to_owned());
        let log = child.wait_stderr(|log| address(log).is_some());
        let url = format!("http://{}", address(&log).unwrap());
        Self { sandbox, _child: child, url }
    }

    /// What clients call it.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Its own key, as connect links have it.
    pub fn encoded_key(&self) -> String {
        let line = fs::read_to_string(self.sandbox.path("home/.ollama/id_ed25519.pub")).unwrap();
        URL_SAFE_NO_PAD.encode(line.trim())
    }

    /// The fingerprint of that key.
    pub fn fingerprint(&self) -> String {
        let key = self.sandbox.path("home/.ollama/id_ed25519.pub");
        let output = self.sandbox.program(tool("ssh-keygen"), ["-lf", key.to_str().unwrap()]).run().expect_code(0);
        output.stdout().split(' ').nth(1).unwrap().to_owned()
    }

    /// Makes a request with curl, and gives what it printed: the body, then a line with the status.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let output = self.curl(method, target, &[], body).run().expect_code(0);
        let (body, status) = output.stdout().rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// That request.
    pub fn curl(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Cmd {
        let url = format!("{}{target}", self.url);
        let args = ["--silent", "--no-buffer", "--noproxy", "*", "--write-out", "\n%{http_code}", "--request", method];
        let headers = headers.iter().flat_map(|header| ["--header", header]);
        let args = args.into_iter().chain(headers).chain(["--header", "Content-Type: application/json", &url]);
        let command = self.sandbox.program(tool("curl"), args);
        if body.is_empty() { command } else { command.args(["--data", body]) }
    }
}

/// A person's machine with stock `ollama`, and with ours.
pub struct Client(pub Sandbox);

impl Client {
    /// Talks to `host` and signs, with a key of its own. (`ollama serve` would make one; the client alone does not.)
    pub fn new(host: &str) -> Self {
        let mut client = Self::without_key(host);
        let key = client.key();
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key.to_str().unwrap()];
        client.0.program(tool("ssh-keygen"), args).run().expect_code(0);
        client.0.set_env("OLLAMA_AUTH", "1");
        client
    }

    /// Talks to `host` and does not sign.
    pub fn without_key(host: &str) -> Self {
        let mut sandbox = home();
        sandbox.set_env("OLLAMA_HOST", host);
        Self(sandbox)
    }

    /// Where the key is.
    pub fn key(&self) -> PathBuf {
        self.0.path("home/.ollama/id_ed25519")
    }

    /// A command of the stock program. Standard input is empty.
    pub fn stock(&self, args: &[&str]) -> Output {
        self.0.program(ollama(), args).run()
    }

    /// The same command of ours.
    pub fn ours(&self, args: &[&str]) -> Output {
        self.0.command(args).run()
    }
}

/// What a terminal would show of an output: without the sequences that move the cursor, and without blanks at the end of lines.
pub fn shown(output: &[u8]) -> String {
    let mut parser = vt100::Parser::default();
    parser.screen_mut().set_size(200.try_into().unwrap(), 200.try_into().unwrap());
    let text = String::from_utf8_lossy(output).replace('\n', "\r\n");
    parser.process(text.as_bytes());
    let screen = parser.screen().contents();
    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Both outputs as a terminal would show them.
pub fn said(output: &Output) -> String {
    let (err, out) = (shown(&output.stderr), shown(&output.stdout));
    if err.is_empty() || out.is_empty() { err + &out } else { format!("{err}\n{out}") }
}
