//! `gateway maintenance`: show, on, off.

use super::admin;
use crate::app::App;
use crate::cli::{DatabaseArgs, MaintenanceCommand};
use crate::exit::Exit;
use crate::gateway::{AdminReply, AdminRequest, MaintenanceRow};
use crate::relative_time;

/// Runs a subcommand.
///
/// # Errors
/// Everything of [`admin::request`]; a message that is not one line, an end in the past.
pub async fn run(app: &App, command: MaintenanceCommand) -> anyhow::Result<Exit> {
    match command {
        MaintenanceCommand::Show(database) => {
            let (row, _) = request(app, &database, AdminRequest::ShowMaintenance).await?;
            show(app, &row)
        }
        MaintenanceCommand::On { message, until, refuse, database } => {
            let until = until.map(|until| until.resolve_ahead((app.now)()));
            let set = AdminRequest::StartMaintenance { message, refuses: refuse, until };
            let (row, changed) = request(app, &database, set).await?;
            match changed {
                true => app.printer.success(&format!("Set the maintenance message: {}", effect(app, &row))),
                false => app.printer.note("The maintenance message was already set."),
            }
            finish(app, &row)
        }
        MaintenanceCommand::Off(database) => {
            let (row, changed) = request(app, &database, AdminRequest::EndMaintenance).await?;
            match changed {
                true => app.printer.success("Removed the maintenance message: requests are accepted"),
                false => app.printer.note("There was no maintenance message."),
            }
            finish(app, &row)
        }
    }
}

async fn request(app: &App, database: &DatabaseArgs, request: AdminRequest) -> anyhow::Result<(MaintenanceRow, bool)> {
    match admin::request(app, database, request).await? {
        AdminReply::Maintenance { maintenance, changed } => Ok((maintenance, changed)),
        _ => Err(admin::unexpected_reply().into()),
    }
}

fn finish(app: &App, row: &MaintenanceRow) -> anyhow::Result<Exit> {
    if app.printer.is_json() {
        app.printer.json(row)?;
    }
    Ok(Exit::Done)
}

fn show(app: &App, row: &MaintenanceRow) -> anyhow::Result<Exit> {
    if app.printer.is_json() {
        return finish(app, row);
    }
    let Some(message) = &row.message else {
        app.printer.note("No maintenance message is set.");
        app.printer.hint("set one: ollama-auth gateway maintenance on --message TEXT");
        return Ok(Exit::Done);
    };
    let now = (app.now)();
    let requests = if row.refuses { "refused" } else { "accepted" };
    let since = row.since.map(|since| relative_time::ago(since, now)).unwrap_or_default();
    let ends = row.until.map_or_else(|| "when it is removed".to_owned(), |until| relative_time::until(until, now));
    let facts = [("message", message.clone()), ("requests", requests.to_owned()), ("set", since), ("ends", ends)];
    app.printer.facts(&facts)?;
    Ok(Exit::Done)
}

/// What it does, and until when.
fn effect(app: &App, row: &MaintenanceRow) -> String {
    let does = if row.refuses { "requests are refused" } else { "requests are accepted" };
    match row.until {
        Some(until) => format!("{does}, it ends {}", relative_time::until(until, (app.now)())),
        None => format!("{does}, until it is removed"),
    }
}
