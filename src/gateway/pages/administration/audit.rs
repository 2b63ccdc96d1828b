//! `GET /admin/audit`: the event log, for administrators and people whose role has `audit`.

use http::StatusCode;
use maud::{Markup, html};

use super::audit_filter::AuditFilter;
use super::{AUDIT, AUDIT_EXPORT, page, path};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::form::{FieldError, alert};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::store::{EventPage, RecordedEvent};

/// Events on one page.
const EVENTS_PER_PAGE: u32 = 50;

impl PageContext {
    /// The session of a person who may read the event log. For others the page does not exist.
    ///
    /// # Errors
    /// Without one.
    pub fn require_auditor(&self) -> Result<BrowserSession, ErrorPage> {
        let session = self.session().ok_or_else(|| ErrorPage::from(self.redirect("/login")))?;
        if session.caller.audits() { Ok(session) } else { Err(self.page_not_found()) }
    }
}

/// `GET /admin/audit?…&before=NUMBER&after=NUMBER`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_auditor()?;
    let wanted = AuditFilter::of(&context);
    let mut filter = match wanted.parse() {
        Ok(filter) => filter,
        Err(error) => return Ok(shown(&context, &session, error.status, &wanted, Err(&error))),
    };
    let number = |name| context.parameter(name).parse().ok();
    (filter.before, filter.after) = (number("before"), number("after"));
    let found = context.pages.directory.event_page(EVENTS_PER_PAGE, filter).await;
    let found = found.map_err(|error| context.internal_error(&error.to_string()))?;
    // The roles may have changed meanwhile.
    context.require_auditor()?;
    Ok(shown(&context, &session, StatusCode::OK, &wanted, Ok(&found)))
}

fn shown(
    context: &PageContext,
    session: &BrowserSession,
    status: StatusCode,
    wanted: &AuditFilter,
    found: Result<&EventPage, &FieldError>,
) -> axum::response::Response {
    let error = found.err();
    let export = context.link(&path(AUDIT_EXPORT, &wanted.parameters(None)));
    let content = html! {
        section.card.wide aria-labelledby="audit" {
            div.head {
                div {
                    h1 #audit { "Event log" }
                    p.hint { "Who did what, from where, and what was refused. The newest events come first." }
                }
                @if error.is_none() { a.button.quiet #export href=(export) download { "Export" @if !wanted.is_empty() { " these events" } } }
            }
            details.filters open[!wanted.is_empty()] {
                summary { "Filters" }
                form #filters method="get" action=(context.link(AUDIT)) {
                    (alert(error.map(|error| error.message.as_str())))
                    div.fields { (wanted.fields(error)) }
                    div.both {
                        button.primary.small type="submit" { "Show" }
                        @if !wanted.is_empty() { a.button.quiet href=(context.link(AUDIT)) { "All events" } }
                    }
                }
            }
            @if let Ok(found) = found { (events(context, wanted, found)) }
        }
    };
    page(context, session, status, "Event log", AUDIT, content)
}

fn events(context: &PageContext, wanted: &AuditFilter, found: &EventPage) -> Markup {
    let (before, after) = (context.parameter("before"), context.parameter("after"));
    let goes_up = !after.is_empty();
    let first = found.events.first().map(|event| event.id.to_string());
    let last = found.events.last().map(|event| event.id.to_string());
    let next = found.next.map(|next| next.to_string());
    // Whichever way the page was reached, the one behind it begins at its end.
    let (newer, older) = match goes_up {
        true => (next, last.or_else(|| after.parse::<i64>().ok().map(|after| after.saturating_add(1).to_string()))),
        false => (first.filter(|_| !before.is_empty()), next),
    };
    let link = |more| context.link(&path(AUDIT, &wanted.parameters(more)));
    html! {
        @if found.events.is_empty() {
            div.empty {
                p { strong {
                    @if found.next.is_some() { "No event matches among those that were looked at." }
                    @else if goes_up { "There are no newer events." }
                    @else if before.is_empty() && wanted.is_empty() { "The event log is empty." }
                    @else { "No event matches." }
                } }
                @if found.next.is_some() {
                    p.hint { "With several filters, a bounded number of events is examined for one page. Continue below, or limit the time." }
                }
            }
        } @else {
            (table(&found.events))
        }
        div.below {
            @if goes_up || !before.is_empty() { a href=(link(None)) { "Newest events" } }
            @if let Some(newer) = &newer { a #newer rel="prev" href=(link(Some(("after", newer)))) { "Newer events" } }
            @if let Some(older) = &older {
                a #older rel="next" href=(link(Some(("before", older)))) {
                    @if found.events.is_empty() && !goes_up { "Continue with older events" } @else { "Older events" }
                }
            }
        }
    }
}

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
fn table(events: &[RecordedEvent]) -> Markup {
    html! {
        table.keys.events role="table" aria-labelledby="audit" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Event", "Actor", "Subject", "Details"] { th scope="col" role="columnheader" { (title) } }
                }
            }
            tbody role="rowgroup" { @for event in events { (row(event)) } }
        }
    }
}

fn row(event: &RecordedEvent) -> Markup {
    let detail = event.shown_detail();
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                (text(&event.action, "name"))
                span.hint { (display::moment(event.at)) }
                @if let Some(index) = event.index { span.hint { "index " (index) } }
            }
            td role="cell" data-label="Actor" {
                (text(&event.actor, "print"))
                @if !event.address.is_empty() { span.hint { "from " bdi dir="ltr" { (display::visible_text(&event.address)) } } }
            }
            td role="cell" data-label="Subject" {
                (text(&event.subject, "print"))
                @if let Some(account) = event.account.as_deref().filter(|account| *account != event.subject) {
                    span.hint { "of " bdi dir="ltr" { (display::visible_text(account)) } }
                }
            }
            td role="cell" data-label="Details" {
                @if let Some(code) = &event.code { span.state.warn { (display::visible_text(code)) } }
                @if event.count > 1 || event.first.is_some() { span.hint { (times(event)) } }
                @if !detail.is_empty() { span.print { bdi dir="ltr" { (display::visible_text(&detail)) } } }
            }
        }
    }
}

fn text(text: &str, class: &str) -> Markup {
    html! { span class=(class) { bdi dir="ltr" { (display::visible_text(text)) } } }
}

/// How often it happened: "57 more until …".
fn times(event: &RecordedEvent) -> Markup {
    let more = if event.first.is_some() { " more" } else { " times" };
    html! { (event.count) (more) @if let Some(last) = event.last_at { ", until " (display::moment(last)) } }
}
