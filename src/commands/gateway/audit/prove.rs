//! `gateway audit checkpoint` and `gateway audit prove`: what an auditor keeps, and what is shown to one.

use serde_json::json;

use super::keys;
use crate::app::App;
use crate::cli::{AuditCheckpointArgs, AuditProveArgs};
use crate::commands::gateway::{admin, database};
use crate::disk::write_given;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::{AskError, ask};
use crate::gateway::audit::{ProveError, prove_extension, prove_record};
use crate::gateway::{AdminRequest, DatabaseLocation};

/// Prints the latest checkpoint.
///
/// # Errors
/// None yet (exit 3); a database that cannot be read.
pub async fn checkpoint(app: &App, args: &AuditCheckpointArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    if args.now {
        make_checkpoint(app, args, &location).await?;
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

/// The gateway that has a file open signs; otherwise this command.
async fn make_checkpoint(app: &App, args: &AuditCheckpointArgs, location: &DatabaseLocation) -> anyhow::Result<()> {
    if let DatabaseLocation::File(path) = location {
        match ask(path, &AdminRequest::MakeCheckpoint).await {
            Err(AskError::NotRunning) => {}
            answer => return Ok(answer?.map(drop)?),
        }
    }
    let (config, _) = keys::loaded(app, &args.database)?;
    let signer = keys::signer(app, &config, location).await?;
    let signer = signer.ok_or_else(|| Problem::new(Exit::Usage, "audit-key-file is not set, which names the key"))?;
    signer.sign(&*location.open().await?, (app.now)(), true).await?;
    Ok(())
}

/// Prints a proof of an event, or that the log extends an earlier checkpoint.
///
/// # Errors
/// No such event, no checkpoint that has it (exit 3); a database that cannot be read.
pub async fn run(app: &App, args: &AuditProveArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let mut reader = location.audit().await?;
    let Some(index) = args.index else {
        let proof = prove_extension(&mut *reader, args.from.unwrap_or_default()).await.map_err(explain)?;
        if app.printer.is_json() {
            app.printer.json(&json!({ "proof": proof.to_string() }))?;
        } else {
            app.printer.data(proof.to_string().trim_end())?;
        }
        return Ok(Exit::Done);
    };
    let (record, proof) = prove_record(&mut *reader, index).await.map_err(explain)?;
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

fn explain(error: ProveError) -> anyhow::Error {
    match error {
        ProveError::Store(error) => error.into(),
        ProveError::Hashes => Problem::new(Exit::Failed, error.to_string()).into(),
        ProveError::NoRecord(_) | ProveError::NoCheckpoint(_) | ProveError::Size { .. } => {
            Problem::new(Exit::NotFound, error.to_string()).into()
        }
    }
}
