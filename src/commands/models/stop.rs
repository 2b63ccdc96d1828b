//! `stop`: takes a model out of the server's memory.

use serde_json::json;

use super::{explain, name, session_with_server};
use crate::api::{ApiError, Session};
use crate::app::App;
use crate::cli::StopArgs;
use crate::exit::Exit;

/// Runs it.
pub async fn run(app: &App, args: StopArgs) -> anyhow::Result<Exit> {
    let model = name(&args.model)?;
    let session = session_with_server(app, "loads and unloads models by itself").await?;
    let host = session.base().to_string();
    let here = unload(&session, model.as_str()).await.map_err(|error| explain(error, model.as_str()))?;
    if here {
        app.printer.success(&format!("Stopped {model} at {host}"));
    } else {
        app.printer.note(&format!("{model} runs at another host: {host} has nothing to stop"));
    }
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "model": model.as_str(), "stopped": here }))?;
    }
    Ok(Exit::Done)
}

/// Unloads a model that runs at this host; `false` for one that runs elsewhere. Asking for that one would have it loaded there.
///
/// # Errors
/// [`ApiError::NotFound`] when the host does not have it.
pub async fn unload(session: &Session<'_>, model: &str) -> Result<bool, ApiError> {
    let is_cloud = crate::address::ModelName::parse(model).is_ok_and(|name| name.is_cloud());
    let shown = session.show(model).await?;
    if is_cloud || !shown.remote_host.is_empty() {
        return Ok(false);
    }
    session.unload(model).await?;
    Ok(true)
}
