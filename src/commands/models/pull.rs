//! `pull`: lets the server fetch a model from a registry, with its progress. What it has fetched it keeps, so that a pull that was
//! broken off goes on from there.

use std::time::Duration;

use serde_json::json;

use super::account::rejection;
use super::published::Published;
use super::refused::{Refused, words};
use super::{name, session_with_server, transfer};
use crate::address::ModelName;
use crate::api::{ApiError, Session};
use crate::app::App;
use crate::cli::TransferArgs;
use crate::exit::{Exit, Problem};

/// Runs it.
pub async fn run(app: &App, args: TransferArgs) -> anyhow::Result<Exit> {
    let model = name(&args.model)?;
    let session = session_with_server(app, "fetches no models").await?;
    let timeout = args.timeout.map(|limit| limit.0);
    let mut pulled = model.as_str().to_owned();
    if let Err(error) = pull(app, &session, &pulled, args.insecure, timeout).await {
        let Some(cloud) = cloud_instead(&session, &model, args.insecure, &error).await else {
            return Err(error);
        };
        if !app.printer.is_interactive() || app.printer.is_json() {
            let problem = Problem::from_error(&error);
            let hint = format!("there is {cloud}, which runs at ollama.com: ollama-auth pull {cloud}");
            return Err(problem.hint(hint).into());
        }
        let question = format!("There is no {model}. Did you mean {cloud}, which runs at ollama.com?");
        if !app.ask(move |printer| printer.confirm(&question, true)).await?? {
            return Err(error);
        }
        pull(app, &session, &cloud, args.insecure, timeout).await?;
        pulled = cloud;
    }
    let host = session.base().to_string();
    app.printer.success(&format!("{host} has {pulled}"));
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "model": pulled, "status": "success" }))?;
    }
    Ok(Exit::Done)
}

/// Pulls a model; `timeout` bounds each wait.
///
/// # Errors
/// Exit 3 when the registry has no such model, 4 or 5 when it refuses the server.
pub async fn pull(
    app: &App,
    session: &Session<'_>,
    model: &str,
    insecure: bool,
    timeout: Option<Duration>,
) -> anyhow::Result<()> {
    let kept = format!("{} keeps what it has of {model}: the same command goes on from there.", session.base());
    let pulled = match session.pull(model, insecure, timeout).await {
        Ok(stream) => transfer::follow(app, stream, &kept).await,
        Err(error) => Err(error),
    };
    match pulled {
        Ok(()) => Ok(()),
        Err(error) => Err(explain(session, model, error).await),
    }
}

async fn explain(session: &Session<'_>, model: &str, error: ApiError) -> anyhow::Error {
    let Some(words) = words(&error) else {
        return super::explain(error, model);
    };
    let message = format!("{} cannot pull {model}: {words}", session.base());
    let problem = |exit, hint: &str| Problem::new(exit, message.clone()).hint(hint);
    match Refused::read(words) {
        Refused::Missing => problem(Exit::NotFound, "check the name; models are listed at https://ollama.com/search"),
        Refused::Insecure => problem(Exit::Usage, "if that registry is to be trusted without TLS, pass --insecure"),
        Refused::BadName => problem(Exit::Usage, "a name is [NAMESPACE/]MODEL[:TAG]"),
        Refused::Other => problem(Exit::Failed, "check that server's network, then try again"),
        refused => rejection(session, "pull", model, refused, words).await,
    }
    .into()
}

/// The cloud model of the same name, where a plain name is in the registry as that alone.
async fn cloud_instead(
    session: &Session<'_>,
    model: &ModelName,
    insecure: bool,
    error: &anyhow::Error,
) -> Option<String> {
    let published = Published::read(model.as_str());
    // Names of other registries are nothing that ollama.com should be asked about.
    let eligible = !insecure && model.source().is_none() && !published.has_tag && published.is_in_default_registry();
    if !eligible || Problem::from_error(error).exit != Exit::NotFound {
        return None;
    }
    let cloud = format!("{model}:cloud");
    session.show(&cloud).await.ok().map(|_| cloud)
}
