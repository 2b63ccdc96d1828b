//! `gateway top`: the responses under way at the gateways of this machine, and ending one of them.

use std::time::Duration;

use serde_json::json;

use super::running::{self, RunningReplies};
use super::{admin, database};
use crate::app::App;
use crate::cli::TopArgs;
use crate::commands::keys::short;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminError, AdminReply, AdminRequest, DatabaseLocation, StreamRow};
use crate::relative_time;
use crate::signals;
use crate::ui::{Column, Table};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The digits of an id that are shown: a gateway has no two alike among its responses under way.
const SHOWN_ID: usize = 12;

/// Shows them, or ends one.
///
/// # Errors
/// No gateway runs here, or none has that response; exit 3 for the latter.
pub async fn run(app: &App, args: TopArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let Some(id) = args.end {
        return end(app, &location, id.trim().to_ascii_lowercase(), args.reason).await;
    }
    let printer = &app.printer;
    let is_live = printer.stdout_is_terminal() && !printer.is_json() && !printer.is_dumb() && !args.once;
    loop {
        let mut streams = list(app, &location).await?;
        streams.sort_by_key(|stream| stream.since);
        if printer.is_json() {
            printer.json(&json!({ "streams": streams }))?;
            return Ok(Exit::Done);
        }
        if is_live {
            printer.clear_screen()?;
        }
        print(app, &streams)?;
        if !is_live {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = signals::interrupted() => return Ok(Exit::Done),
        }
    }
}

async fn list(app: &App, location: &DatabaseLocation) -> anyhow::Result<Vec<StreamRow>> {
    let mut all = Vec::new();
    for (gateway, reply) in replies(app, location, &AdminRequest::ListStreams).await? {
        let AdminReply::Streams(streams) = reply? else { return Err(admin::unexpected_reply().into()) };
        all.extend(streams.into_iter().map(|stream| StreamRow { gateway: gateway.clone(), ..stream }));
    }
    Ok(all)
}

async fn end(app: &App, location: &DatabaseLocation, id: String, reason: Option<String>) -> anyhow::Result<Exit> {
    let request = AdminRequest::EndStream { id, reason };
    let mut failed = None;
    for (_, reply) in replies(app, location, &request).await? {
        match reply {
            Ok(AdminReply::StreamEnded(stream)) => {
                app.printer.success(&format!("Ended the request {} of {}", stream.id, stream.user));
                if app.printer.is_json() {
                    app.printer.json(&stream)?;
                }
                return Ok(Exit::Done);
            }
            Ok(_) => return Err(admin::unexpected_reply().into()),
            // Another gateway may have it.
            Err(error @ AdminError::NoStream(_)) if failed.is_none() => failed = Some(error),
            Err(AdminError::NoStream(_)) => {}
            Err(error) => failed = Some(error),
        }
    }
    let error = failed.unwrap_or(AdminError::NotServing);
    let exit = if matches!(error, AdminError::NoStream(_)) { Exit::NotFound } else { Exit::Failed };
    Err(Problem { hint: error.hint(), ..Problem::new(exit, error.to_string()) }.into())
}

/// What each gateway says, as far as it answers.
async fn replies(
    app: &App,
    location: &DatabaseLocation,
    request: &AdminRequest,
) -> anyhow::Result<Vec<(Option<String>, Result<AdminReply, AdminError>)>> {
    let RunningReplies { replies, silent } = running::ask_all(app, location, request).await?;
    for reason in &silent {
        app.printer.warn(reason);
    }
    if replies.is_empty() { Err(running::not_serving().into()) } else { Ok(replies) }
}

fn print(app: &App, streams: &[StreamRow]) -> anyhow::Result<()> {
    if streams.is_empty() {
        app.printer.note("No response is under way.");
        return Ok(());
    }
    let now = (app.now)();
    let mut columns = vec![
        Column::new("id"),
        Column::new("user").shrinks_to(8),
        Column::new("credential").shrinks_to(12).optional(3),
        Column::new("from").shrinks_to(9).optional(4),
        Column::new("route").shrinks_to(12).optional(5),
        Column::new("model").shrinks_to(10),
        Column::new("for"),
        Column::new("tokens"),
    ];
    let has_gateways = streams.iter().any(|stream| stream.gateway.is_some());
    if has_gateways {
        columns.push(Column::new("gateway").shrinks_to(12).optional(1));
    }
    let mut table = Table::new(columns);
    for stream in streams {
        let credential = if stream.name.is_empty() { &stream.credential } else { &stream.name };
        let mut cells = vec![
            stream.id.chars().take(SHOWN_ID).collect(),
            stream.user.clone(),
            short(credential),
            stream.address.clone(),
            stream.route.clone(),
            stream.model.as_deref().map_or_else(|| "-".to_owned(), short),
            relative_time::span((now - stream.since).max(0)),
            stream.messages.to_string(),
        ];
        if has_gateways {
            cells.push(stream.gateway.clone().unwrap_or_default());
        }
        table.push(cells);
    }
    app.printer.table(&table)?;
    Ok(())
}
