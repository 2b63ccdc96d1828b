//! `gateway audit`: shows the event log, verifies it, and proves what is in it.

mod export;
mod follow;
mod keys;
mod new_log;
mod prove;
mod rotate_key;
mod show;
mod verify;

use crate::app::App;
use crate::cli::{AuditArgs, AuditCommand};
use crate::exit::Exit;

pub use keys::{make_checkpoint, signer};

/// Runs it.
///
/// # Errors
/// What cannot be read.
pub async fn run(app: &App, args: AuditArgs) -> anyhow::Result<Exit> {
    match args.command {
        None if args.follow => follow::run(app, &args).await,
        None => show::run(app, args).await,
        Some(AuditCommand::Export(args)) => export::run(app, &args).await,
        Some(AuditCommand::Verify(args)) => verify::run(app, &args).await,
        Some(AuditCommand::RotateKey(args)) => rotate_key::run(app, &args).await,
        Some(AuditCommand::Key(args)) => keys::run(app, &args).await,
        Some(AuditCommand::Checkpoint(args)) => prove::checkpoint(app, &args).await,
        Some(AuditCommand::Prove(args)) => prove::run(app, &args).await,
        Some(AuditCommand::NewLog(args)) => new_log::run(app, args).await,
    }
}
