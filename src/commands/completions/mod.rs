//! `completions` and `man`, and the answers that the printed completion scripts ask for while a command line is typed.

mod candidates;
mod command_line;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use clap_complete::{Shell, engine, generate};
use clap_mangen::Man;

use crate::app::App;
use crate::cli;
use crate::commands::completions::candidates::{FILES, Sources};
use crate::commands::completions::command_line::Typed;
#[cfg(test)]
pub use crate::commands::completions::command_line::split;
use crate::commands::help;
use crate::disk::write_public;
use crate::env::{Env, VARIABLES};
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
    let lines = found.into_iter().filter_map(|(value, help)| Some(format!("{}\t{help}\n", typed.replacement(&value)?)));
    std::iter::once("words\n".to_owned()).chain(lines).collect()
}

/// `man`.
pub fn man(app: &App, folder: Option<PathBuf>) -> anyhow::Result<Exit> {
    let command = cli::command();
    match folder {
        None => app.printer.bytes(&page(command, None)?)?,
        Some(folder) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            write_all(&folder, command, None)?;
        }
    }
    Ok(Exit::Done)
}

fn write_all(folder: &Path, command: Command, parent: Option<&str>) -> anyhow::Result<()> {
    let name = match parent {
        Some(parent) => format!("{parent}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let path = folder.join(format!("{name}.1"));
    let typed = name.replace('-', " ").replacen("ollama auth", "ollama-auth", 1);
    let built = command.clone().name(name.clone()).display_name(name.clone()).bin_name(typed).disable_help_flag(true);
    write_public(&path, &page(built, parent)?)?;
    for child in command.get_subcommands() {
        write_all(folder, child.clone(), Some(&name))?;
    }
    Ok(())
}

fn page(mut command: Command, parent: Option<&str>) -> anyhow::Result<Vec<u8>> {
    command.build();
    let mut more = String::new();
    if let Some(examples) = help::examples(&command) {
        let _ = write!(more, ".SH EXAMPLES\n.nf\n{}\n.fi\n", literal(&examples));
    }
    match parent {
        None => {
            more.push_str(&environment());
            more.push_str(&exit_status());
        }
        Some(parent) => {
            let root = "Options, variables and exit codes that every command has:";
            let _ = write!(more, ".SH SEE ALSO\n{root} \\fBollama\\-auth\\fR(1)");
            if parent != "ollama-auth" {
                let _ = write!(more, ", \\fB{}\\fR(1)", literal(parent));
            }
            more.push('\n');
        }
    }
    let commands = command.get_subcommands().next().is_some();
    // Without a date: the pages are committed and compared.
    let man = Man::new(command).date("").source(cli::VERSION);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(more.into_bytes());
    Ok(page)
}

fn environment() -> String {
    let variables = VARIABLES.iter().flat_map(|(_, variables)| variables.iter());
    variables.fold(".SH ENVIRONMENT\n".to_owned(), |text, (name, meaning)| {
        text + &format!(".TP\n\\fB{}\\fR\n{}\n", literal(name), literal(meaning))
    })
}

fn exit_status() -> String {
    Exit::ALL.iter().fold(".SH EXIT STATUS\n".to_owned(), |text, exit| {
        text + &format!(".TP\n\\fB{}\\fR\n{}\n", *exit as u8, literal(exit.meaning()))
    })
}

/// The text in a form that roff prints as it is.
fn literal(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}
