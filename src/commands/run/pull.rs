//! Pulling a model that the server does not have, with its progress.

use crate::api::{ApiError, ProgressChunk, Session};
use crate::app::App;
use crate::cli::RunArgs;
use crate::exit::{Exit, Problem};

/// Pulls a model.
///
/// # Errors
/// Exit 3 when the registry has no such model.
pub async fn pull(app: &App, session: &Session<'_>, model: &str, args: &RunArgs) -> anyhow::Result<()> {
    let host = session.base().to_string();
    let mut stream = session.pull(model, args.insecure, args.timeout.map(|limit| limit.0)).await?;
    let mut bars = app.printer.layer_bars();
    let mut done = false;
    while let Some(batch) = stream.next().await? {
        for line in batch.lines() {
            let chunk: ProgressChunk = serde_json::from_slice(line).map_err(|error| ApiError::Protocol {
                host: host.clone(),
                reason: format!("a line that is no JSON: {error}"),
            })?;
            if let Some(error) = chunk.error() {
                bars.clear();
                return Err(failed(&host, model, &error).into());
            }
            done = chunk.status == "success";
            bars.update(&chunk.status, chunk.digest.as_deref(), chunk.total, chunk.completed);
        }
    }
    bars.clear();
    if done {
        return Ok(());
    }
    Err(ApiError::Cut { host, reason: "it ended before the model was complete".to_owned() }.into())
}

/// The registry's "no such manifest" comes as text only.
fn failed(host: &str, model: &str, error: &str) -> Problem {
    let missing = error.contains("file does not exist") || error.contains("manifest unknown");
    let message = format!("{host} has no model {model:?} and cannot pull it: {error}");
    if missing {
        Problem::new(Exit::NotFound, message).hint("check the name")
    } else {
        Problem::new(Exit::Failed, message).hint("check that server's network, then try again")
    }
}
