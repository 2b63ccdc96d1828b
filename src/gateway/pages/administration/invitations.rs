//! `/admin/invitations`: the invitations, and the form for another one, whose link is shown once.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::plan::{Action, DONE};
use super::{
    INVITATIONS, NEW_INVITATION, PEOPLE, REASON, confirmation, confirmed, durations, form_head, page, refused,
    role_options, select,
};
use crate::gateway::admin::{AdminReply, AdminRequest, InvitationRow};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::{Field, FieldError, Form};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::settings::{AllowsScript, copy_script_tag, day};
use crate::gateway::pages::setup::LONGEST_EMAIL;
use crate::gateway::store::{InvitationState, Role, User};
use crate::relative_time;

/// Invitations that are shown.
const MOST_SHOWN: usize = 200;

/// How long an invitation can be used: days in the form, and the label.
const LIFETIMES: [(&str, &str); 4] = [("1", "1 day"), ("3", "3 days"), ("7", "7 days"), ("30", "30 days")];

/// `GET /admin/invitations`.
pub async fn list(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let reply = context.administrate(&session, AdminRequest::ListInvitations, None).await;
    let rows = match reply {
        Ok(AdminReply::Invitations(rows)) => rows,
        Ok(_) => Vec::new(),
        Err(error) => return Err(context.internal_error(&error.to_string())),
    };
    let done = context.parameter("done");
    let done = DONE.iter().find(|(word, _)| *word == done).map(|(_, text)| *text);
    let content = html! {
        @if let Some(done) = done { p.success role="status" { (done) } }
        section.card.wide aria-labelledby="invitations" {
            div.head {
                div {
                    h1 #invitations { "Invitations" }
                    p.hint { "Who has the link of one makes an account, once." }
                }
                a.button.primary #invite href=(context.link(NEW_INVITATION)) { "Invite a person" }
            }
            @if rows.is_empty() { div.empty { p { strong { "No invitations." } } } }
            @else { ul.devices { @for row in rows.iter().take(MOST_SHOWN) { (invitation(&context, row)) } } }
            @if rows.len() > MOST_SHOWN {
                p.hint { "These are the newest. " code { "ollama-auth gateway user invitations" } " lists all." }
            }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, "Invitations", INVITATIONS, content))
}

fn invitation(context: &PageContext, row: &InvitationRow) -> Markup {
    let class = if row.state == InvitationState::Open { "state good" } else { "state" };
    html! {
        li {
            div {
                p {
                    span class=(class) { (display::capitalized(row.state.word())) } " "
                    @match &row.used_by {
                        Some(name) => { "by " bdi.device dir="ltr" { (name) } }
                        None => { "for " @match &row.name { Some(name) => { bdi.device dir="ltr" { (name) } }, None => "a person who chooses a name" } }
                    }
                }
                p.print { (row.id) }
                p.hint {
                    "Role " (row.role) " · made " (day(row.created_at)) " by "
                    @if row.created_by == "admin" { "a command" } @else { bdi dir="ltr" { (row.created_by.trim_start_matches("user:")) } }
                    @if row.state == InvitationState::Open { " · expires " (relative_time::until(row.expires_at, context.now)) }
                }
                @if !row.email.is_empty() { p.hint { bdi dir="ltr" { (display::visible_text(&row.email)) } } }
            }
            @if row.state == InvitationState::Open {
                a.button.small.danger href=(context.link(&Action::RevokeInvitation.path(row.id.as_str())))
                    aria-label={ "Revoke " (row.id) } { "Revoke" }
            }
        }
    }
}

/// The values of the form.
struct Values {
    name: String,
    email: String,
    role: String,
    expires: String,
    reason: String,
}

impl Values {
    fn read(form: &Form) -> Self {
        let text = |name: &str| form.get(name).trim().to_owned();
        let (name, email, role) = (text("name"), text("email"), text("role"));
        Self { name, email, role, expires: text("expires"), reason: form.get(REASON).to_owned() }
    }
}

/// `GET /admin/invitations/new`.
pub async fn new(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let (role, expires) = (Role::Member.to_string(), "7".to_owned());
    let values = Values { name: String::new(), email: String::new(), role, expires, reason: String::new() };
    Ok(form_page(&context, &session, &values, None))
}

fn form_page(context: &PageContext, session: &BrowserSession, values: &Values, error: Option<&FieldError>) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "off",
        value: &display::visible_name(&values.name),
        hint: "Leave empty to let the person choose.",
        longest: 64,
        optional: true,
        autofocus: error.is_none() || is_wrong("name"),
    };
    let email = Field {
        name: "email",
        label: "E-mail",
        kind: "email",
        value: &display::visible_text(&values.email),
        hint: "Nothing is sent. The person can change it.",
        longest: LONGEST_EMAIL,
        autofocus: is_wrong("email"),
        ..name
    };
    let content = html! {
        section.card.form {
            div {
                h1 { "Invite a person" }
                p.hint { "You get a link that makes one account. It is shown once." }
            }
            form #create-invitation method="post" action=(context.link(INVITATIONS)) {
                (form_head(context, session, NEW_INVITATION, error))
                (name.render(is_wrong("name")))
                (email.render(is_wrong("email")))
                (select("role", "Role", &role_options(context), &values.role, is_wrong("role")))
                (durations("The link works for", "expires", &LIFETIMES, &values.expires))
                (confirmation(context, session, &values.reason, false, error))
                div.actions {
                    button.primary type="submit" { "Create the link" }
                    a.button.quiet href=(context.link(INVITATIONS)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Invite a person" } else { "Invite a person" };
    page(context, session, status, title, INVITATIONS, content)
}

/// `POST /admin/invitations`: makes the invitation, and shows its link in the response, this once.
pub async fn submit(context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let session = context.require_administrator()?;
    context.verify_session_form(&session, &form)?;
    let values = Values::read(&form);
    let wrong = |field, message: &str| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
    let name = Some(values.name.clone()).filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|name| !User::is_name(name)) {
        let message = "Use 1 to 64 lower-case letters (a to z), digits, dots, dashes and underscores.";
        return Ok(form_page(&context, &session, &values, Some(&wrong("name", message))));
    }
    let days = LIFETIMES.iter().find(|(value, _)| *value == values.expires).and_then(|(value, _)| value.parse().ok());
    let (Some(days), Some(role)) = (days, Role::from_name(&values.role)) else {
        return Ok(form_page(
            &context,
            &session,
            &values,
            Some(&wrong("", "Choose a role and how long the link works.")),
        ));
    };
    let days: u64 = days;
    let reason = match confirmed(&context, &session, &mut form).await? {
        Ok(reason) => reason,
        Err(error) => return Ok(form_page(&context, &session, &values, Some(&error))),
    };
    let (email, expires_in) = (values.email.clone(), days * 86_400);
    let request = AdminRequest::Invite { name, email, role, expires_in, reason: Some(reason.clone()) };
    match context.administrate(&session, request, Some(reason)).await {
        Ok(AdminReply::Invited { invitation, link: Some(link), .. }) => {
            Ok(link_page(&context, &session, &invitation, &link))
        }
        Ok(_) => Err(context.internal_error("an invitation without a link")),
        Err(error) => {
            let session = context.require_administrator()?;
            Ok(form_page(&context, &session, &values, Some(&refused(&error))))
        }
    }
}

/// The page with the link: the only place where it is ever shown.
fn link_page(context: &PageContext, session: &BrowserSession, invitation: &InvitationRow, link: &str) -> Response {
    let content = html! {
        section.card.form {
            div.done {
                p.badge.good aria-hidden="true" { "✓" }
                div {
                    h1 { "The invitation" }
                    p.hint { "Copy the link now. It is not shown again." }
                }
            }
            div.secret {
                p.label #link-label { "Link" }
                p { code #link aria-labelledby="link-label" translate="no" spellcheck="false" { (link) } }
                div.copying {
                    button.primary #copy type="button" hidden data-copies="link" { "Copy" }
                    span #copied .hint role="status" {}
                }
            }
            div.warning { p { "Whoever opens it first has the account. Send it as you would send a password." } }
            dl.facts {
                @if let Some(name) = &invitation.name { dt { "Name" } dd { bdi dir="ltr" { (name) } } }
                dt { "Role" } dd { (invitation.role) }
                dt { "Expires" } dd { time { (display::date(invitation.expires_at)) } }
                dt { "Id" } dd.print { (invitation.id) }
            }
            div.actions {
                a.button.quiet #done href=(context.link(INVITATIONS)) { "I have copied it" }
                a.button.quiet href=(context.link(PEOPLE)) { "People" }
            }
        }
        (copy_script_tag(context))
    };
    let mut response = page(context, session, StatusCode::CREATED, "The invitation", INVITATIONS, content);
    response.extensions_mut().insert(AllowsScript);
    response
}
