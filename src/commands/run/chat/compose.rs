//! Ctrl-G: the line is gone on with in the person's own editor, in a private file that is removed afterwards.

use std::io::{self, Read as _, Write as _};

use super::Chat;
use crate::env::keep_secrets_from;

/// What there is everywhere.
const FALLBACK: &str = if cfg!(windows) { "notepad" } else { "vi" };
/// The longest message that is taken back, in bytes.
const LONGEST: u64 = 4 << 20;

impl Chat<'_> {
    /// Gives what is to stand at the prompt. What was typed is not lost when the editor fails.
    pub(super) async fn compose(&mut self, text: String) -> io::Result<String> {
        let command = self.app.env.editor.clone().unwrap_or_else(|| FALLBACK.to_owned());
        let composed = {
            let mut turn = std::pin::pin!(self.editor.lend(edit(&command, &text)));
            loop {
                tokio::select! {
                    composed = &mut turn => break composed?,
                    // Ctrl-C is the editor's then, and reaches us all the same.
                    () = self.interrupts.next() => {}
                }
            }
        };
        Ok(composed.unwrap_or_else(|message| {
            let hint = "set OLLAMA_EDITOR, VISUAL or EDITOR to the command that starts your editor";
            self.app.printer.error_human(&message, Some(hint));
            text
        }))
    }
}

async fn edit(command: &str, text: &str) -> Result<String, String> {
    let failed = |error: io::Error| format!("the message cannot be handed to an editor: {error}");
    let mut file = tempfile::Builder::new().prefix("ollama-auth-").suffix(".md").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or(FALLBACK);
    let mut editor = tokio::process::Command::new(program);
    editor.args(words).arg(file.path());
    keep_secrets_from(editor.as_std_mut());
    let ended = editor.status().await.map_err(|error| format!("the editor {program:?} does not start: {error}"))?;
    if !ended.success() {
        return Err(format!("the editor {program:?} ended with an error ({ended}), so nothing was taken from it"));
    }
    // By its name: many editors put a new file in its place.
    let mut text = String::new();
    let read = std::fs::File::open(file.path()).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    read.map_err(|error| format!("what the editor {program:?} left cannot be read: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
