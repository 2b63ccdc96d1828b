//! `gateway audit`: shows the event log, and verifies it.

mod show;
mod verify;

use crate::app::App;
use crate::cli::{AuditArgs, AuditCommand};
use crate::exit::Exit;

/// Runs it.
///
/// # Errors
/// What cannot be read.
pub async fn run(app: &App, args: AuditArgs) -> anyhow::Result<Exit> {
    match args.command {
        None => show::run(app, args).await,
        Some(AuditCommand::Verify(args)) => verify::run(app, &args).await,
    }
}
