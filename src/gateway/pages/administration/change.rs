//! `/admin/change`: the confirmation of a change, with a reason, and the change itself. Following a link changes nothing.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::plan::Plan;
use super::{REASON, confirmation, confirmed, form_head, page, refused};
use crate::gateway::admin::AdminRequest;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::{FieldError, hidden};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};

/// `GET /admin/change?action=…&of=…`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let (action, of, role) = (context.parameter("action"), context.parameter("of"), context.parameter("role"));
    let plan = Plan::of(&context, &action, &of, &role).await?;
    Ok(form_page(&context, &session, &plan, "", None))
}

fn form_page(
    context: &PageContext,
    session: &BrowserSession,
    plan: &Plan,
    reason: &str,
    error: Option<&FieldError>,
) -> Response {
    let of = [("action", plan.action.word()), ("of", plan.of.as_str()), ("role", plan.role.as_str())];
    let class = if plan.action.is_taking() { "destroy" } else { "primary" };
    let content = html! {
        section.card.form {
            div {
                h1 { (plan.question) }
                p.hint { (plan.effect) }
            }
            dl.facts { (plan.facts) }
            form #confirm-change method="post" action=(context.link(super::CHANGE)) {
                (form_head(context, session, &super::path(super::CHANGE, &of), error))
                (hidden("action", plan.action.word()))
                (hidden("of", &plan.of))
                (hidden("role", &plan.role))
                (confirmation(context, session, reason, true, error))
                div.actions {
                    button class=(class) type="submit" { (plan.action.label()) }
                    a.button.quiet href=(context.link(&plan.back)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { format!("Error: {}", plan.question) } else { plan.question.clone() };
    page(context, session, status, &title, plan.section, content)
}

/// `POST /admin/change`.
pub async fn submit(context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let session = context.require_administrator()?;
    context.verify_session_form(&session, &form)?;
    let plan = Plan::of(&context, form.get("action"), form.get("of"), form.get("role")).await?;
    let typed = form.get(REASON).to_owned();
    let reason = match confirmed(&context, &session, &mut form).await? {
        Ok(reason) => reason,
        Err(error) => return Ok(form_page(&context, &session, &plan, &typed, Some(&error))),
    };
    let request = match plan.request.clone() {
        AdminRequest::Suspend { what, .. } => AdminRequest::Suspend { what, reason: Some(reason.clone()) },
        other => other,
    };
    match context.administrate(&session, request, Some(reason)).await {
        Ok(_) => Ok(context.redirect(&plan.after())),
        Err(error) => {
            // Looked up again: the password may have been confirmed, or the session may have ended.
            let session = context.require_administrator()?;
            Ok(form_page(&context, &session, &plan, &typed, Some(&refused(&error))))
        }
    }
}
