//! `rm`: removes models. Each is stopped first, as stock does. One that cannot be removed keeps none of the others.

use serde::Serialize;

use super::{explain, name, session_with_server, stop};
use crate::api::{ApiError, Session};
use crate::app::App;
use crate::cli::RmArgs;
use crate::exit::{Exit, Problem};

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
pub async fn run(app: &App, args: RmArgs) -> anyhow::Result<Exit> {
    let mut models: Vec<String> = Vec::new();
    for model in &args.models {
        let model = name(model)?;
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
    match stop::unload(session, model).await {
        Ok(_) | Err(ApiError::NotFound { .. }) => {}
        // The removal would meet the same.
        Err(error @ (ApiError::Unreachable { .. } | ApiError::Unauthorized { .. })) => return Err(error.into()),
        Err(error) => app.printer.warn(&format!("{model} could not be stopped first: {error}")),
    }
    session.delete(model).await.map_err(|error| explain(error, model))
}
