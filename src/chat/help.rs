//! The help texts of a conversation, and what Tab completes: commands, their words, parameters and model names.

use crate::chat::command::{Help, SECTIONS};
use crate::chat::parameters;

/// The text on a subject; ends in a newline.
pub fn help(about: Help, takes_media: bool) -> String {
    match about {
        Help::Commands if takes_media => format!("{COMMANDS}{MEDIA}"),
        Help::Commands => COMMANDS.to_owned(),
        Help::Set => SET.to_owned(),
        Help::Show => SHOW.to_owned(),
        Help::Shortcuts => SHORTCUTS.to_owned(),
        Help::Parameters => {
            let mut text = "Common parameters:\n".to_owned();
            for (name, kind, about) in parameters::common() {
                let usage = format!("/set parameter {name} {kind}");
                text.push_str(&format!("  {usage:<40}  {about}\n"));
            }
            text
        }
    }
}

const COMMANDS: &str = "\
Commands:
  /set            Change a setting of this conversation
  /show           Show what the model is made of
  /load MODEL     Go on with another model, or with one that was saved
  /save MODEL     Save this conversation as a model
  /list           List the models of this server
  /clear          Forget what was said
  /retry          Send the last message again
  /copy           Copy the last answer to the clipboard
  /export FILE    Write this conversation to a file (.json: JSON; else Markdown)
  /status         Show the host, the credential and the account
  /bye            Leave (also /exit)
  /?, /help       Help; /? set, /? show and /? shortcuts tell more

Begin a message of several lines with \"\"\", and end it so.
";

const MEDIA: &str =
    "Name a file by its path, or drag it here, to show the model a .jpg, .png or .webp, or a .wav sound.\n";

const SET: &str = "\
Settings:
  /set parameter ...     Set a model parameter (/? parameters)
  /set system TEXT       Set the system message
  /set history           Keep what is typed, for the next time
  /set nohistory         Keep nothing from here on
  /set wordwrap          Wrap words at the edge of the terminal
  /set nowordwrap        Leave that to the terminal
  /set format json       Have answers in JSON
  /set noformat          Have answers as they come
  /set verbose           Show timings after each answer
  /set quiet             Show none
  /set think [LEVEL]     Let the model think first: low, medium, high or max
  /set nothink           Let it answer at once
";

const SHOW: &str = "\
What can be shown:
  /show info         The model's facts
  /show license      Its license
  /show modelfile    The file it was made from
  /show parameters   Its parameters, and those set here
  /show system       The system message
  /show template     The template of its prompts
";

const SHORTCUTS: &str = "\
Keys:
  Ctrl-A, Home     To the beginning of the line
  Ctrl-E, End      To its end
  Alt-B, Alt-F     Back, forward by a word
  Ctrl-K           Delete what follows
  Ctrl-U           Delete what precedes
  Ctrl-W           Delete the word in front
  Ctrl-Y           Put back what was deleted
  Ctrl-_           Undo

  Up, Down         What was typed before
  Ctrl-R           Search in it
  Tab              Complete a command or the name of a model
  Alt-Enter        Begin a new line
  Ctrl-L           Clear the screen
  Ctrl-G           Go on in your editor (OLLAMA_EDITOR, VISUAL, EDITOR)

  Ctrl-C           Stop the answer; at the prompt, drop the line
  Ctrl-D           Leave (/bye)
  Ctrl-Z           Suspend; `fg` in the shell comes back
";

const COMMAND_NAMES: [&str; 14] = [
    "/?", "/bye", "/clear", "/copy", "/exit", "/export", "/help", "/list", "/load", "/retry", "/save", "/set", "/show",
    "/status",
];
const SETTINGS: [&str; 12] = [
    "format json",
    "history",
    "noformat",
    "nohistory",
    "nothink",
    "nowordwrap",
    "parameter",
    "quiet",
    "system",
    "think",
    "verbose",
    "wordwrap",
];
const LEVELS: [&str; 4] = ["high", "low", "max", "medium"];
const HELP_TOPICS: [&str; 4] = ["parameters", "set", "shortcuts", "show"];

/// The completions of the text in front of the cursor: where the word begins (a byte position), and the whole words that it may
/// become. `models` is asked for names only where a model is named.
pub fn complete(before: &str, models: impl FnOnce() -> Vec<String>) -> (usize, Vec<String>) {
    let start =
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let words: Vec<&str> = before[..start].split_whitespace().collect();
    let fixed = |known: &[&str]| -> Vec<String> { known.iter().map(|each| (*each).to_owned()).collect() };
    let known: Vec<String> = match words.as_slice() {
        [] if word.starts_with('/') => fixed(&COMMAND_NAMES),
        ["/load" | "/save"] => models(),
        ["/set"] => fixed(&SETTINGS),
        ["/set", "format"] => fixed(&["json"]),
        ["/set", "think"] => fixed(&LEVELS),
        ["/set", "parameter"] => parameters::names().map(str::to_owned).collect(),
        ["/show"] => SECTIONS.iter().map(|(word, _)| (*word).to_owned()).collect(),
        ["/?" | "/help"] => fixed(&HELP_TOPICS),
        _ => Vec::new(),
    };
    let mut found: Vec<String> = known.into_iter().filter(|each| each.starts_with(word)).collect();
    found.sort();
    // What takes more is completed with the space in front of it.
    if let [only] = found.as_mut_slice()
        && ["/set", "/show", "/load", "/save", "/export", "parameter", "system"].contains(&only.as_str())
    {
        only.push(' ');
    }
    (start, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str) -> (usize, Vec<String>) {
        complete(before, || vec!["tiny:latest".into(), "tall".into()])
    }

    #[test]
    fn completes_the_word_at_the_cursor() {
        assert_eq!(found("/sh"), (0, vec!["/show ".into()]));
        assert_eq!(found("/e"), (0, vec!["/exit".into(), "/export".into()]));
        assert_eq!(found("/show te"), (6, vec!["template".into()]));
        assert_eq!(found("/set parameter temp"), (15, vec!["temperature".into()]));
        assert_eq!(found("/load t"), (6, vec!["tall".into(), "tiny:latest".into()]));
        assert_eq!(found("/load ti"), (6, vec!["tiny:latest".into()]));
        assert_eq!(found("/? sh"), (3, vec!["shortcuts".into(), "show".into()]));
    }

    #[test]
    fn text_is_left_alone_and_models_are_not_asked_for() {
        for before in ["", "hello /se", "x", "/bye now", "/set system y"] {
            assert_eq!(complete(before, || unreachable!()).1, Vec::<String>::new(), "{before}");
        }
    }
}
