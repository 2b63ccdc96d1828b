//! `man`: the main page to standard output, or every page into a folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use super::help;
use crate::app::App;
use crate::cli;
use crate::env::VARIABLES;
use crate::exit::Exit;

/// `man`.
pub fn run(app: &App, folder: Option<PathBuf>) -> anyhow::Result<Exit> {
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
    std::fs::write(&path, page(built, parent)?).with_context(|| format!("cannot write {}", path.display()))?;
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
