//! What the integration tests are built on: loopback servers that check what they receive, a sandbox that runs the
//! real program, a stub browser and a pseudo-terminal. Every wait is bounded and none is a sleep for luck; a tool
//! that is missing fails the test.

#![allow(dead_code, reason = "the harness is a library for tests; not every test file uses every part")]

use std::{
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

pub mod actions;
pub mod browser;
#[cfg(feature = "gateway")]
pub mod chromium;
pub mod clock;
pub mod cloud;
pub mod cmd;
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod go_log;
#[cfg(feature = "gateway")]
pub mod hostile_issuer;
pub mod http;
#[cfg(feature = "gateway")]
pub mod keycloak;
pub mod keyring;
#[cfg(feature = "gateway")]
pub mod nginx;
#[cfg(feature = "gateway")]
pub mod node_server;
#[cfg(feature = "gateway")]
pub mod oidc_provider;
pub mod ollama;
pub mod pages;
#[cfg(feature = "gateway")]
pub mod plain_http;
pub mod postgres;
#[cfg(feature = "gateway")]
pub mod prometheus;
pub mod pty;
pub mod set_clock;
pub mod signature;
pub mod stock;
#[cfg(feature = "gateway")]
pub mod token_upstream;

/// The same with another last character: no longer what it was, whatever that ended with.
pub fn with_other_end(text: &str) -> String {
    let end = if text.ends_with('x') { 'y' } else { 'x' };
    format!("{}{end}", &text[..text.len() - 1])
}

/// The longest that any single wait of the harness lasts. Generous: a loaded machine is slow, a hang is forever.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Where a tool lies on the PATH of the test run; fails the test with its name when it is missing.
pub fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("the tests need `{name}` on PATH; scripts/test installs it"))
}

/// Whether this is root, which alone can be other accounts. Otherwise the test that asks says that it tests nothing, and fails under
/// `CI=true`, as what `scripts/test` cannot run does.
#[track_caller]
pub fn can_be_other_accounts() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        not_tested("only root can be another account");
    }
    is_root
}

/// Says that the test that asks cannot be run here; fails it under `CI=true`.
#[track_caller]
pub fn not_tested(why: &str) {
    let note = note_unless_ci(why, std::env::var("CI").ok().as_deref());
    // Not eprintln!, which the test runner keeps to itself when the test passes.
    std::io::stderr().write_all(note.as_bytes()).unwrap();
}

#[track_caller]
pub fn note_unless_ci(why: &str, ci: Option<&str>) -> String {
    let thread = std::thread::current();
    let note = format!("NOT TESTED: {}: {why}\n", thread.name().unwrap_or_default());
    assert_ne!(ci, Some("true"), "{note}");
    note
}

/// Asks until the answer is there. For things that announce themselves nowhere (files, other processes); panics
/// with `what` after [`DEADLINE`].
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} without seeing {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether `needle` occurs in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|part| part == needle)
}
