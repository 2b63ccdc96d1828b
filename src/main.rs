//! Parse, build the `App`, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ollama_auth::main().into()
}
