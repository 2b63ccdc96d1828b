//! Parse, build the `App`, run, exit code.

use std::process::ExitCode;

/// Faster than the systems' own where threads free what others have made, as the gateway's do.
#[cfg(feature = "gateway")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ollama_auth::main().into()
}
