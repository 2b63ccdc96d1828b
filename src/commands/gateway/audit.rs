//! `gateway audit`: what happened, the newest first.

use serde_json::json;

use super::place;
use crate::app::App;
use crate::cli::AuditArgs;
use crate::exit::Exit;
use crate::gateway::{AdminReply, AdminRequest};
use crate::ui::Table;

/// Runs it.
pub async fn run(app: &App, args: AuditArgs) -> anyhow::Result<Exit> {
    let request = AdminRequest::Events { limit: args.limit };
    let AdminReply::Events(events) = place::admin(app, &args.database, request).await? else {
        return Err(place::odd_answer().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "events": events }))?;
        return Ok(Exit::Done);
    }
    if events.is_empty() {
        app.printer.note("Nothing has happened yet.");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["time", "who", "what", "to", "from", "more"]);
    for event in &events {
        let time = place::time(event.at);
        table.push([&time, &event.actor, &event.action, &event.subject, &event.address, &event.detail]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}
