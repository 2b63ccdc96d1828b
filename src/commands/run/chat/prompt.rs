//! The prompt: reads lines until there is a message or a command, answers Tab with model names, and opens an editor on Ctrl-G.

use std::io;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, channel};

use crate::api::Session;
use crate::chat::{Composer, Input, complete};
use crate::commands::run::chat::{Chat, UserInput};
use crate::env::keep_secrets_from;
use crate::ui::{Complete, LineInput, LinePrompt};

const PROMPT: &str = ">>> ";
const PROMPT_MORE: &str = "... ";
const PLACEHOLDER: &str = "Send a message (/? for help)";

impl Chat<'_> {
    /// The next thing that is asked for.
    pub(super) async fn prompt(&mut self) -> anyhow::Result<UserInput> {
        let mut composer = Composer::default();
        let mut filled = String::new();
        loop {
            let (prompt, placeholder) = if composer.is_open() { (PROMPT_MORE, "") } else { (PROMPT, PLACEHOLDER) };
            match self.line(LinePrompt { prompt, placeholder, filled: std::mem::take(&mut filled) }).await? {
                LineInput::End => return Ok(UserInput::End),
                LineInput::Interrupted(text) => {
                    if text.is_empty() && !composer.is_open() {
                        self.app.printer.report("Ctrl-D or /bye leaves the conversation.");
                    }
                    composer.reset();
                }
                LineInput::NotText => {
                    self.app.printer.warn("the line was not valid UTF-8 and was dropped");
                }
                LineInput::Compose(text) => filled = self.compose(text).await?,
                LineInput::Line(line) => {
                    let input = composer.push(&line);
                    if input == Input::More {
                        continue;
                    }
                    let typed = composer.take_typed();
                    let turn = match input {
                        Input::More | Input::Nothing => continue,
                        Input::Command(line) => UserInput::Command(line),
                        Input::Message(text) => UserInput::Message(text),
                        Input::System(text) => UserInput::System(text),
                    };
                    if self.history.add(self.app, &typed) {
                        self.editor.remember(typed);
                    }
                    return Ok(turn);
                }
            }
        }
    }

    async fn line(&mut self, ask: LinePrompt) -> std::io::Result<LineInput> {
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

/// What there is everywhere.
const DEFAULT_EDITOR: &str = if cfg!(windows) { "notepad" } else { "vi" };
/// The longest message that is read back from the editor, in bytes.
const MAX_MESSAGE_BYTES: u64 = 4 << 20;

impl Chat<'_> {
    /// Returns the text for the prompt. What was typed is not lost when the editor fails.
    pub(super) async fn compose(&mut self, text: String) -> io::Result<String> {
        let command = self.app.env.editor.clone().unwrap_or_else(|| DEFAULT_EDITOR.to_owned());
        let composed = {
            let mut turn = std::pin::pin!(self.editor.lend_terminal(edit(&command, &text)));
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
    let failed = |error: io::Error| format!("cannot write the message to a temporary file: {error}");
    let mut file = tempfile::Builder::new().prefix("ollama-auth-").suffix(".md").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    let words =
        shell_words::split(command).map_err(|error| format!("cannot read the editor command {command:?}: {error}"))?;
    let (program, args) = words.split_first().ok_or_else(|| format!("the editor command {command:?} is empty"))?;
    let mut editor = tokio::process::Command::new(program);
    editor.args(args).arg(file.path());
    keep_secrets_from(editor.as_std_mut());
    let ended = editor.status().await.map_err(|error| format!("cannot start the editor {program:?}: {error}"))?;
    if !ended.success() {
        return Err(format!("the editor {program:?} failed ({ended}); its text was discarded"));
    }
    // By its name: many editors put a new file in its place.
    let mut text = String::new();
    let read = std::fs::File::open(file.path()).and_then(|file| file.take(MAX_MESSAGE_BYTES).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read what the editor {program:?} saved: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// How long a host may take; a person waits at the prompt.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer holds.
const CACHE_LIFETIME: Duration = Duration::from_secs(30);
/// More are no help.
const MAX_NAMES: usize = 500;

/// Where an answer is waited for.
pub(super) type NamesRequest = SyncSender<Vec<String>>;

/// See the module.
pub(super) struct ModelNames {
    requests: Receiver<NamesRequest>,
    known: Option<(Instant, Vec<String>)>,
}

impl ModelNames {
    /// And what the editor is to ask.
    pub(super) fn new() -> (Self, Complete) {
        let (sender, requests) = channel::<NamesRequest>(1);
        let ask = move || {
            let (answer, names) = sync_channel(1);
            if sender.blocking_send(answer).is_err() {
                return Vec::new();
            }
            // A little longer than the host has.
            names.recv_timeout(LOOKUP_TIMEOUT * 2).unwrap_or_default()
        };
        let completer = move |before: &str| complete(before, &ask);
        (Self { requests, known: None }, Box::new(completer))
    }

    /// The next time somebody presses Tab where a model is named.
    pub(super) async fn wanted(&mut self) -> NamesRequest {
        match self.requests.recv().await {
            Some(wanted) => wanted,
            None => std::future::pending().await,
        }
    }

    /// Answers. A host that says nothing has no names.
    pub(super) async fn answer(&mut self, session: &Session<'_>, wanted: NamesRequest) {
        if self.known.as_ref().is_none_or(|(at, _)| at.elapsed() > CACHE_LIFETIME)
            && let Ok(Ok(models)) = tokio::time::timeout(LOOKUP_TIMEOUT, session.models()).await
        {
            let names = models.into_iter().take(MAX_NAMES).map(|model| model.name).collect();
            self.known = Some((Instant::now(), names));
        }
        // The editor may have given up.
        let _ = wanted.try_send(self.known.as_ref().map(|(_, names)| names.clone()).unwrap_or_default());
    }

    /// Forgets them: the host has changed, or a model was made.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}
