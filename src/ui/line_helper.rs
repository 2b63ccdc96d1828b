//! What the line editor asks while a person types: completions, the faint hint in an empty line, and how the line looks.
//! Pasted control characters are kept in the text and left out of the picture.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::sanitize::is_dangerous;

/// Gives the completions of the text in front of the cursor: where the word begins (a byte position), and what it may become.
pub type Complete = Box<dyn Fn(&str) -> (usize, Vec<String>) + Send + Sync>;

/// The editor's helper.
pub(super) struct Assistant {
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

impl Hinter for Assistant {
    type Hint = Placeholder;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<Placeholder> {
        line.is_empty().then_some(Placeholder(self.placeholder))
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, found) = (self.complete)(&line[..pos]);
        // A name that would act on the terminal, or that is not what it seems, is not offered.
        let safe = |name: &String| !name.contains(|c: char| is_dangerous(c) || c.is_whitespace() && c != ' ');
        Ok((start, found.into_iter().filter(safe).collect()))
    }
}

impl Highlighter for Assistant {
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

impl Validator for Assistant {}
impl Helper for Assistant {}
