//! `gateway audit checkpoint` and `gateway audit prove`: what an auditor keeps, and what is shown to one.

use serde_json::json;

use crate::app::App;
use crate::cli::{AuditCheckpointArgs, AuditProveArgs};
use crate::commands::gateway::{admin, database};
use crate::disk::write_given;
use crate::exit::{Exit, Problem};
use crate::gateway::DatabaseLocation;
use crate::gateway::audit::{ProveError, prove_record};

/// Prints the latest checkpoint.
///
/// # Errors
/// None yet (exit 3); a database that cannot be read.
pub async fn checkpoint(app: &App, args: &AuditCheckpointArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let latest = location.audit().await?.checkpoints(1).await?.pop();
    let latest = latest.ok_or_else(|| {
        Problem::new(Exit::NotFound, "there is no checkpoint yet")
            .hint("a gateway that has a key makes one within minutes: see ollama-auth gateway audit key")
    })?;
    if app.printer.is_json() {
        app.printer.json(&json!({ "size": latest.size, "made_at": latest.made_at, "checkpoint": latest.note }))?;
    } else {
        app.printer.data(latest.note.trim_end())?;
    }
    Ok(Exit::Done)
}

/// Prints a proof of an event.
///
/// # Errors
/// No such event, no checkpoint that has it (exit 3); a database that cannot be read.
pub async fn run(app: &App, args: &AuditProveArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let (record, proof) = match prove_record(&mut *location.audit().await?, args.index).await {
        Ok(proven) => proven,
        Err(error @ (ProveError::NoRecord(_) | ProveError::NoCheckpoint(_))) => {
            return Err(Problem::new(Exit::NotFound, error.to_string()).into());
        }
        Err(ProveError::Store(error)) => return Err(error.into()),
        Err(error @ ProveError::Hashes) => return Err(Problem::new(Exit::Failed, error.to_string()).into()),
    };
    if let Some(path) = &args.record {
        write_given(path, record.as_bytes(), true)?;
    }
    if app.printer.is_json() {
        app.printer.json(&json!({ "record": record, "proof": proof.to_string() }))?;
    } else {
        app.printer.data(proof.to_string().trim_end())?;
    }
    Ok(Exit::Done)
}
