//! `gateway audit` alone: the event log, the newest event first, in pages as large as a gateway sends.

use serde_json::json;

use crate::app::App;
use crate::cli::{AuditArgs, EventFilterArgs};
use crate::commands::gateway::admin;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, EventFilter, EventPage, RecordedEvent};
use crate::ui::{Column, Table};

/// The most events that a gateway sends at a time.
const LARGEST_PAGE: usize = 10_000;

/// Prints the events.
///
/// # Errors
/// Everything of [`admin::request`].
pub async fn run(app: &App, args: AuditArgs) -> anyhow::Result<Exit> {
    let now = (app.now)();
    let filter = EventFilter { before: args.before, ..filter(&args.filters, now) };
    let (events, next) = read(app, &args, filter.clone()).await?;
    if app.printer.is_json() {
        app.printer.json(&json!({ "events": events, "next": next }))?;
        return Ok(Exit::Done);
    }
    if events.is_empty() {
        app.printer.note(match next {
            Some(_) => "No event matches among those that were looked at.",
            None if filter == EventFilter::default() => "The event log is empty.",
            None => "No event matches.",
        });
    } else {
        print(app, &events)?;
    }
    if let Some(next) = next {
        app.printer.hint(&format!("there may be older events: add --before {next}"));
    }
    Ok(Exit::Done)
}

/// The filter that was asked for.
pub fn filter(args: &EventFilterArgs, now: i64) -> EventFilter {
    let EventFilterArgs { user, actor, key, action, subject, address, code, request, since, until } = args.clone();
    EventFilter {
        account: user,
        actor,
        key,
        action,
        subject,
        address: address.map(|address| address.to_canonical().to_string()),
        code,
        request,
        since: since.map(|time| time.resolve(now)),
        until: until.map(|time| time.resolve(now)),
        ..EventFilter::default()
    }
}

/// Up to as many events as were asked for; and the number to continue before, if there may be more.
pub async fn read(
    app: &App,
    args: &AuditArgs,
    mut filter: EventFilter,
) -> anyhow::Result<(Vec<RecordedEvent>, Option<i64>)> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    let wanted = args.limit as usize;
    loop {
        let limit = u32::try_from(wanted - events.len()).unwrap_or(u32::MAX);
        let EventPage { events: page, next } = page(app, args, limit, filter.clone()).await?;
        let found = page.len();
        events.extend(page);
        // A gateway sends no more than so many at a time. A page with fewer is one for which enough was looked at.
        if next.is_none() || events.len() >= wanted || found < LARGEST_PAGE {
            return Ok((events, next));
        }
        filter.before = next;
    }
}

async fn page(app: &App, args: &AuditArgs, limit: u32, filter: EventFilter) -> anyhow::Result<EventPage> {
    // A gateway of version 0.1.0 knows no pages, and would ignore filters.
    let is_plain = filter == EventFilter { before: filter.before, ..EventFilter::default() };
    let is_continued = filter.before.is_some();
    let request = match is_plain {
        true => AdminRequest::Events { limit: limit.saturating_add(1), filter },
        false => AdminRequest::EventPage { limit, filter },
    };
    match admin::request(app, &args.database, request).await? {
        AdminReply::EventPage(page) => Ok(page),
        AdminReply::Events(mut events) => {
            // One more than wanted shows whether there are more; no more than so many come at a time.
            let most = (limit as usize).min(LARGEST_PAGE - 1);
            let is_last = events.len() <= most;
            events.truncate(limit as usize);
            if is_continued && events.iter().any(|event| event.id == 0) {
                let problem = "the running gateway is older than this command: it gives events no numbers";
                return Err(Problem::new(Exit::Failed, problem).hint("restart the gateway after the update").into());
            }
            let next = events.last().map(|event| event.id).filter(|id| *id > 0 && !is_last);
            Ok(EventPage { events, next })
        }
        _ => Err(admin::unexpected_reply().into()),
    }
}

fn print(app: &App, events: &[RecordedEvent]) -> anyhow::Result<()> {
    let mut table = Table::new([
        Column::new("index").optional(6),
        Column::new("time"),
        Column::new("times").optional(4),
        Column::new("actor").shrinks_to(10),
        Column::new("action"),
        Column::new("subject").shrinks_to(12),
        Column::new("refused").optional(5),
        Column::new("account").shrinks_to(12).optional(3),
        Column::new("address").shrinks_to(12).optional(1),
        Column::new("detail").shrinks_to(12).optional(2),
    ]);
    for event in events {
        let (time, detail) = (timestamp(event.last_at.unwrap_or(event.at)), event.shown_detail());
        // The first is a line of its own.
        let times = if event.first.is_some() { format!("+{}", event.count) } else { event.count.to_string() };
        let (code, account) = (event.code.as_deref().unwrap_or_default(), event.account.as_deref().unwrap_or_default());
        let (actor, action, subject, address) = (&event.actor, &event.action, &event.subject, &event.address);
        let index = event.index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        table.push([&*index, &time, &times, actor, action, subject, code, account, address, &detail]);
    }
    Ok(app.printer.table(&table)?)
}

/// Unix seconds as `2025-01-31T12:00:00Z`.
pub fn timestamp(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
