//! The harness tested by itself, with `curl`, `sh` and raw sockets as clients: what a fake gets wrong, every test that
//! leans on it gets wrong.

mod hosts;
mod http;
#[cfg(feature = "gateway")]
mod providers;
mod sandbox;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::{
    cmd::{Child, Output, Sandbox},
    note_unless_ci,
    signature::TestDevice,
    tool,
};

fn curl(args: &[&str]) -> Output {
    start_curl(args).finish()
}

fn start_curl(args: &[&str]) -> Child {
    let quiet = ["--silent", "--show-error", "--no-buffer", "--noproxy", "*"];
    Sandbox::new().program(tool("curl"), quiet.iter().chain(args)).spawn()
}

/// A signed request, by curl.
fn signed(device: &TestDevice, method: &str, url: &str, signed_path: &str, ts: i64) -> Output {
    let header = device.sign(&format!("{method},{signed_path}?ts={ts}"));
    let header = format!("Authorization: {header}");
    curl(&["-w", "\n%{http_code}", "-X", method, "-H", &header, &format!("{url}?ts={ts}")])
}

fn status(output: &Output) -> &str {
    output.stdout().lines().last().expect("curl wrote a status")
}

/// The panic of a drop, as text.
fn drop_panics(value: impl Sized) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(value))).expect_err("the drop panics");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[test]
fn what_cannot_be_tested_is_named_and_fails_in_ci() {
    let name = "what_cannot_be_tested_is_named_and_fails_in_ci";
    for ci in [None, Some("1"), Some("false")] {
        let note = note_unless_ci("no such tool", ci);
        assert!(note.starts_with("NOT TESTED: ") && note.contains(name) && note.ends_with("no such tool\n"), "{note}");
    }
    assert!(catch_unwind(|| note_unless_ci("no such tool", Some("true"))).is_err());
}
