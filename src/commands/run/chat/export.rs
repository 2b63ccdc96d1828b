//! `/copy` puts the last answer on the clipboard, `/export` writes the conversation to a file.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::Chat;
use crate::chat::{ExportFormat, export};
use crate::disk::write_given;
use crate::env::keep_secrets_from;
use crate::ui::PromptError;

/// How long a clipboard program may take.
const CLIPBOARD_TIMEOUT: Duration = Duration::from_secs(3);

impl Chat<'_> {
    /// `/copy`: by the desktop's own program, else by the terminal, which works over ssh too.
    pub(super) async fn copy(&mut self) -> anyhow::Result<()> {
        let Some(answer) = self.conversation.last_answer() else {
            self.app.printer.warn("there is no answer to copy yet");
            return Ok(());
        };
        let text = answer.content.clone();
        for command in self.app.env.clipboard {
            if pipe_to(command, &text).await {
                self.app.printer.success("Copied the last answer");
                return Ok(());
            }
        }
        if self.app.printer.copy_to_clipboard(&text)? {
            self.app.printer.success("Sent the last answer to the terminal's clipboard, if the terminal supports it");
        } else {
            self.app.printer.warn("the answer is too long for the terminal's clipboard; /export FILE saves it");
        }
        Ok(())
    }

    /// `/export FILE`
    pub(super) async fn export(&mut self, name: &str) -> anyhow::Result<()> {
        if self.conversation.sent().is_empty() {
            self.app.printer.warn("there are no messages to export yet");
            return Ok(());
        }
        let path = self.expand_home(name);
        if path.is_dir() || name.ends_with('/') {
            self.app.printer.warn(&format!("{} is a folder; name a file in it", path.display()));
            return Ok(());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            self.app.printer.warn(&format!("the folder {} does not exist", folder.display()));
            return Ok(());
        }
        let host = self.session.base().to_string();
        let text = export(&self.conversation, self.model.as_str(), &host, ExportFormat::of(name));
        match write_given(&path, text.as_bytes(), false) {
            Ok(true) => {}
            Ok(false) => {
                let question = format!("{} exists. Replace it?", path.display());
                match self.app.ask(move |printer| printer.confirm(&question, false)).await? {
                    Ok(true) => {}
                    Ok(false) | Err(PromptError::Interrupted) => {
                        self.app.printer.note("Kept the existing file.");
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                }
                if let Err(error) = write_given(&path, text.as_bytes(), true) {
                    self.show_error(&error.into());
                    return Ok(());
                }
            }
            Err(error) => {
                self.show_error(&error.into());
                return Ok(());
            }
        }
        self.app.printer.success(&format!("Wrote this conversation to {}", path.display()));
        Ok(())
    }

    /// `~/` is the home folder: no shell has seen this name.
    fn expand_home(&self, name: &str) -> PathBuf {
        match name.strip_prefix("~/") {
            Some(rest) => self.app.paths.home.join(rest),
            None => Path::new(name).to_owned(),
        }
    }
}

/// Whether that program took the text.
async fn pipe_to(command: &[&str], text: &str) -> bool {
    let Some((program, args)) = command.split_first() else { return false };
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    keep_secrets_from(command.as_std_mut());
    let work = async {
        let mut child = command.spawn().ok()?;
        let mut input = child.stdin.take()?;
        input.write_all(text.as_bytes()).await.ok()?;
        drop(input);
        child.wait().await.ok().filter(std::process::ExitStatus::success)
    };
    matches!(tokio::time::timeout(CLIPBOARD_TIMEOUT, work).await, Ok(Some(_)))
}
