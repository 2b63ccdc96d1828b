//! Colours and marks. Each repeats what the words already say, so that nothing is lost without colour.

/// How model output looks on a terminal with colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// The answer.
    #[default]
    Plain,
    /// What precedes it: thinking, remarks of ours between the model's words.
    Faint,
}

impl Tone {
    pub(super) fn sequence(self) -> &'static str {
        match self {
            Self::Plain => RESET,
            Self::Faint => "\x1b[2m",
        }
    }
}

/// The colour of a state in a table or a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    /// The terminal's own colour.
    #[default]
    Plain,
    /// In order: green.
    Good,
    /// Something may be wrong: yellow.
    Doubtful,
    /// Something is wrong: red.
    Bad,
    /// Not in use any more, or unknown: dim.
    Faint,
}

impl Tint {
    fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Doubtful => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }

    /// The text in this colour, where there is colour.
    pub(super) fn paint(self, text: &str, color: bool) -> String {
        match self.sequence() {
            sequence if color && !sequence.is_empty() && !text.is_empty() => format!("{sequence}{text}{RESET}"),
            _ => text.to_owned(),
        }
    }
}

/// Ends every colour.
const RESET: &str = "\x1b[0m";

/// What stdout can show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Symbols such as ✓ and …
    pub symbols: bool,
    pub color: bool,
    /// Columns of the terminal; `None` where there is none: nothing is shortened or broken.
    pub width: Option<usize>,
}

/// What a line on stderr is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Success,
    Warning,
    Error,
}

impl Mark {
    /// What the line begins with: a symbol where the terminal can show it, a word (or nothing, for success) elsewhere.
    pub(super) fn prefix(self, symbols: bool, color: bool) -> &'static str {
        match (self, symbols, color) {
            (Self::Success, true, true) => "\x1b[32m✓\x1b[0m ",
            (Self::Success, true, false) => "✓ ",
            (Self::Success, false, _) => "",
            (Self::Warning, true, true) => "\x1b[33m!\x1b[0m ",
            (Self::Warning, true, false) => "! ",
            (Self::Warning, false, true) => "\x1b[33mwarning:\x1b[0m ",
            (Self::Warning, false, false) => "warning: ",
            (Self::Error, true, true) => "\x1b[31m✗\x1b[0m ",
            (Self::Error, true, false) => "✗ ",
            (Self::Error, false, true) => "\x1b[31merror:\x1b[0m ",
            (Self::Error, false, false) => "error: ",
        }
    }
}
