//! The slash commands of a conversation, as they are typed.

/// A command that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `/set …`
    Set(Setting),
    /// `/show …`
    Show(Section),
    /// `/load MODEL`
    Load(String),
    /// `/save MODEL`
    Save(String),
    /// `/list`, with the beginning of a name where one is given
    List(Option<String>),
    /// `/clear`
    Clear,
    /// `/retry`
    Retry,
    /// `/copy`
    Copy,
    /// `/export FILE`
    Export(String),
    /// `/status`
    Status,
    /// `/bye`, `/exit`
    Bye,
    /// `/?`, `/help`
    Help(Help),
}

/// What `/set` changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A parameter, and the words behind its name.
    Parameter(String, Vec<String>),
    /// The system message.
    System(String),
    /// Whether typed lines are saved on disk.
    History(bool),
    /// Whether words are wrapped.
    WordWrap(bool),
    /// Whether answers are JSON.
    JsonFormat(bool),
    /// Whether timings follow an answer.
    Verbose(bool),
    /// Think first: on, off, or how much.
    Think(Thinking),
}

/// What `/set think` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// `/set nothink`
    Off,
    /// `/set think`
    On,
    /// `/set think LEVEL`
    Level(String),
}

/// What `/show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The model's facts.
    Info,
    /// Its license.
    License,
    /// The file it was made from.
    Modelfile,
    /// Its parameters, and those set here.
    Parameters,
    /// The system message.
    System,
    /// The template of its prompts.
    Template,
}

/// What help is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// Everything, in short.
    Commands,
    /// `/set`
    Set,
    /// `/set parameter`
    Parameters,
    /// `/show`
    Show,
    /// The keys.
    Shortcuts,
}

/// Why a line that begins with `/` is not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// An unknown command: the part that was understood, and the word that was not.
    Unknown(String),
    /// It is written otherwise: like this.
    Usage(&'static str),
    /// More is needed: this is the help to show.
    Explain(Help),
}

/// The sections of `/show` by their words.
pub const SECTIONS: [(&str, Section); 6] = [
    ("info", Section::Info),
    ("license", Section::License),
    ("modelfile", Section::Modelfile),
    ("parameters", Section::Parameters),
    ("system", Section::System),
    ("template", Section::Template),
];

impl Command {
    /// Reads a line that begins with `/`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, rest) = words.split_first().ok_or(CommandError::Explain(Help::Commands))?;
        match (*name, rest) {
            ("/set", _) => setting(line, rest).map(Self::Set),
            ("/show", []) => Err(CommandError::Explain(Help::Show)),
            ("/show", [what, ..]) => {
                let found = SECTIONS.iter().find(|(word, _)| word == what);
                found
                    .map(|(_, section)| Self::Show(*section))
                    .ok_or_else(|| CommandError::Unknown(format!("/show {what}")))
            }
            ("/load", [model]) => Ok(Self::Load((*model).to_owned())),
            ("/load", _) => Err(CommandError::Usage("/load MODEL")),
            ("/save", [model]) => Ok(Self::Save((*model).to_owned())),
            ("/save", _) => Err(CommandError::Usage("/save MODEL")),
            ("/list" | "/ls", _) => Ok(Self::List(rest.first().map(|word| (*word).to_owned()))),
            ("/clear", _) => Ok(Self::Clear),
            ("/retry", _) => Ok(Self::Retry),
            ("/copy", _) => Ok(Self::Copy),
            ("/export", []) => Err(CommandError::Usage("/export FILE")),
            // The rest of the line: a name may hold spaces.
            ("/export", _) => Ok(Self::Export(unquoted(behind(line, 1)).to_owned())),
            ("/status", _) => Ok(Self::Status),
            ("/bye" | "/exit", _) => Ok(Self::Bye),
            ("/?" | "/help", []) => Ok(Self::Help(Help::Commands)),
            ("/?" | "/help", [about, ..]) => match about.trim_start_matches('/') {
                "set" => Ok(Self::Help(Help::Set)),
                "show" => Ok(Self::Help(Help::Show)),
                "shortcut" | "shortcuts" => Ok(Self::Help(Help::Shortcuts)),
                "parameter" | "parameters" => Ok(Self::Help(Help::Parameters)),
                _ => Ok(Self::Help(Help::Commands)),
            },
            (other, _) => Err(CommandError::Unknown(other.to_owned())),
        }
    }
}

fn setting(line: &str, rest: &[&str]) -> Result<Setting, CommandError> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match rest {
        [] => Err(CommandError::Explain(Help::Set)),
        ["parameter", name, values @ ..] if !values.is_empty() => {
            Ok(Setting::Parameter((*name).to_owned(), owned(values)))
        }
        ["parameter", ..] => Err(CommandError::Explain(Help::Parameters)),
        ["system"] => Err(CommandError::Usage("/set system TEXT")),
        ["system", ..] => Ok(Setting::System(unquoted(behind(line, 2)).to_owned())),
        ["history", ..] => Ok(Setting::History(true)),
        ["nohistory", ..] => Ok(Setting::History(false)),
        ["wordwrap", ..] => Ok(Setting::WordWrap(true)),
        ["nowordwrap", ..] => Ok(Setting::WordWrap(false)),
        ["format", "json", ..] => Ok(Setting::JsonFormat(true)),
        ["format", ..] => Err(CommandError::Usage("/set format json")),
        ["noformat", ..] => Ok(Setting::JsonFormat(false)),
        ["verbose", ..] => Ok(Setting::Verbose(true)),
        ["quiet", ..] => Ok(Setting::Verbose(false)),
        ["think"] => Ok(Setting::Think(Thinking::On)),
        ["think", level, ..] => Ok(Setting::Think(Thinking::Level((*level).to_owned()))),
        ["nothink", ..] => Ok(Setting::Think(Thinking::Off)),
        [other, ..] => Err(CommandError::Unknown(format!("/set {other}"))),
    }
}

/// The text behind the first `count` words, as it was typed.
fn behind(line: &str, count: usize) -> &str {
    let mut rest = line.trim();
    for _ in 0..count {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[end..].trim_start();
    }
    rest
}

/// Without a pair of quotes around it.
fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if text.len() > 1
            && let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read() {
        let set = |setting| Ok(Command::Set(setting));
        for (line, expected) in [
            ("/set parameter temperature 0.5", set(Setting::Parameter("temperature".into(), vec!["0.5".into()]))),
            ("/set parameter stop a b", set(Setting::Parameter("stop".into(), vec!["a".into(), "b".into()]))),
            ("/set system You  are terse", set(Setting::System("You  are terse".into()))),
            ("/set system \"quoted\"", set(Setting::System("quoted".into()))),
            ("/set history", set(Setting::History(true))),
            ("/set nohistory", set(Setting::History(false))),
            ("/set wordwrap", set(Setting::WordWrap(true))),
            ("/set nowordwrap", set(Setting::WordWrap(false))),
            ("/set format json", set(Setting::JsonFormat(true))),
            ("/set noformat", set(Setting::JsonFormat(false))),
            ("/set verbose", set(Setting::Verbose(true))),
            ("/set quiet", set(Setting::Verbose(false))),
            ("/set think", set(Setting::Think(Thinking::On))),
            ("/set think high", set(Setting::Think(Thinking::Level("high".into())))),
            ("/set nothink", set(Setting::Think(Thinking::Off))),
            ("/show template", Ok(Command::Show(Section::Template))),
            ("/load  m:1 ", Ok(Command::Load("m:1".into()))),
            ("/save mine", Ok(Command::Save("mine".into()))),
            ("/list", Ok(Command::List(None))),
            ("/list ti", Ok(Command::List(Some("ti".into())))),
            ("/clear", Ok(Command::Clear)),
            ("/retry", Ok(Command::Retry)),
            ("/copy", Ok(Command::Copy)),
            ("/export 'my talk.md'", Ok(Command::Export("my talk.md".into()))),
            ("/export my talk.md", Ok(Command::Export("my talk.md".into()))),
            ("/status", Ok(Command::Status)),
            ("/bye", Ok(Command::Bye)),
            ("/exit", Ok(Command::Bye)),
            ("/?", Ok(Command::Help(Help::Commands))),
            ("/help set", Ok(Command::Help(Help::Set))),
            ("/? /show", Ok(Command::Help(Help::Show))),
            ("/? shortcuts", Ok(Command::Help(Help::Shortcuts))),
        ] {
            assert_eq!(Command::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_says_so() {
        let unknown = |text: &str| CommandError::Unknown(text.to_owned());
        for (line, expected) in [
            ("/nonsense x", unknown("/nonsense")),
            ("/byebye", unknown("/byebye")),
            ("/set nonsense", unknown("/set nonsense")),
            ("/show nonsense", unknown("/show nonsense")),
            ("/set", CommandError::Explain(Help::Set)),
            ("/show", CommandError::Explain(Help::Show)),
            ("/set parameter", CommandError::Explain(Help::Parameters)),
            ("/set parameter temperature", CommandError::Explain(Help::Parameters)),
            ("/set format", CommandError::Usage("/set format json")),
            ("/set format xml", CommandError::Usage("/set format json")),
            ("/load", CommandError::Usage("/load MODEL")),
            ("/load a b", CommandError::Usage("/load MODEL")),
            ("/save", CommandError::Usage("/save MODEL")),
            ("/export", CommandError::Usage("/export FILE")),
        ] {
            assert_eq!(Command::parse(line), Err(expected), "{line}");
        }
    }
}
