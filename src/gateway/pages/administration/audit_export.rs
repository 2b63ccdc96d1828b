//! `GET /admin/audit/export`: the stored lines of the events that fit the filters, as a download.
//!
//! They are read and sent in portions, so that a large log takes no memory, and only as long as the person may read them.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

use super::audit_filter::AuditFilter;
use crate::gateway::authn::Caller;
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::{PageContext, header_value};
use crate::gateway::store::EventFilter;

/// Lines that are read at a time.
const LINES: u32 = 1000;

/// What is still to be sent.
struct Export {
    context: PageContext,
    caller: Caller,
    filter: EventFilter,
}

/// `GET /admin/audit/export?…`.
pub async fn send(context: PageContext, method: Method) -> PageResult {
    let session = context.require_auditor()?;
    let mut filter = AuditFilter::of(&context).parse().map_err(|error| {
        context.error_page(error.status, "Filter not understood", maud::html! { p { (error.message) } })
    })?;
    // What happens from now on is not part of it: it would not end.
    let latest = context.pages.directory.event_page(1, EventFilter::default()).await;
    let latest = latest.map_err(|error| context.internal_error(&error.to_string()))?;
    filter.before = Some(latest.events.first().map_or(0, |event| event.id.saturating_add(1)));
    let name = format!("attachment; filename=\"events-{}.jsonl\"", display::file_date(context.now));
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")), (CONTENT_DISPOSITION, header_value(&name))];
    if method == Method::HEAD {
        return Ok((StatusCode::OK, headers).into_response());
    }
    let export = Export { context, caller: session.caller, filter };
    let portions = stream::try_unfold(Some(export), |export| async move {
        match export {
            Some(export) => export.next().await,
            None => Ok(None),
        }
    });
    let response: Response = (StatusCode::OK, headers, Body::from_stream(portions)).into_response();
    Ok(response)
}

impl Export {
    /// The next lines, and what is left after them. An error breaks the download off, so that it does not look complete.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, std::io::Error> {
        loop {
            let pages = &self.context.pages;
            if !self.caller.audits_still(&pages.directory) {
                return Err(std::io::Error::other("the person may not read the event log any more"));
            }
            let read = pages.directory.event_lines(LINES, self.filter.clone()).await;
            let page = read.map_err(|error| {
                tracing::error!(%error, "export of events failed");
                std::io::Error::other(error)
            })?;
            let mut text = page.lines.join("\n");
            if !page.lines.is_empty() {
                text.push('\n');
            }
            self.filter.after = page.next;
            match (page.next, text.is_empty()) {
                (None, true) => return Ok(None),
                (None, false) => return Ok(Some((text.into(), None))),
                (Some(_), false) => return Ok(Some((text.into(), Some(self)))),
                // Enough was looked at for one page, and nothing fits.
                (Some(_), true) => {}
            }
        }
    }
}
