//! `completions`

use clap_complete::{Shell, generate};

use crate::app::App;
use crate::cli;
use crate::exit::Exit;

/// Runs it.
pub fn run(app: &App, shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    generate(shell, &mut cli::command(), "ollama-auth", &mut script);
    app.printer.bytes(&script)?;
    Ok(Exit::Done)
}
