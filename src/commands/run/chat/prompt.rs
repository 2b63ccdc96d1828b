//! The prompt: reads lines until there is a message or a command, and answers Tab meanwhile.

use super::{Chat, Turn};
use crate::chat::{Composer, Input};
use crate::ui::{Ask, Typed};

const PROMPT: &str = ">>> ";
const PROMPT_MORE: &str = "... ";
const PLACEHOLDER: &str = "Send a message (/? for help)";

impl Chat<'_> {
    /// The next thing that is asked for.
    pub(super) async fn prompt(&mut self) -> anyhow::Result<Turn> {
        let mut composer = Composer::default();
        let mut filled = String::new();
        loop {
            let (prompt, placeholder) = if composer.is_open() { (PROMPT_MORE, "") } else { (PROMPT, PLACEHOLDER) };
            match self.line(Ask { prompt, placeholder, filled: std::mem::take(&mut filled) }).await? {
                Typed::End => return Ok(Turn::End),
                Typed::Interrupted(text) => {
                    if text.is_empty() && !composer.is_open() {
                        self.app.printer.report("Ctrl-D or /bye leaves the conversation.");
                    }
                    composer.reset();
                }
                Typed::Garbled => {
                    self.app.printer.warn("that was not valid UTF-8 text, so the line was dropped");
                }
                Typed::Compose(text) => filled = self.compose(text).await?,
                Typed::Line(line) => {
                    let input = composer.push(&line);
                    if input == Input::More {
                        continue;
                    }
                    let typed = composer.take_typed();
                    let turn = match input {
                        Input::More | Input::Nothing => continue,
                        Input::Command(line) => Turn::Command(line),
                        Input::Message(text) => Turn::Message(text),
                        Input::System(text) => Turn::System(text),
                    };
                    if self.history.add(self.app, &typed) {
                        self.editor.remember(typed);
                    }
                    return Ok(turn);
                }
            }
        }
    }

    async fn line(&mut self, ask: Ask) -> std::io::Result<Typed> {
        self.interrupts.forget();
        let mut reading = std::pin::pin!(self.editor.read(ask));
        loop {
            tokio::select! {
                typed = &mut reading => return typed,
                wanted = self.names.wanted() => self.names.answer(&self.session, wanted).await,
                // Only where the terminal is too simple for the editor; elsewhere Ctrl-C is a key like others.
                () = self.interrupts.next() => {
                    if self.app.printer.is_dumb() {
                        self.app.printer.report("\nCtrl-D or /bye leaves the conversation.");
                    }
                }
            }
        }
    }
}
