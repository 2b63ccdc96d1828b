//! `/admin/maintenance`: the maintenance message, and the form that sets another one.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::plan::{Action, DONE};
use super::{MAINTENANCE, REASON, confirmation, confirmed, durations, form_head, page, path, refused};
use crate::gateway::admin::AdminRequest;
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::{Field, FieldError};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::store::Maintenance;
use crate::relative_time;

/// When it ends by itself: minutes in the form, and the label.
const ENDS: [(&str, &str); 5] = [
    ("never", "When I remove it"),
    ("30", "In 30 minutes"),
    ("120", "In 2 hours"),
    ("480", "In 8 hours"),
    ("1440", "In a day"),
];

/// What is said after it was set.
const SET: &str = "set-maintenance";

/// The values of the form.
#[derive(Default)]
struct Values {
    message: String,
    refuses: bool,
    ends: String,
    reason: String,
}

/// `GET /admin/maintenance`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let values = Values { ends: "never".to_owned(), ..Values::default() };
    Ok(form_page(&context, &session, &values, None))
}

fn current(context: &PageContext, maintenance: &Maintenance) -> Markup {
    html! {
        section.card.form aria-labelledby="current" {
            h1 #current { "Maintenance" }
            dl.facts {
                dt { "Message" } dd { bdi dir="ltr" { (display::visible_text(&maintenance.message)) } }
                dt { "Requests" } dd { @if maintenance.refuses { span.state.warn { "Refused" } } @else { span.state.good { "Accepted" } } }
                dt { "Since" } dd { time { (display::date(maintenance.since)) } }
                dt { "Ends" } dd {
                    @match maintenance.until {
                        Some(until) => { time { (display::date(until)) } ", " (relative_time::until(until, context.now)) }
                        None => { "when it is removed" }
                    }
                }
            }
            div.actions {
                a.button.primary #remove href=(context.link(&path(super::CHANGE, &[("action", Action::EndMaintenance.word())]))) { "Remove the message" }
            }
        }
    }
}

fn form_page(context: &PageContext, session: &BrowserSession, values: &Values, error: Option<&FieldError>) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let maintenance = context.pages.directory.maintenance(context.now);
    let done = context.parameter("done");
    let done = match done.as_str() {
        SET => Some("The maintenance message is set."),
        word => DONE.iter().find(|(known, _)| *known == word).map(|(_, text)| *text),
    };
    let message = Field {
        name: "message",
        label: "Message",
        kind: "text",
        autocomplete: "off",
        value: &display::visible_text(&values.message),
        hint: "One line for everyone who uses the gateway. Commands show it, too.",
        longest: Maintenance::LONGEST,
        optional: false,
        autofocus: error.is_none() || is_wrong("message"),
    };
    let content = html! {
        @if let Some(done) = done { p.success role="status" { (done) } }
        @if let Some(maintenance) = &maintenance { (current(context, maintenance)) }
        section.card.form {
            @if maintenance.is_some() { h2 { "Set another message" } }
            @else { div { h1 { "Maintenance" } p.hint { "There is no message now." } } }
            form #set-maintenance method="post" action=(context.link(MAINTENANCE)) {
                (form_head(context, session, MAINTENANCE, error))
                (message.render(is_wrong("message")))
                fieldset {
                    legend { "Requests to models" }
                    div.choices {
                        label.choice for="refuse" {
                            input type="checkbox" id="refuse" name="refuse" value="on" checked[values.refuses] aria-describedby="refuse-hint";
                            span { "Refuse" }
                            span.hint #refuse-hint { "Those of administrators, too. Responses under way continue, and these pages work." }
                        }
                    }
                }
                (durations("It ends", "ends", &ENDS, &values.ends))
                (confirmation(context, session, &values.reason, false, error))
                div.actions { button.primary type="submit" { "Set the message" } }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Maintenance" } else { "Maintenance" };
    page(context, session, status, title, MAINTENANCE, content)
}

/// `POST /admin/maintenance`.
pub async fn submit(context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let session = context.require_administrator()?;
    context.verify_session_form(&session, &form)?;
    let text = |name: &str| form.get(name).to_owned();
    let refuses = !form.get("refuse").is_empty();
    let values = Values { message: text("message"), refuses, ends: text("ends"), reason: text(REASON) };
    let wrong = |field, message: &str| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
    if Maintenance::line(&values.message).is_none() {
        let message = format!("The message must be one line of 1 to {} characters.", Maintenance::LONGEST);
        return Ok(form_page(&context, &session, &values, Some(&wrong("message", &message))));
    }
    let Some((ends, _)) = ENDS.iter().find(|(value, _)| *value == values.ends) else {
        return Ok(form_page(&context, &session, &values, Some(&wrong("", "Choose when it ends."))));
    };
    let until = ends.parse::<i64>().ok().map(|minutes| context.now + minutes * 60);
    let reason = match confirmed(&context, &session, &mut form).await? {
        Ok(reason) => reason,
        Err(error) => return Ok(form_page(&context, &session, &values, Some(&error))),
    };
    let request = AdminRequest::StartMaintenance { message: values.message.clone(), refuses, until };
    match context.administrate(&session, request, Some(reason)).await {
        Ok(_) => Ok(context.redirect(&path(MAINTENANCE, &[("done", SET)]))),
        Err(error) => {
            let session = context.require_administrator()?;
            Ok(form_page(&context, &session, &values, Some(&refused(&error))))
        }
    }
}
