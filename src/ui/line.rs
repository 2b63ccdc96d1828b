//! The line editor of a chat, on a thread of its own: it sleeps in a read, while everything else continues.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler,
    Helper, KeyEvent, RepeatCount,
};
use tokio::sync::oneshot;

use crate::ui::line_modes::TerminalModes;
use crate::ui::printer::Printer;
use crate::ui::sanitize::is_dangerous;

/// What a person did at the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineInput {
    /// Enter: the line, which holds newlines where they were pasted.
    Line(String),
    /// Ctrl-C, and what had been typed.
    Interrupted(String),
    /// Ctrl-G: the person wants to continue this text in an editor.
    Compose(String),
    /// The input was not valid UTF-8; what had been typed is lost.
    NotText,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// The prompt and its initial text.
#[derive(Clone, Debug)]
pub struct LinePrompt {
    /// In front of the line; plain text.
    pub prompt: &'static str,
    /// Faintly in an empty line.
    pub placeholder: &'static str,
    /// In the line already.
    pub filled: String,
}

enum Work {
    Read(LinePrompt, oneshot::Sender<io::Result<LineInput>>),
    Remember(String),
}

/// The terminal of a chat, and the editor. Dropping this restores the terminal.
#[derive(Debug)]
pub struct LineEditor {
    work: mpsc::Sender<Work>,
    modes: TerminalModes,
}

impl LineEditor {
    /// Takes the terminal on stdin and stdout. `entries` is what was typed before, oldest first.
    ///
    /// # Errors
    /// When there is none, or the thread cannot be made.
    pub fn start(printer: &Printer, complete: Complete, entries: Vec<String>) -> io::Result<Self> {
        let color = printer.colors_stdout();
        let modes = TerminalModes::begin(printer.is_dumb())?;
        let (work, jobs) = mpsc::channel();
        std::thread::Builder::new()
            .name("line".to_owned())
            .spawn(move || run_editor(&jobs, complete, entries, color))?;
        Ok(Self { work, modes })
    }

    /// Reads a line. Dropping the future leaves the editor reading: only for the end of the program.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    pub async fn read(&self, ask: LinePrompt) -> io::Result<LineInput> {
        let (answer, typed) = oneshot::channel();
        let gone = || io::Error::other("the line editor has ended");
        self.work.send(Work::Read(ask, answer)).map_err(|_| gone())?;
        self.modes.reading(true);
        let typed = typed.await.map_err(|_| gone());
        self.modes.reading(false);
        let typed = typed?;
        // The editor has restored the terminal's modes, except bracketed paste.
        self.modes.quiet()?;
        typed
    }

    /// Lets the arrow keys and the search find this from now on.
    pub fn remember(&self, entry: String) {
        // An editor that has ended says so at the next read.
        let _ = self.work.send(Work::Remember(entry));
    }

    /// Runs another program's turn at the terminal: it finds the terminal as it was before the chat.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub async fn lend_terminal<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        self.modes.lend()?;
        let done = work.await;
        self.modes.quiet()?;
        Ok(done)
    }
}

/// Entries that can be found by key.
const REMEMBERED: usize = 1000;

type Inner = Editor<EditorHelper, MemHistory>;

fn run_editor(jobs: &mpsc::Receiver<Work>, complete: Complete, entries: Vec<String>, color: bool) {
    let keys = Keys::default();
    let mut editor = create_editor(complete, color, &keys);
    if let Ok(editor) = &mut editor {
        for entry in entries {
            let _ = editor.add_history_entry(entry);
        }
    }
    for job in jobs {
        match (job, &mut editor) {
            (Work::Remember(entry), Ok(editor)) => {
                let _ = editor.add_history_entry(entry);
            }
            (Work::Remember(_), Err(_)) => {}
            (Work::Read(ask, answer), Ok(editor)) => {
                if answer.send(read_line(editor, &keys, &ask)).is_err() {
                    return;
                }
            }
            (Work::Read(_, answer), Err(error)) => {
                let _ = answer.send(Err(io::Error::other(error.to_string())));
            }
        }
    }
}

fn create_editor(complete: Complete, color: bool, keys: &Keys) -> rustyline::Result<Inner> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        // The picture of the line is ours to make harmless, with colour and without.
        .color_mode(ColorMode::Forced)
        .history_ignore_dups(true)?
        .max_history_size(REMEMBERED)?
        .bell_style(rustyline::config::BellStyle::None)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.enable_synchronized_output(false);
    editor.set_helper(Some(EditorHelper { complete, placeholder: "", color }));
    let mut bind = |key: KeyEvent, what: Key| {
        let handler = Handler { keys: keys.clone(), what };
        editor.bind_sequence(key, EventHandler::Conditional(Box::new(handler)));
    };
    bind(KeyEvent::ctrl('C'), Key::Interrupt);
    bind(KeyEvent::ctrl('G'), Key::Compose);
    bind(KeyEvent::ctrl('Z'), Key::Suspend);
    bind(KeyEvent::alt('\r'), Key::NewLine);
    Ok(editor)
}

fn read_line(editor: &mut Inner, keys: &Keys, ask: &LinePrompt) -> io::Result<LineInput> {
    keys.clear();
    if let Some(helper) = editor.helper_mut() {
        helper.placeholder = ask.placeholder;
    }
    let line = editor.readline_with_initial(ask.prompt, (&ask.filled, ""));
    match line {
        Ok(line) if keys.interrupted.load(Ordering::Relaxed) => Ok(LineInput::Interrupted(line)),
        Ok(line) if keys.compose.load(Ordering::Relaxed) => Ok(LineInput::Compose(line)),
        Ok(line) => Ok(LineInput::Line(line)),
        Err(ReadlineError::Interrupted) => Ok(LineInput::Interrupted(String::new())),
        Err(ReadlineError::Eof) => Ok(LineInput::End),
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => Ok(LineInput::NotText),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(other) => Err(io::Error::other(other.to_string())),
    }
}

/// Why the line was handed over. The editor knows only lines; a line that ends in another way than by Enter ends by one of these.
#[derive(Clone, Default)]
struct Keys {
    interrupted: Arc<AtomicBool>,
    compose: Arc<AtomicBool>,
}

impl Keys {
    fn clear(&self) {
        self.interrupted.store(false, Ordering::Relaxed);
        self.compose.store(false, Ordering::Relaxed);
    }
}

enum Key {
    Interrupt,
    Compose,
    Suspend,
    NewLine,
}

struct Handler {
    keys: Keys,
    what: Key,
}

impl ConditionalEventHandler for Handler {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<rustyline::Cmd> {
        use rustyline::Cmd;
        match self.what {
            // Handed over as a line, so that what has been typed behind the key already is not lost.
            Key::Interrupt => self.keys.interrupted.store(true, Ordering::Relaxed),
            Key::Compose => self.keys.compose.store(true, Ordering::Relaxed),
            Key::NewLine => return Some(Cmd::Newline),
            Key::Suspend => {
                #[cfg(unix)]
                super::line_modes::suspend();
                return Some(Cmd::Repaint);
            }
        }
        Some(Cmd::AcceptLine)
    }
}

/// Gives the completions of the text in front of the cursor: where the word begins (a byte position), and what it may become.
pub type Complete = Box<dyn Fn(&str) -> (usize, Vec<String>) + Send + Sync>;

/// The editor's helper.
pub(super) struct EditorHelper {
    pub complete: Complete,
    /// Stands faintly in an empty line.
    pub placeholder: &'static str,
    pub color: bool,
}

/// A hint that is only looked at.
pub(super) struct Placeholder(&'static str);

impl Hint for Placeholder {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for EditorHelper {
    type Hint = Placeholder;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<Placeholder> {
        line.is_empty().then_some(Placeholder(self.placeholder))
    }
}

impl Completer for EditorHelper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, found) = (self.complete)(&line[..pos]);
        // A name that would act on the terminal, or that is not what it seems, is not offered.
        let safe = |name: &String| !name.contains(|c: char| is_dangerous(c) || c.is_whitespace() && c != ' ');
        Ok((start, found.into_iter().filter(safe).collect()))
    }
}

impl Highlighter for EditorHelper {
    /// What is left out has no width in the editor's count either.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let hidden = |c: char| is_dangerous(c) && c != '\n' && c != '\t';
        if line.contains(hidden) { Cow::Owned(line.replace(hidden, "")) } else { Cow::Borrowed(line) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.color { Cow::Owned(format!("\x1b[2m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }

    /// A hint that stands in the line has to go with the first key, and a hidden character must not slip through the editor's
    /// short cut, which writes a single key as it is.
    fn highlight_char(&self, line: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::ForcedRefresh && line.contains(|c: char| is_dangerous(c) && c != '\n' && c != '\t')
    }
}

impl Validator for EditorHelper {}
impl Helper for EditorHelper {}
