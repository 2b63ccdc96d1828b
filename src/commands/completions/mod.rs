//! `completions`, and the answers that the printed scripts ask for while a command line is typed.

mod candidates;
mod command_line;

use std::ffi::OsString;

use clap_complete::{Shell, engine, generate};

use self::candidates::{FILES, Sources};
use self::command_line::Typed;
#[cfg(test)]
pub use self::command_line::split;
use crate::app::App;
use crate::cli;
use crate::env::Env;
use crate::exit::Exit;

/// The word by which the scripts ask for candidates, in place of a command.
const REQUEST: &str = "__complete";

/// `completions`.
pub fn run(app: &App, shell: Shell) -> anyhow::Result<Exit> {
    let script = match shell {
        Shell::Bash => include_str!("bash.sh").as_bytes().to_vec(),
        Shell::Zsh => include_str!("zsh.zsh").as_bytes().to_vec(),
        Shell::Fish => include_str!("fish.fish").as_bytes().to_vec(),
        // Commands and options only: neither shell is among those that the tests can start.
        _ => {
            let mut script = Vec::new();
            generate(shell, &mut cli::command(), "ollama-auth", &mut script);
            script
        }
    };
    app.printer.bytes(&script)?;
    Ok(Exit::Done)
}

/// What a shell asks, if the program was started by a completion script.
pub fn completion_request(args: &[OsString]) -> Option<&[OsString]> {
    let (word, request) = args.get(1..)?.split_first()?;
    (word == REQUEST).then_some(request)
}

/// The candidates for the word at the cursor. The request is `line LINE WORD` from Bash, with the line up to the cursor and
/// the part of the word that Bash would replace, and `words WORD...` from the others, with the words up to the cursor.
///
/// The first line of the answer is `words` or `files`. After `words` follows a line for each candidate: its text, and after
/// a tab its description. `files` means that the shell completes a path.
pub fn complete(request: &[OsString], env: &Env) -> String {
    let texts: Vec<String> = request.iter().map(|text| text.to_string_lossy().into_owned()).collect();
    let typed = match texts.split_first() {
        Some((form, [line, replaced])) if form == "line" => Typed::from_line(line, replaced),
        Some((form, words)) if form == "words" && !words.is_empty() => Typed::from_words(words),
        _ => return String::new(),
    };
    let sources = Sources::new(env, &typed.words);
    let mut command = sources.attach_to(cli::command());
    let words: Vec<OsString> = typed.words.iter().map(OsString::from).collect();
    let index = words.len() - 1;
    let mut found: Vec<(String, String)> = engine::complete(&mut command, words, index, None)
        .unwrap_or_default()
        .iter()
        .filter_map(|candidate| {
            let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
            let help = help.lines().next().unwrap_or_default().to_owned();
            Some((candidate.get_value().to_str()?.to_owned(), help))
        })
        // What a server or a file says must not change the terminal or the protocol.
        .filter(|(value, help)| !value.chars().chain(help.chars()).any(char::is_control))
        .collect();
    if found.iter().any(|(value, _)| value.ends_with(FILES)) {
        return "files\n".to_owned();
    }
    // Options are offered where nothing else is, or after a dash.
    if typed.current().is_empty() && found.iter().any(|(value, _)| !value.starts_with('-')) {
        found.retain(|(value, _)| !value.starts_with('-'));
    }
    let lines = found.into_iter().map(|(value, help)| format!("{}\t{help}\n", typed.replacement(&value)));
    std::iter::once("words\n".to_owned()).chain(lines).collect()
}
