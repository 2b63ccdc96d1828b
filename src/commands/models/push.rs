//! `push`: lets the server publish a model. It publishes under its own account, so where it is signed out that comes first.

use serde_json::json;

use super::account::{ServerAccount, rejection, sign_in_first};
use super::published::Published;
use super::refused::{Refused, words};
use super::{name, session_with_server, transfer};
use crate::api::{ApiError, Session};
use crate::app::App;
use crate::cli::TransferArgs;
use crate::exit::{Exit, Problem};

/// Runs it.
pub async fn run(app: &App, args: TransferArgs) -> anyhow::Result<Exit> {
    let model = name(&args.model)?;
    let model = model.as_str();
    let session = session_with_server(app, "publishes only what a server sends it").await?;
    let published = Published::read(model);
    if published.is_at_ollama_com() && matches!(ServerAccount::ask(&session).await, ServerAccount::SignedOut) {
        sign_in_first(app, &session).await?;
    }
    let kept = format!("What {} has sent of {model} need not be sent again: run the same command.", session.base());
    let pushed = match session.push(model, args.insecure, args.timeout.map(|limit| limit.0)).await {
        Ok(stream) => transfer::follow(app, stream, &kept).await,
        Err(error) => Err(error),
    };
    if let Err(error) = pushed {
        return Err(explain(&session, model, error).await);
    }
    let (host, place) = (session.base().to_string(), published.place());
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "model": model, "status": "success", "place": place }))?;
    } else {
        app.printer.success(&format!("{host} has published {model}:"));
        app.printer.data(&place)?;
    }
    Ok(Exit::Done)
}

async fn explain(session: &Session<'_>, model: &str, error: ApiError) -> anyhow::Error {
    let Some(words) = words(&error) else {
        return super::explain(error, model);
    };
    let host = session.base();
    let problem = |exit, hint: &str| Problem::new(exit, format!("{host} cannot push {model}: {words}")).hint(hint);
    match Refused::read(words) {
        Refused::Missing => Problem::new(Exit::NotFound, format!("{host} has no model {model:?} to publish"))
            .hint("see which it has: ollama-auth list"),
        Refused::Insecure => problem(Exit::Usage, "if that registry is to be trusted without TLS, pass --insecure"),
        Refused::BadName => problem(Exit::Usage, "a name is [NAMESPACE/]MODEL[:TAG]"),
        Refused::Other => problem(Exit::Failed, "check that server's network, then try again"),
        refused => rejection(session, "push", model, refused, words).await,
    }
    .into()
}
