//! `gateway audit --follow`: events as they happen, a line each.

use std::time::Duration;

use super::show::{filter, read, timestamp};
use crate::app::App;
use crate::cli::AuditArgs;
use crate::commands::gateway::admin;
use crate::exit::Exit;
use crate::gateway::{AdminReply, AdminRequest, EventFilter, EventPage, RecordedEvent};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// The most events that are asked for at a time.
const PAGE: u32 = 1000;

/// Prints the last events that are wanted, then those that follow, until it is interrupted.
///
/// # Errors
/// Everything of [`admin::request`]; a closed standard output.
pub async fn run(app: &App, args: &AuditArgs) -> anyhow::Result<Exit> {
    let filter = filter(&args.filters, (app.now)());
    // Before the list: what happens in between is printed once.
    let newest = page(app, args, 1, EventFilter::default()).await?.events.first().map_or(0, |event| event.id);
    let last = EventFilter { before: Some(newest.saturating_add(1)), ..filter.clone() };
    let (events, _) = read(app, args, last).await?;
    events.iter().rev().try_for_each(|event| print(app, event))?;
    let mut after = newest;
    loop {
        let EventPage { mut events, next } =
            page(app, args, PAGE, EventFilter { after: Some(after), ..filter.clone() }).await?;
        events.sort_by_key(|event| event.id);
        events.iter().try_for_each(|event| print(app, event))?;
        after = next.or(events.last().map(|event| event.id)).unwrap_or(after);
        if next.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn page(app: &App, args: &AuditArgs, limit: u32, filter: EventFilter) -> anyhow::Result<EventPage> {
    match admin::request(app, &args.database, AdminRequest::EventPage { limit, filter }).await? {
        AdminReply::EventPage(page) => Ok(page),
        _ => Err(admin::unexpected_reply().into()),
    }
}

fn print(app: &App, event: &RecordedEvent) -> anyhow::Result<()> {
    if app.printer.is_json() {
        return Ok(app.printer.json_line(event)?);
    }
    let mut line = format!("{}  {}", timestamp(event.last_at.unwrap_or(event.at)), event.action);
    if event.first.is_some() {
        line.push_str(&format!(" (+{})", event.count));
    }
    let code = event.code.as_deref().unwrap_or_default();
    let address = if event.address.is_empty() { String::new() } else { format!("from {}", event.address) };
    for part in [event.subject.as_str(), &format!("by {}", event.actor), &address, code, &event.shown_detail()] {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(part);
        }
    }
    Ok(app.printer.data(&line)?)
}
