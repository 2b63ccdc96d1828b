//! The files in contrib/ and their guides work: units are verified, workflows are parsed as YAML and checked, scripts are run
//! against stand-ins, and the commands of the guides and the tutorial are run in order against a real gateway.

mod examples;
#[cfg(feature = "gateway")]
mod guide;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::cmd::Sandbox;
use crate::harness::tool;

/// A file of the repository.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
pub fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A YAML file as a real parser understands it. `on` is the word for true in YAML 1.1, so it becomes the name `true`.
pub fn yaml(sandbox: &Sandbox, name: &str) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let command = sandbox.program(tool("python3"), ["-c", script, file(name).to_str().unwrap()]);
    command.env("PATH", path).run().expect_code(0).json()
}

/// Fails unless a shell understands the text, and shellcheck has nothing to say.
#[track_caller]
fn assert_shell(sandbox: &Sandbox, shell: &str, script: &str) {
    sandbox.program(tool("bash"), ["-nc", script]).run().expect_code(0);
    let checked = sandbox.program(tool("shellcheck"), [&format!("--shell={shell}"), "-"]).stdin(script).run();
    assert_eq!(checked.code(), 0, "{script}\n{}", checked.stdout());
}
