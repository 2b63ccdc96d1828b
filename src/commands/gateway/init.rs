//! `gateway init`: writes a configuration file with every setting explained.

use std::path::Path;

use crate::app::App;
use crate::cli::InitArgs;
use crate::disk::{write_atomic, write_new};
use crate::exit::{Exit, Problem};
use crate::gateway::commented_file;

/// Runs it.
pub async fn run(app: &App, args: InitArgs) -> anyhow::Result<Exit> {
    let file = args.file.as_path();
    let shown = file.display().to_string();
    let text = commented_file();
    let written = match args.force {
        true => write_atomic(file, text.as_bytes()).map(|()| true)?,
        false => write_new(file, text.as_bytes())?,
    };
    if !written {
        return Err(Problem::new(Exit::Failed, format!("{shown} exists already, and is left as it is"))
            .hint("replace it with --force, or name another file")
            .into());
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "version": 1, "file": shown }))?;
        return Ok(Exit::Done);
    }
    app.printer.success(&format!("Wrote {shown}: every setting with its default, commented out"));
    let usual = app.paths.config.join("gateway.toml");
    let config = if is_same(file, &usual) { String::new() } else { format!(" --config {shown}") };
    app.printer.hint(&format!("change what you need, then start it: ollama-auth gateway serve{config}"));
    Ok(Exit::Done)
}

/// Whether `gateway serve` finds the file by itself.
fn is_same(file: &Path, usual: &Path) -> bool {
    file.canonicalize().is_ok_and(|file| usual.canonicalize().is_ok_and(|usual| file == usual))
}
