//! `cp`: copies a model to another name.

use serde_json::json;

use super::{explain, name, session_with_server};
use crate::api::ApiError;
use crate::app::App;
use crate::cli::CpArgs;
use crate::exit::{Exit, Problem};

/// Runs it.
pub async fn run(app: &App, args: CpArgs) -> anyhow::Result<Exit> {
    let (source, destination) = (name(&args.source)?, name(&args.destination)?);
    let session = session_with_server(app, "copies no models").await?;
    let host = session.base().to_string();
    session.copy(source.as_str(), destination.as_str()).await.map_err(|error| match error {
        ApiError::Status { status: 400, message, .. } => {
            Problem::new(Exit::Usage, format!("{host} cannot copy {source} to {destination}: {message}"))
                .hint("a name is [NAMESPACE/]MODEL[:TAG]")
                .into()
        }
        other => explain(other, source.as_str()),
    })?;
    app.printer.success(&format!("Copied {source} to {destination} at {host}"));
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "source": source.as_str(), "destination": destination.as_str() }))?;
    }
    Ok(Exit::Done)
}
