//! `api`: one authenticated request, worded by the caller. Its answer goes to standard output as it comes, whatever its status
//! is; the exit code says what the status means.

mod body;

use crate::api::{RawAnswer, RawHeaders, RawRequest};
use crate::app::App;
use crate::cli::ApiArgs;
use crate::commands::context::{Context, withheld_note};
use crate::commands::keys::prove_account_host;
use crate::commands::request_path::RequestPath;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};
use crate::ui::{Output, OutputOptions};

/// Runs it.
pub async fn run(app: &App, args: ApiArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    let path = RequestPath::read(&args.path, context.url())?;
    if context.source == CredentialSource::ProfileDevice {
        path.require_no_time()?;
    }
    let mut headers = RawHeaders::default();
    for line in &args.headers {
        headers.add(line)?;
    }
    let method = match (args.method, &args.data) {
        (Some(method), _) => method.0,
        (None, Some(_)) => "POST".to_owned(),
        (None, None) => "GET".to_owned(),
    };
    let body = args.data.as_deref().map(body::Source::open).transpose()?;
    if let Some(withheld) = context.withheld.filter(|_| context.source == CredentialSource::None) {
        app.printer.warn(&withheld_note(withheld, context.url()));
    }
    let session = context.session(app).await?;
    let mut request = RawRequest {
        method,
        path: path.path.clone(),
        query: path.pairs(),
        headers,
        body: None,
        timeout: args.timeout.map(|limit| limit.0),
    };
    let proof = if request.is_delicate() {
        Some(prove_account_host(&session).await.map_err(|e| refused(&request, e))?)
    } else {
        None
    };
    // Read from now on: what is refused above takes nothing from a pipe.
    request.body = body.map(body::Source::start).transpose()?;
    let mut answer = session.send_raw(request, proof).await?;
    let options = OutputOptions { raw: false, no_word_wrap: true };
    let mut output = app.printer.output(options);
    let shown = show(&mut output, &mut answer, args.include).await;
    // That the rest cannot be shown matters less than what the status says, and a reader that left has what it wanted.
    let judged = answer.judge();
    match (shown, judged) {
        (_, Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
        (Ok(()), Ok(())) => Ok(Exit::Done),
    }
}

/// Prints the answer, each piece as it comes: the bytes as they are in a pipe, made harmless on a terminal.
async fn show(output: &mut Output, answer: &mut RawAnswer<'_, '_>, include: bool) -> anyhow::Result<()> {
    let written = async {
        if include {
            output.write_bytes(&answer.head())?;
            output.flush()?;
        }
        while let Some(piece) = answer.next().await? {
            output.write_bytes(&piece)?;
            output.flush()?;
        }
        anyhow::Ok(())
    };
    let written = written.await;
    let ended = output.abandon();
    written?;
    Ok(ended?)
}

/// A request that signs a stock server out is told from one that the host refuses.
fn refused(request: &RawRequest<'_>, error: anyhow::Error) -> anyhow::Error {
    let problem = Problem::from_error(&error);
    let message = format!("{} {} was not sent: {}", request.method, request.path, problem.message);
    Problem { message, ..problem }.into()
}
