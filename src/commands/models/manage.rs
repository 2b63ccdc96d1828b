//! `cp`, `rm` and `stop`: copying, removing and unloading models. Each model is stopped before it is removed, as stock Ollama does; one
//! that cannot be removed does not keep the others from it.

use serde::Serialize;
use serde_json::json;

use super::{explain_missing, parse_name, session_with_server};
use crate::api::{ApiError, Session};
use crate::app::App;
use crate::cli::{CpArgs, RmArgs, StopArgs};
use crate::exit::{Exit, Problem};

/// Runs it.
pub async fn cp(app: &App, args: CpArgs) -> anyhow::Result<Exit> {
    let (source, destination) = (parse_name(&args.source)?, parse_name(&args.destination)?);
    let session = session_with_server(app, "copies no models").await?;
    let host = session.base().to_string();
    match session.copy(source.as_str(), destination.as_str()).await {
        Ok(()) => {}
        Err(ApiError::Status { status: 400, message, .. }) => {
            let message = format!("{host} cannot copy {source} to {destination}: {message}");
            return Err(Problem::new(Exit::Usage, message).hint("a name is [NAMESPACE/]MODEL[:TAG]").into());
        }
        Err(other) => return Err(explain_missing(&session, source.as_str(), other).await),
    }
    app.printer.success(&format!("Copied {source} to {destination} at {host}"));
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "source": source.as_str(), "destination": destination.as_str() }))?;
    }
    Ok(Exit::Done)
}

/// What `rm --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    host: String,
    removed: Vec<String>,
    failed: Vec<Failure>,
}

/// A model that was not removed.
#[derive(Debug, Serialize)]
struct Failure {
    model: String,
    error: String,
    exit_code: u8,
    #[serde(skip)]
    problem: Problem,
}

/// Runs it.
pub async fn rm(app: &App, args: RmArgs) -> anyhow::Result<Exit> {
    let mut models: Vec<String> = Vec::new();
    for model in &args.models {
        let model = parse_name(model)?;
        if !models.iter().any(|known| known == model.as_str()) {
            models.push(model.as_str().to_owned());
        }
    }
    let session = session_with_server(app, "removes no models").await?;
    let mut report = Report { host: session.base().to_string(), removed: Vec::new(), failed: Vec::new() };
    let several = models.len() > 1;
    let mut away: Option<Problem> = None;
    for model in models {
        let removed = match &away {
            // It would only be the same again, and each time after a wait.
            Some(problem) => Err(problem.clone().into()),
            None => remove(app, &session, &model).await,
        };
        match removed {
            Ok(()) => {
                app.printer.success(&format!("Removed {model} at {}", report.host));
                report.removed.push(model);
            }
            Err(error) => {
                let problem = Problem::from_error(&error);
                if several && away.is_none() {
                    app.printer.warn(&problem.message);
                }
                if matches!(problem.exit, Exit::Unreachable | Exit::SignIn) {
                    away = Some(problem.clone());
                }
                let (error, exit_code) = (problem.message.clone(), problem.exit as u8);
                report.failed.push(Failure { model, error, exit_code, problem });
            }
        }
    }
    if app.printer.is_json() {
        app.printer.json(&report)?;
    }
    let (done, all) = (report.removed.len(), report.removed.len() + report.failed.len());
    // Worse than that a model is not there is that it could not be removed.
    report.failed.sort_by_key(|failure| failure.problem.exit == Exit::NotFound);
    let Some(worst) = report.failed.first() else {
        return Ok(Exit::Done);
    };
    if !several {
        return Err(worst.problem.clone().into());
    }
    let names: Vec<_> = report.failed.iter().map(|failure| failure.model.as_str()).collect();
    let message = format!("{done} of {all} models were removed at {}; not removed: {}", report.host, names.join(", "));
    Err(Problem { message, ..worst.problem.clone() }.into())
}

async fn remove(app: &App, session: &Session<'_>, model: &str) -> anyhow::Result<()> {
    match unload(session, model).await {
        Ok(_) | Err(ApiError::NotFound { .. }) => {}
        // The removal would meet the same.
        Err(error @ (ApiError::Unreachable { .. } | ApiError::Unauthorized { .. })) => return Err(error.into()),
        Err(error) => app.printer.warn(&format!("{model} could not be stopped first: {error}")),
    }
    match session.delete(model).await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain_missing(session, model, error).await),
    }
}

/// Runs it.
pub async fn stop(app: &App, args: StopArgs) -> anyhow::Result<Exit> {
    let model = parse_name(&args.model)?;
    let session = session_with_server(app, "loads and unloads models by itself").await?;
    let host = session.base().to_string();
    let here = match unload(&session, model.as_str()).await {
        Ok(here) => here,
        Err(error) => return Err(explain_missing(&session, model.as_str(), error).await),
    };
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
