//! What the integration tests are built on: loopback servers that check what they receive, a sandbox that runs the
//! real program, a stub browser and a pseudo-terminal. Every wait is bounded and none is a sleep for luck; a tool
//! that is missing fails the test.

#![allow(dead_code, reason = "the harness is a library for tests; not every test file uses every part")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

pub mod browser;
#[cfg(feature = "gateway")]
pub mod chromium;
pub mod clock;
pub mod cloud;
pub mod cmd;
pub mod gateway;
pub mod http;
pub mod keyring;
pub mod ollama;
pub mod pty;
pub mod set_clock;
pub mod signature;
pub mod stock;

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
