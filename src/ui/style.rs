//! The few styles in use. Every one of them only repeats what the words already say, so that nothing is lost without colour.

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
            Self::Plain => "\x1b[0m",
            Self::Faint => "\x1b[2m",
        }
    }
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
