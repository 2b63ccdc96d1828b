//! `gateway audit` alone: the event log, the newest event first, in pages as large as a gateway sends.

use serde_json::json;

use crate::app::App;
use crate::cli::AuditArgs;
use crate::commands::gateway::admin;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, EventFilter, RecordedEvent};
use crate::ui::{Column, Table};

/// Prints the events.
///
/// # Errors
/// Everything of [`admin::request`].
pub async fn run(app: &App, args: AuditArgs) -> anyhow::Result<Exit> {
    let now = (app.now)();
    let filter = EventFilter {
        before: args.before,
        account: args.user.clone(),
        action: args.action.clone(),
        subject: args.subject.clone(),
        address: args.address.map(|address| address.to_string()),
        code: args.code.clone(),
        request: args.request.clone(),
        since: args.since.map(|time| time.resolve(now)),
        until: args.until.map(|time| time.resolve(now)),
    };
    let (events, next) = read(app, &args, filter.clone()).await?;
    if app.printer.is_json() {
        app.printer.json(&json!({ "events": events, "next": next }))?;
        return Ok(Exit::Done);
    }
    if events.is_empty() {
        let text = if filter == EventFilter::default() { "The event log is empty." } else { "No event matches." };
        app.printer.note(text);
        return Ok(Exit::Done);
    }
    print(app, &events)?;
    if let Some(next) = next {
        app.printer.hint(&format!("there are older events: add --before {next}"));
    }
    Ok(Exit::Done)
}

/// Up to as many events as were asked for; and the number to continue before, if there are more.
async fn read(
    app: &App,
    args: &AuditArgs,
    mut filter: EventFilter,
) -> anyhow::Result<(Vec<RecordedEvent>, Option<i64>)> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    let wanted = args.limit as usize;
    loop {
        // One more than wanted shows whether there are more.
        let missing = u32::try_from(wanted - events.len()).unwrap_or(u32::MAX).saturating_add(1);
        let request = AdminRequest::Events { limit: missing, filter: filter.clone() };
        let AdminReply::Events(mut page) = admin::request(app, &args.database, request).await? else {
            return Err(admin::unexpected_reply().into());
        };
        let numbered = page.iter().all(|event| event.id > 0);
        if !numbered && filter != EventFilter::default() {
            return Err(Problem::new(
                Exit::Failed,
                "the running gateway is older than this command: it cannot filter events",
            )
            .hint("restart the gateway after the update")
            .into());
        }
        let (is_last, last) = (page.is_empty() || !numbered, page.last().map(|event| event.id));
        events.append(&mut page);
        if events.len() > wanted {
            events.truncate(wanted);
            return Ok((events.clone(), events.last().map(|event| event.id).filter(|id| *id > 0)));
        }
        if is_last {
            return Ok((events, None));
        }
        filter.before = last;
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
fn timestamp(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
