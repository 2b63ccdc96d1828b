//! `gateway db`: backups of the gateway's database, and copies to another.

use std::path::Path;

use serde_json::json;

use super::{admin, config, database};
use crate::app::App;
use crate::cli::{BackupArgs, CopyArgs, DbCommand};
use crate::disk::NewFile;
use crate::exit::{Exit, Problem};
use crate::gateway::{CopiedTable, DatabaseLocation, Event, machine};
use crate::ui::{Column, Table};

/// Runs it.
///
/// # Errors
/// What cannot be read or written.
pub async fn run(app: &App, command: DbCommand) -> anyhow::Result<Exit> {
    match command {
        DbCommand::Backup(args) => back_up(app, args).await,
        DbCommand::Copy(args) => copy(app, args).await,
    }
}

async fn back_up(app: &App, args: BackupArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let shown = args.file.display().to_string();
    let taken = || {
        Problem::new(Exit::Failed, format!("{shown} already exists"))
            .hint("give the name of a new file: a backup does not replace anything")
    };
    let file = NewFile::create(&args.file)?.ok_or_else(taken)?;
    let tables = location.back_up(file.path(), &args.file).await?;
    // An incomplete one gets no name.
    if is_verified(&tables) && !file.persist()? {
        return Err(taken().into());
    }
    let from = shown_location(&location);
    print(app, &from, &shown, &tables)?;
    app.printer.success(&format!("Backed up {from} to {shown}"));
    Ok(Exit::Done)
}

async fn copy(app: &App, args: CopyArgs) -> anyhow::Result<Exit> {
    let from = located("FROM", &args.from, "--from-password-file", args.from_password_file.as_deref())?;
    let to = located("TO", &args.to, "--to-password-file", args.to_password_file.as_deref())?;
    if from == to {
        return Err(Problem::new(Exit::Usage, "FROM and TO are the same database").into());
    }
    let (shown_from, shown_to) = (shown_location(&from), shown_location(&to));
    let event = Event::log_begun((app.now)(), &format!("copied from {shown_from}"));
    let tables = from.copy_to(&to, &event, &machine()).await?;
    let (from, to) = (shown_from, shown_to);
    print(app, &from, &to, &tables)?;
    app.printer.success(&format!("Copied {from} to {to}"));
    Ok(Exit::Done)
}

/// The database of an argument, with the password of a file if one is named.
fn located(
    argument: &'static str,
    text: &str,
    option: &str,
    password_file: Option<&Path>,
) -> anyhow::Result<DatabaseLocation> {
    let location = config::named_database(argument, text)?;
    match (password_file, &location) {
        (Some(_), DatabaseLocation::File(_)) => {
            let text = format!("{option} is for a PostgreSQL database, but {argument} is a file");
            Err(Problem::new(Exit::Usage, text).into())
        }
        (Some(path), _) => Ok(location.with_password(database::read_password(option, path)?)),
        (None, _) => Ok(location),
    }
}

/// Without a password.
fn shown_location(location: &DatabaseLocation) -> String {
    match location {
        DatabaseLocation::File(path) => path.display().to_string(),
        DatabaseLocation::Postgres(address) => address.to_string(),
    }
}

fn is_verified(tables: &[CopiedTable]) -> bool {
    tables.iter().all(|table| table.verified != Some(false))
}

/// Prints the tables.
///
/// # Errors
/// A table that could not be verified.
fn print(app: &App, from: &str, to: &str, tables: &[CopiedTable]) -> anyhow::Result<()> {
    if app.printer.is_json() {
        let row = |table: &CopiedTable| json!({ "table": table.name, "rows": table.rows, "verified": table.verified });
        let tables: Vec<_> = tables.iter().map(row).collect();
        app.printer.json(&json!({ "from": from, "to": to, "tables": tables }))?;
    } else {
        let mut table = Table::new([Column::new("table"), Column::new("rows"), Column::new("verified")]);
        for found in tables {
            table.push([
                found.name,
                &found.rows.to_string(),
                match found.verified {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "-",
                },
            ]);
        }
        app.printer.table(&table)?;
    }
    let differing: Vec<&str> =
        tables.iter().filter(|table| table.verified == Some(false)).map(|table| table.name).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let text = format!("{to} would not hold the same as {from}: {}", differing.join(", "));
    Err(Problem::new(Exit::Failed, text)
        .hint("nothing was stored: look for triggers and rules that change what is written")
        .into())
}
