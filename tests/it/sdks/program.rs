//! A program that holds a library and does with it what a test says, call by call, over a connection of its own: so that the test can
//! change the world between two pieces of an answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::cmd::{Child, Cmd, Sandbox};
use crate::harness::{DEADLINE, poll, tool};

/// What a library is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript, in Node.
    Node,
}

/// A running program.
pub struct Program {
    child: Child,
    lines: BufReader<TcpStream>,
    _sandbox: Sandbox,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file below `target/sdks`.
pub fn prepared(below: &str) -> PathBuf {
    let path = root().join("target/sdks").join(below);
    assert!(path.exists(), "{} is missing: run scripts/sdks, which installs the libraries", path.display());
    path
}

/// Runs a script of that language, which finds the libraries.
pub fn script(sandbox: &Sandbox, language: Language, script: &Path, args: &[&str]) -> Cmd {
    let command = match language {
        Language::Python => {
            prepared("python/stamp");
            // -B: nothing is written beside the script.
            sandbox.program(prepared("python/bin/python"), ["-B"])
        }
        Language::Node => {
            prepared("node/stamp");
            let modules = sandbox.path("node_modules");
            if !modules.exists() {
                symlink(prepared("node/node_modules"), modules).unwrap();
            }
            sandbox.program(tool("node"), [""; 0])
        }
    };
    command.args([script]).args(args)
}

impl Program {
    /// Starts it; its environment names no host and no key.
    pub fn start(language: Language) -> Self {
        let sandbox = Sandbox::new();
        let path = match language {
            Language::Python => root().join("tests/sdks/python/talk.py"),
            // Modules are looked for beside the script.
            Language::Node => sandbox.write("talk.mjs", include_str!("../../sdks/node/talk.mjs")),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let child = script(&sandbox, language, &path, &[&address]).deadline(Duration::from_secs(600)).spawn();
        let (stream, _) = poll("a program that holds a library", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { child, lines: BufReader::new(stream), _sandbox: sandbox }
    }

    /// Gives it a call.
    pub fn tell(&mut self, call: &Value) {
        self.lines.get_mut().write_all(format!("{call}\n").as_bytes()).unwrap();
    }

    /// What it reports next: `part`, `result` or `raised`.
    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        if !read.as_ref().is_ok_and(|count| *count > 0) {
            // When it has ended, this shows why.
            self.child.wait_stderr(|text| text.contains("Error"));
            panic!("{read:?} from the program: {:?}", self.child.wait_stderr(|_| true));
        }
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Everything that it reports of a call, up to `result` or `raised`.
    pub fn hear_all(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let report = self.hear();
            let over = report.get("part").is_none();
            all.push(report);
            if over {
                return all;
            }
        }
    }
}
