//! The result of a program, and its text for a snapshot.

use std::{os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus, time::Duration};

/// Exit code, both outputs, and how long it took.
#[derive(Debug)]
pub struct Output {
    /// As the system reports it.
    pub status: ExitStatus,
    /// Every byte of stdout.
    pub stdout: Vec<u8>,
    /// Every byte of stderr.
    pub stderr: Vec<u8>,
    /// From start to end.
    pub duration: Duration,
    pub(super) root: PathBuf,
}

impl Output {
    /// The exit code; 128 + N for signal N, as a shell has it.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or(self.status.signal().map(|signal| 128 + signal))
            .expect("an ended process has a code or a signal")
    }

    /// stdout as text; panics when it is not UTF-8.
    pub fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("stdout in UTF-8")
    }

    /// stderr as text; panics when it is not UTF-8.
    pub fn stderr(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("stderr in UTF-8")
    }

    /// stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{}", self.snapshot()))
    }

    /// Fails, showing everything, unless the code is this.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{}", self.snapshot());
        self
    }

    /// Everything in one text for `insta::assert_snapshot!`; what differs from run to run is replaced: the sandbox by
    /// `[SANDBOX]`, loopback ports by `[PORT]`, fingerprints by `[FINGERPRINT]`, encoded keys by `[KEY]`.
    pub fn snapshot(&self) -> String {
        self.snapshot_with(&[])
    }

    /// The same, after replacing the first of each pair by the second.
    pub fn snapshot_with(&self, replace: &[(&str, &str)]) -> String {
        let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        let mut text = format!("exit code: {}\n----- stdout -----\n{out}\n----- stderr -----\n{err}", self.code());
        for (from, to) in replace {
            text = text.replace(from, to);
        }
        let root = self.root.to_string_lossy();
        text = text.replace(&*root, "[SANDBOX]");
        for host in ["127.0.0.1:", "localhost:", "[::1]:"] {
            text = run_after(&text, host, 1, "[PORT]", |c| c.is_ascii_digit());
        }
        text = run_after(&text, "SHA256:", 43, "[FINGERPRINT]", |c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
        run_after(&text, "c3NoLWVkMjU1MTkg", 40, "[KEY]", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }
}

/// Replaces what follows each `prefix` and consists of `chars`, if it is at least so long.
fn run_after(text: &str, prefix: &str, least: usize, to: &str, chars: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c| !chars(c)).unwrap_or(part.len());
        out += prefix;
        if end >= least {
            out += to;
            out += &part[end..];
        } else {
            out += part;
        }
    }
    out
}
