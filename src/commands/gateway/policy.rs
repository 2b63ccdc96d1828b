//! `gateway policy`: checks a configuration file against the people and keys on record, and shows what it defines.

use serde_json::json;

use super::user::count;
use super::{admin, config, database};
use crate::app::App;
use crate::cli::{DatabaseArgs, PolicyCheckArgs, PolicyCommand, PolicyShowArgs, ServeArgs};
use crate::commands::keys::short;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, ConfigFile, DatabaseLocation, Definitions, LOCKED_OUT, PolicyCheck};
use crate::ui::{Column, Table};

/// The most losses that a table shows. JSON has all.
const MOST_SHOWN: usize = 100;

/// Runs a subcommand.
///
/// # Errors
/// A file that cannot be read or is not valid.
pub async fn run(app: &App, command: PolicyCommand) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Check(args) => check(app, args).await,
        PolicyCommand::Show(args) => show(app, args),
    }
}

async fn check(app: &App, args: PolicyCheckArgs) -> anyhow::Result<Exit> {
    let current = config::file(app, &args.database)?;
    let checked = DatabaseArgs { config: args.file.or(args.database.config), database: args.database.database };
    let file = config::file(app, &checked)?.ok_or_else(|| {
        Problem::new(Exit::Usage, "there is no configuration file to check")
            .hint("name it: ollama-auth gateway policy check FILE")
    })?;
    let path = file.path.display().to_string();
    let serve = ServeArgs { database: checked.clone(), ..ServeArgs::default() };
    let definitions = Definitions::new(&config::load(app, &serve)?);
    let is_there = match database::configured(app, &checked)? {
        DatabaseLocation::File(path) => admin::require_file(&path).is_ok(),
        DatabaseLocation::Postgres(_) => true,
    };
    let found = match is_there {
        false => None,
        true => {
            let before = current.map(text).transpose()?;
            let request = AdminRequest::CheckPolicy { text: text(file)?, before };
            let AdminReply::PolicyChecked(found) = admin::request(app, &checked, request).await? else {
                return Err(admin::unexpected_reply().into());
            };
            Some(found)
        }
    };
    let printer = &app.printer;
    let locks_out = found.as_ref().is_some_and(|found| found.locks_out);
    if printer.is_json() {
        let none = PolicyCheck::default();
        let PolicyCheck { losses, more, without_role, .. } = found.as_ref().unwrap_or(&none);
        printer.json(&json!({
            "file": path, "compared": found.is_some(), "accepted": !locks_out, "losses": losses, "more_losses": more,
            "people_without_role": without_role,
        }))?;
    } else if !locks_out {
        printer.success(&format!("{path} is valid: {}", definitions.summary()));
    }
    match &found {
        None => printer.note("There is no database yet, so nobody can lose anything."),
        Some(found) if !printer.is_json() => print(app, found)?,
        Some(_) => {}
    }
    if locks_out {
        return Err(Problem::new(Exit::Failed, format!("{path}: {LOCKED_OUT}"))
            .hint("the gateway refuses this file: keep the role of an administrator as it is, or make somebody else one: ollama-auth gateway user role NAME admin")
            .into());
    }
    Ok(Exit::Done)
}

fn print(app: &App, found: &PolicyCheck) -> anyhow::Result<()> {
    let PolicyCheck { losses, more, without_role, .. } = found;
    let printer = &app.printer;
    for name in without_role {
        printer.warn(&format!("the role of {name} is not defined: the gateway refuses this account"));
    }
    if losses.is_empty() {
        printer.note("Nobody loses a right.");
        return Ok(());
    }
    let keys = losses.iter().filter(|loss| loss.key.is_some()).count();
    let people = losses.len() - keys;
    printer.report(&format!(
        "When it takes effect, {} and {} lose rights:",
        count(people, "account"),
        count(keys, "API key")
    ));
    let mut table = Table::new(vec![
        Column::new("user").shrinks_to(8),
        Column::new("role").shrinks_to(8).optional(2),
        Column::new("key").shrinks_to(10),
        Column::new("loses").shrinks_to(24),
    ]);
    for loss in losses.iter().take(MOST_SHOWN) {
        let key = match (&loss.name, &loss.key) {
            (Some(name), Some(id)) => format!("{} ({id})", short(name)),
            _ => "-".to_owned(),
        };
        table.push(vec![loss.user.clone(), loss.role.to_string(), key, loss.to_string()]);
    }
    printer.table(&table)?;
    let left_out = losses.len().saturating_sub(MOST_SHOWN) + more;
    if left_out > 0 {
        printer.note(&format!("{left_out} more are not shown; --json has more of them."));
    }
    Ok(())
}

fn show(app: &App, args: PolicyShowArgs) -> anyhow::Result<Exit> {
    let serve = ServeArgs { database: args.database, ..ServeArgs::default() };
    let definitions = Definitions::new(&config::load(app, &serve)?);
    match app.printer.is_json() {
        true => app.printer.json(&definitions)?,
        false => app.printer.data(&definitions.to_string())?,
    }
    Ok(Exit::Done)
}

fn text(file: ConfigFile) -> anyhow::Result<String> {
    String::from_utf8(file.bytes)
        .map_err(|_| Problem::new(Exit::Usage, format!("{}: not valid UTF-8", file.path.display())).into())
}
