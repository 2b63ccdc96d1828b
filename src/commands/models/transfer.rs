//! `pull` and `push`: the server fetches or publishes a model, and its progress is shown: bars on a terminal, lines elsewhere. Status 200
//! does not promise success: only `success` in the stream is. The server keeps what it fetched, so an interrupted pull continues from there. It
//! publishes under its own account, so `push` signs it in first where it is signed out.

use std::time::Duration;

use serde_json::json;

use super::registry::{RegistryName, RegistryRefusal, ServerAccount, registry_problem, server_message, sign_in_first};
use super::{explain_missing, missing_model, parse_name, session_with_server};
use crate::address::ModelName;
use crate::api::{ApiError, LineStream, ProgressChunk, Session};
use crate::app::App;
use crate::cli::TransferArgs;
use crate::exit::{Exit, Problem};
use crate::shell::quoted;
use crate::ui::Printer;

/// Runs it.
pub async fn pull_command(app: &App, args: TransferArgs) -> anyhow::Result<Exit> {
    let model = parse_name(&args.model)?;
    let session = session_with_server(app, "fetches no models").await?;
    let timeout = args.timeout.map(|limit| limit.0);
    let mut pulled = model.as_str().to_owned();
    if let Err(error) = pull(app, &session, &pulled, args.insecure, timeout).await {
        let Some(cloud) = cloud_instead(&session, &model, args.insecure, &error).await else {
            return Err(error);
        };
        if !app.printer.is_interactive() || app.printer.is_json() {
            let problem = Problem::from_error(&error);
            let hint = format!("there is {cloud}, which runs at ollama.com: ollama-auth pull {}", quoted(&cloud));
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

async fn pull(
    app: &App,
    session: &Session<'_>,
    model: &str,
    insecure: bool,
    timeout: Option<Duration>,
) -> anyhow::Result<()> {
    match try_pull(app, session, model, insecure, timeout).await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain_pull(session, model, error).await),
    }
}

/// Pulls a model; `timeout` bounds each wait.
///
/// # Errors
/// What the host says, for [`explain_pull`].
pub async fn try_pull(
    app: &App,
    session: &Session<'_>,
    model: &str,
    insecure: bool,
    timeout: Option<Duration>,
) -> Result<(), ApiError> {
    let kept = format!("{} keeps what it has of {model}: run the same command to continue.", session.base());
    let stream = session.pull(model, insecure, timeout).await?;
    follow_progress(app, stream, &kept).await
}

/// What an error of [`try_pull`] means: exit 3 when the registry has no such model, 4 or 5 when it refuses the server.
pub async fn explain_pull(session: &Session<'_>, model: &str, error: ApiError) -> anyhow::Error {
    let Some(reason) = server_message(&error) else {
        return explain_missing(session, model, error).await;
    };
    let message = format!("{} cannot pull {model}: {reason}", session.base());
    let problem = |exit, hint: &str| Problem::new(exit, message.clone()).hint(hint);
    match RegistryRefusal::read(reason) {
        RegistryRefusal::Missing if RegistryName::read(model).is_at_ollama_com() => {
            problem(Exit::NotFound, "check the name; models are listed at https://ollama.com/search")
        }
        RegistryRefusal::Missing => problem(Exit::NotFound, "check the name, and which models that registry has"),
        RegistryRefusal::Insecure => problem(Exit::Usage, "if you trust that registry without TLS, pass --insecure"),
        RegistryRefusal::BadName => problem(Exit::Usage, "a name is [NAMESPACE/]MODEL[:TAG]"),
        RegistryRefusal::Other => problem(Exit::Failed, "check the network of that server, then try again"),
        refusal => registry_problem(session, "pull", model, refusal, reason).await,
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
    let registry_name = RegistryName::read(model.as_str());
    // Names of other registries are nothing that ollama.com should be asked about.
    let eligible =
        !insecure && model.source().is_none() && !registry_name.has_tag && registry_name.is_in_default_registry();
    if !eligible || Problem::from_error(error).exit != Exit::NotFound {
        return None;
    }
    let cloud = format!("{model}:cloud");
    session.show(&cloud).await.ok().map(|_| cloud)
}

/// Runs it.
pub async fn push_command(app: &App, args: TransferArgs) -> anyhow::Result<Exit> {
    let model = parse_name(&args.model)?;
    let model = model.as_str();
    let session = session_with_server(app, "publishes only what a server sends it").await?;
    let registry_name = RegistryName::read(model);
    if registry_name.is_at_ollama_com() && matches!(ServerAccount::ask(&session).await, ServerAccount::SignedOut) {
        sign_in_first(app, &session).await?;
    }
    let kept = format!("What {} has sent of {model} need not be sent again: run the same command.", session.base());
    let pushed = match session.push(model, args.insecure, args.timeout.map(|limit| limit.0)).await {
        Ok(stream) => follow_progress(app, stream, &kept).await,
        Err(error) => Err(error),
    };
    if let Err(error) = pushed {
        return Err(explain_push(&session, model, error).await);
    }
    let (host, place) = (session.base().to_string(), registry_name.address());
    if app.printer.is_json() {
        app.printer.json(&json!({ "host": host, "model": model, "status": "success", "place": place }))?;
    } else {
        app.printer.success(&format!("{host} has published {model}:"));
        app.printer.data(&place)?;
    }
    Ok(Exit::Done)
}

async fn explain_push(session: &Session<'_>, model: &str, error: ApiError) -> anyhow::Error {
    let Some(reason) = server_message(&error) else {
        return explain_missing(session, model, error).await;
    };
    let host = session.base();
    let problem = |exit, hint: &str| Problem::new(exit, format!("{host} cannot push {model}: {reason}")).hint(hint);
    match RegistryRefusal::read(reason) {
        RegistryRefusal::Missing => {
            missing_model(session, model, format!("{host} has no model {model:?} to publish")).await
        }
        RegistryRefusal::Insecure => problem(Exit::Usage, "if you trust that registry without TLS, pass --insecure"),
        RegistryRefusal::BadName => problem(Exit::Usage, "a name is [NAMESPACE/]MODEL[:TAG]"),
        RegistryRefusal::Other => problem(Exit::Failed, "check the network of that server, then try again"),
        refusal => registry_problem(session, "push", model, refusal, reason).await,
    }
    .into()
}

/// How long the server may take to end its answer after `success`: it brings its own lists up to date then.
const SETTLE: Duration = Duration::from_secs(2);

/// Shows the progress to its end. `kept` is what to say when a person breaks it off.
///
/// # Errors
/// What the stream ends in, and one that ends without `success`.
pub async fn follow_progress(app: &App, mut stream: LineStream, kept: &str) -> Result<(), ApiError> {
    let mut note = InterruptNote { printer: &app.printer, kept, armed: true };
    let ended = read_progress(app, &mut stream).await;
    note.armed = false;
    if ended.is_ok() {
        let rest = async { while let Ok(Some(_)) = stream.next().await {} };
        let _ = tokio::time::timeout(SETTLE, rest).await;
    }
    ended
}

async fn read_progress(app: &App, stream: &mut LineStream) -> Result<(), ApiError> {
    let host = stream.host().to_owned();
    let mut bars = app.printer.layer_bars();
    while let Some(batch) = stream.next().await? {
        for line in batch.lines() {
            let chunk: ProgressChunk = serde_json::from_slice(line).map_err(|error| not_json(&host, &error))?;
            if let Some(message) = chunk.error() {
                return Err(ApiError::InStream { host, message });
            }
            bars.update(&chunk.status, chunk.digest.as_deref(), chunk.total, chunk.completed);
            if chunk.status == "success" {
                bars.clear();
                return Ok(());
            }
        }
    }
    Err(ApiError::Cut { host, reason: "it ended before the model was complete".to_owned() })
}

fn not_json(host: &str, error: &serde_json::Error) -> ApiError {
    // Half a line is the end of a stream that was cut.
    if error.is_eof() {
        return ApiError::Cut { host: host.to_owned(), reason: "it ended in the middle of a line".to_owned() };
    }
    ApiError::Protocol { host: host.to_owned(), reason: format!("a line is not JSON: {error}") }
}

/// Says, when Ctrl-C drops the transfer, that what was transferred is not lost.
struct InterruptNote<'a> {
    printer: &'a Printer,
    kept: &'a str,
    armed: bool,
}

impl Drop for InterruptNote<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.printer.note(self.kept);
        }
    }
}
