//! Notes, checkpoints and proofs of a log, checked by code that is not ours: `tests/go_log`, which `scripts/go_log` builds.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the program prints, given an argument and something to read.
fn run(args: &[&str], input: &[u8]) -> Vec<u8> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/go_log/check");
    assert!(program.exists(), "{} is missing: run scripts/go_log, which builds it", program.display());
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads everything first");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "tests/go_log failed: {}", output.status);
    output.stdout
}

/// Has each case checked. An answer is empty where it is accepted, otherwise it says why not. What a case is, `Case` in
/// `tests/go_log/main.go` says.
pub fn check(cases: &[Value]) -> Vec<String> {
    let input = serde_json::to_vec(cases).expect("JSON");
    let verdicts: Vec<String> = serde_json::from_slice(&run(&[], &input)).expect("verdicts");
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

/// The vectors of the other direction.
pub fn vectors() -> Vec<u8> {
    run(&["vectors"], b"")
}
