//! `help`, `version` and every command's `--help`: the layout of the pages, and the topics that are no commands.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::builder::styling::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::api::looks_like_key;
use crate::app::App;
use crate::cli;
use crate::env::VARIABLES;
use crate::exit::{Exit, Problem};

/// Where texts that are indented break, in columns.
const WIDTH: usize = 80;

/// The last line of every page but the first.
const FOOTER: &str = "Options that every command has: ollama-auth help options";

/// The topics of `help`, with the line that the main page shows.
pub const TOPICS: [(&str, &str); 3] = [
    ("options", "The options that every command has"),
    ("environment", "The variables that ollama-auth reads"),
    ("exit-codes", "The exit codes and what they mean"),
];

/// `help`.
pub fn run(app: &App, words: &[String]) -> anyhow::Result<Exit> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let page = match words.as_slice() {
        [topic] if TOPICS.iter().any(|(name, _)| name == topic) => self::topic(topic),
        path => command_page(path)?,
    };
    let text = if app.printer.colors_stdout() { page.ansi().to_string() } else { page.to_string() };
    app.printer.bytes(text.trim_end().as_bytes())?;
    app.printer.bytes(b"\n")?;
    Ok(Exit::Done)
}

/// `version`.
pub fn version(app: &App) -> anyhow::Result<Exit> {
    app.printer.data(cli::VERSION)?;
    Ok(Exit::Done)
}

/// What clap says about a command line that it did not accept: with the help page where help is wanted, and with the nearest
/// commands where a command is unknown.
pub fn explain_usage(mut error: clap::Error, args: Vec<OsString>) -> clap::Error {
    match error.kind() {
        // The layout takes longer than many commands, so it is made only here, and the line is parsed a second time.
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            laid_out().try_get_matches_from(args).err().unwrap_or(error)
        }
        ErrorKind::InvalidSubcommand => {
            suggest_nested(&mut error);
            error
        }
        _ => error,
    }
}

/// Suggests the commands whose last word was typed as the first one, as in `serve` for `gateway serve`.
fn suggest_nested(error: &mut clap::Error) {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let root = cli::command();
    let children = root.get_subcommands().flat_map(|parent| parent.get_subcommands().map(move |child| (parent, child)));
    let paths: Vec<String> = children
        .filter(|(_, child)| child.get_name() == typed)
        .map(|(parent, child)| format!("{} {}", parent.get_name(), child.get_name()))
        .collect();
    // In `keys serve` the word is not the first one.
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if !paths.is_empty() && usage.contains("ollama-auth [OPTIONS]") {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(paths));
    }
}

fn command_page(path: &[&str]) -> Result<StyledStr, Problem> {
    let mut root = laid_out();
    root.build();
    let mut command = &mut root;
    for (index, word) in path.iter().enumerate() {
        if command.find_subcommand(word).is_none() {
            let before = ["ollama-auth", "help"].iter().chain(&path[..index]).copied().collect::<Vec<_>>().join(" ");
            // A key that was typed by mistake is not repeated.
            let topic = if path.iter().any(|word| looks_like_key(word)) {
                "that topic".to_owned()
            } else {
                format!("{:?}", path.join(" "))
            };
            return Err(Problem::new(Exit::Usage, format!("no help for {topic}")).hint(format!("see: {before}")));
        }
        command = command.find_subcommand_mut(word).expect("it was just found");
    }
    Ok(command.render_help())
}

/// The text of a topic.
fn topic(name: &str) -> StyledStr {
    match name {
        "options" => options(),
        "environment" => environment(),
        _ => exit_codes(),
    }
}

fn options() -> StyledStr {
    let root = cli::command();
    let mut page = Command::new("options")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .version(cli::VERSION)
        .max_term_width(WIDTH)
        .before_help("Every command has these options. They stand before or after the command's name.")
        .help_template("{before-help}{all-args}")
        .args(root.get_arguments().filter(|arg| arg.is_global_set()).cloned());
    page.render_help()
}

fn environment() -> StyledStr {
    let mut text = String::from("ollama-auth reads these variables. Options take precedence over variables.\n");
    for (topic, variables) in VARIABLES {
        let _ = write!(text, "\n{}\n", heading(topic));
        for (name, meaning) in *variables {
            let _ = writeln!(text, "  {name}");
            push_wrapped(&mut text, "      ", "      ", meaning);
        }
    }
    StyledStr::from(text)
}

fn exit_codes() -> StyledStr {
    let mut text =
        "The exit code tells a script what happened. With --json, errors also have its\nname as \"code\".\n\n"
            .to_owned();
    for exit in Exit::ALL {
        let start = format!("  {:>3}  {:<15}", exit as u8, exit.name());
        push_wrapped(&mut text, &start, &" ".repeat(start.len()), exit.meaning());
    }
    StyledStr::from(text)
}

/// The command line with its help pages laid out: paragraph, usage, options, examples, and on the first page the commands in
/// groups. Options that every command has are on the first page only.
fn laid_out() -> Command {
    let root = cli::command();
    let globals: Vec<Arg> =
        root.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.clone().hide(true)).collect();
    let template = format!(
        "{{about}}\n\n{{before-help}}{{usage-heading}} {{usage}}\n\n{}{{all-args}}{{after-help}}\n",
        groups(&root)
    );
    page(root, "")
        .help_template(template)
        .override_usage("ollama-auth [OPTIONS] <COMMAND>")
        .mut_subcommands(|command| below_the_first(command).args(&globals).hide(true))
}

/// The page of a command, and those of the commands below it.
fn below_the_first(command: Command) -> Command {
    page(command, FOOTER).mut_subcommands(below_the_first)
}

fn page(command: Command, footer: &str) -> Command {
    let examples = examples(&command).map(|text| {
        let indent = |line: &str| if line.is_empty() { String::new() } else { format!("  {line}") };
        let lines: Vec<String> = text.lines().map(indent).collect();
        format!("{}\n{}", heading("Examples"), lines.join("\n"))
    });
    let after: Vec<String> = examples.into_iter().chain((!footer.is_empty()).then(|| footer.to_owned())).collect();
    let before = paragraph(&command);
    let command = command
        .long_about(None::<&str>)
        .help_template("{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n")
        .after_help(after.join("\n\n"));
    match before {
        Some(text) => command.before_help(text),
        None => command,
    }
}

/// The commands in their groups, with the topics of `help`.
fn groups(root: &Command) -> String {
    let mut text = String::new();
    let mut list = |title: &str, rows: Vec<(String, String)>| {
        let _ = writeln!(text, "{}", heading(title));
        for (name, about) in rows {
            push_wrapped(&mut text, &format!("  {name:<13}"), &" ".repeat(15), &about);
        }
        text.push('\n');
    };
    for (heading, names) in cli::GROUPS {
        let commands = names.iter().filter_map(|name| root.find_subcommand(name));
        let rows = commands.map(|command| {
            let aliases: Vec<_> = command.get_visible_aliases().collect();
            let also = if aliases.is_empty() { String::new() } else { format!(" [alias: {}]", aliases.join(", ")) };
            (command.get_name().to_owned(), about(command) + &also)
        });
        list(heading, rows.collect());
    }
    list("Topics of `ollama-auth help`", TOPICS.map(|(name, about)| (name.to_owned(), about.to_owned())).into());
    text
}

/// The command's line in a list.
pub fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// What the command is for: its documentation without the first sentence.
pub fn paragraph(command: &Command) -> Option<String> {
    let long = command.get_long_about()?.to_string();
    Some(long.split_once("\n\n")?.1.to_owned())
}

/// The command's examples: lines of shell, each after a line of comment.
pub fn examples(command: &Command) -> Option<String> {
    command.get_after_help().map(ToString::to_string)
}

fn heading(text: &str) -> String {
    let styles = Styles::default();
    let style = styles.get_header();
    format!("{style}{text}:{style:#}")
}

/// Adds words in lines of at most [`WIDTH`] columns.
fn push_wrapped(text: &mut String, first: &str, others: &str, words: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = others.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::completions::split;

    /// Every command with the words that name it.
    fn all(command: &Command, path: &str, visit: &mut impl FnMut(&Command, &str)) {
        visit(command, path);
        for child in command.get_subcommands() {
            all(child, &format!("{path} {}", child.get_name()), visit);
        }
    }

    /// The command lines of ours in a line of shell.
    fn ours(line: &str) -> Vec<String> {
        let starts =
            line.match_indices("ollama-auth ").filter(|(at, _)| *at == 0 || " ($".contains(&line[at - 1..*at]));
        let until_end = |(at, _): (usize, &str)| {
            let rest = &line[at..];
            let inner = at > 0 && line[..at].ends_with('(');
            let end = [" | ", " <", " >"].iter().filter_map(|sign| rest.find(sign)).min();
            let part = &rest[..end.unwrap_or(rest.len())];
            if inner { part.trim_end_matches([')', '"']).to_owned() } else { part.to_owned() }
        };
        starts.map(until_end).collect()
    }

    #[test]
    fn every_command_has_a_paragraph_and_examples_that_it_accepts() {
        all(&cli::command(), "ollama-auth", &mut |command, path| {
            assert!(!about(command).ends_with('.') && !about(command).is_empty(), "{path}");
            assert!(paragraph(command).is_some(), "{path} has no paragraph");
            let text = examples(command).unwrap_or_else(|| panic!("{path} has no examples"));
            let comments = text.lines().filter(|line| line.starts_with('#')).count();
            assert!((1..=3).contains(&comments), "{path}: {comments} examples");
            for line in text.replace("\\\n", "").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
                let commands = ours(line);
                assert!(!commands.is_empty(), "{path}: {line}");
                for command in commands {
                    let (words, _) = split(&command);
                    if let Err(error) = cli::Cli::try_parse_from(words) {
                        panic!("{command}: {error}");
                    }
                }
            }
        });
    }

    #[test]
    fn pages_fit_80_columns() {
        let mut root = laid_out();
        root.build();
        all(&root, "ollama-auth", &mut |command, path| {
            for line in command.clone().render_help().to_string().lines() {
                assert!(line.chars().count() <= WIDTH, "{path}: {line}");
            }
        });
        for (name, _) in TOPICS {
            assert!(topic(name).to_string().lines().all(|line| line.chars().count() <= WIDTH), "{name}");
        }
    }

    #[test]
    fn the_first_page_lists_every_command_once() {
        let root = cli::command();
        let mut listed: Vec<&str> = cli::GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        if !cfg!(feature = "gateway") {
            listed.retain(|name| !["proxy", "gateway", "quickstart"].contains(name));
        }
        listed.sort_unstable();
        let mut defined: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
        defined.sort_unstable();
        assert_eq!(listed, defined);
    }

    #[test]
    fn options_of_every_command_are_on_the_first_page_only() {
        let page = |path: &[&str]| command_page(path).unwrap().to_string();
        assert!(page(&[]).contains("--no-input") && !page(&["keys", "create"]).contains("--no-input"));
        assert!(topic("options").to_string().contains("--no-input"));
        assert!(command_page(&["keys", "nothing"]).is_err());
    }

    #[test]
    fn a_command_of_a_group_is_suggested() {
        let suggestion = |args: &[&str]| {
            let error = cli::Cli::try_parse_from(args).unwrap_err();
            explain_usage(error, args.iter().map(OsString::from).collect()).to_string()
        };
        if cfg!(feature = "gateway") {
            assert!(suggestion(&["ollama-auth", "serve"]).contains("'gateway serve'"));
        }
        assert!(suggestion(&["ollama-auth", "rotate"]).contains("'keys rotate'"));
        assert!(suggestion(&["ollama-auth", "stauts"]).contains("'status'"));
        assert!(suggestion(&["ollama-auth", "keys", "craete"]).contains("'create'"));
    }
}
