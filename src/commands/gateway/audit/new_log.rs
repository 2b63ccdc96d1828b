//! `gateway audit new-log`: another log, after the database went back.

use serde_json::json;

use crate::app::App;
use crate::cli::AuditNewLogArgs;
use crate::commands::gateway::admin;
use crate::exit::Exit;
use crate::gateway::{AdminReply, AdminRequest};

/// Begins it.
///
/// # Errors
/// Everything of [`admin::request`].
pub async fn run(app: &App, args: AuditNewLogArgs) -> anyhow::Result<Exit> {
    let request = AdminRequest::BeginLog { reason: args.reason };
    let AdminReply::LogBegun { origin } = admin::request(app, &args.database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "origin": origin }))?;
    } else {
        app.printer.success(&format!("Began the log {origin}"));
        app.printer.hint("give your auditor its first checkpoint: ollama-auth gateway audit checkpoint");
    }
    Ok(Exit::Done)
}
