//! `man`: the main page to stdout, or every page into a folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man;

use crate::app::App;
use crate::cli;
use crate::exit::Exit;

/// Runs it.
pub fn run(app: &App, folder: Option<PathBuf>) -> anyhow::Result<Exit> {
    let command = cli::command();
    match folder {
        None => app.printer.bytes(&page(command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            write_all(&folder, command, None)?;
        }
    }
    Ok(Exit::Done)
}

fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    // Without a date: the pages are committed and compared.
    Man::new(command).date("").render(&mut page)?;
    Ok(page)
}

fn write_all(folder: &Path, command: clap::Command, parent: Option<&str>) -> anyhow::Result<()> {
    let name = match parent {
        Some(parent) => format!("{parent}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let mut built = command.clone().name(name.clone()).display_name(name.clone());
    built.build();
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(built)?).with_context(|| format!("cannot write {}", path.display()))?;
    for child in command.get_subcommands() {
        write_all(folder, child.clone(), Some(&name))?;
    }
    Ok(())
}
