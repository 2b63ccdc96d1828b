//! The pages of administrators, below `/admin`: how the gateway is, people with their devices and keys, roles, the policy, invitations, maintenance; and of
//! auditors: the event log.
//!
//! What is changed here is changed as by the commands of the gateway's machine (`crate::gateway::admin`): these pages are forms and words. Each
//! change asks for a reason, which is recorded, and for a password that was typed lately.

mod audit;
mod audit_export;
mod audit_filter;
mod change;
mod invitations;
mod maintenance;
mod people;
mod person;
mod plan;
mod policy;
mod roles;
mod status;

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::error_page::ErrorPage;
use super::form::{Field, FieldError, Form, alert, hidden};
use super::page_context::{BrowserSession, PageContext};
use super::reauthentication::{self, ReauthReason};
use super::{display, layout};
use crate::gateway::account;
use crate::gateway::admin::{AdminContext, AdminError, AdminReply, AdminRequest, Administrator, perform};

pub use audit::show as audit;
pub use audit_export::send as export_events;
pub use change::{show as confirm_change, submit as change};
pub use invitations::{list as invitations, new as new_invitation, submit as invite};
pub use maintenance::{show as maintenance, submit as set_maintenance};
pub use people::show as people;
pub use person::show as person;
pub use policy::show as policy;
pub use roles::show as roles;
pub use status::show as status;

/// How the gateway is.
pub const STATUS: &str = "/admin";
/// Everyone with an account.
pub const PEOPLE: &str = "/admin/people";
/// One person.
pub const PERSON: &str = "/admin/person";
/// The confirmation of a change, and the change itself.
pub const CHANGE: &str = "/admin/change";
/// What roles allow.
pub const ROLES: &str = "/admin/roles";
/// All that the configuration defines about callers.
pub const POLICY: &str = "/admin/policy";
/// The invitations.
pub const INVITATIONS: &str = "/admin/invitations";
/// The form for another one.
pub const NEW_INVITATION: &str = "/admin/invitations/new";
/// The maintenance message.
pub const MAINTENANCE: &str = "/admin/maintenance";

/// The event log.
pub const AUDIT: &str = "/admin/audit";
/// What was used.
pub const USAGE: &str = "/admin/usage";
/// The same as a download.
pub const AUDIT_EXPORT: &str = "/admin/audit/export";

/// The field with the reason.
const REASON: &str = "reason";

impl PageContext {
    /// The session of an administrator. For anybody else these pages do not exist.
    ///
    /// # Errors
    /// Without one.
    fn require_administrator(&self) -> Result<BrowserSession, ErrorPage> {
        let session = self.session().ok_or_else(|| ErrorPage::from(self.redirect("/login")))?;
        if session.caller.administrates() { Ok(session) } else { Err(self.page_not_found()) }
    }

    /// Performs a request of an administrator, as the commands do. The event has the reason.
    async fn administrate(
        &self,
        session: &BrowserSession,
        request: AdminRequest,
        reason: Option<String>,
    ) -> Result<AdminReply, AdminError> {
        let person = Administrator { caller: session.caller.clone(), origin: self.origin, reason };
        perform(&AdminContext::by(&self.pages.administration, person, self.now), request).await
    }
}

/// One of these pages, with the way to the others.
pub fn page(
    context: &PageContext,
    session: &BrowserSession,
    status: StatusCode,
    title: &str,
    current: &str,
    content: Markup,
) -> Response {
    let tabs = [
        (STATUS, "Status"),
        (PEOPLE, "People"),
        (ROLES, "Roles"),
        (POLICY, "Policy"),
        (INVITATIONS, "Invitations"),
        (MAINTENANCE, "Maintenance"),
        (USAGE, "Usage"),
        (AUDIT, "Event log"),
    ];
    let content = html! {
        // For an auditor there are these alone.
        @let tabs = if session.caller.administrates() { &tabs[..] } else { &tabs[tabs.len() - 2..] };
        nav.tabs aria-label="Administration" {
                @for (path, label) in tabs {
                    a href=(context.link(path)) aria-current=[(*path == current).then_some("page")] { (label) }
                }
        }
        (content)
    };
    layout::page(context, status, title, Some(session), content)
}

/// A path with these parameters.
fn path(path: &str, parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{path}?{query}")
}

/// The path of a person's page.
fn person_path(name: &str) -> String {
    path(PERSON, &[("name", name)])
}

/// The reason and, where it was not typed lately, the password. The cursor begins there if it `is_first` in the form.
fn confirmation(
    context: &PageContext,
    session: &BrowserSession,
    reason: &str,
    is_first: bool,
    error: Option<&FieldError>,
) -> Markup {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let field = Field {
        name: REASON,
        label: "Reason",
        kind: "text",
        autocomplete: "off",
        value: &display::visible_text(reason),
        hint: "For the event log.",
        longest: account::LONGEST_NAME,
        optional: false,
        autofocus: (is_first && error.is_none()) || is_wrong(REASON),
    };
    html! {
        (field.render(is_wrong(REASON)))
        (reauthentication::field(context, session, ReauthReason::Administration, is_wrong("password")))
    }
}

/// Reads what [`confirmation`] asks for: the reason.
///
/// # Errors
/// The inner error is shown with the form; the outer one is a page, for a failure of the gateway.
async fn confirmed(
    context: &PageContext,
    session: &BrowserSession,
    form: &mut Form,
) -> Result<Result<String, FieldError>, ErrorPage> {
    let reason = match account::name("the reason", form.get(REASON)) {
        Ok(reason) => reason,
        Err(rejection) => {
            let message = display::sentence(rejection.message());
            return Ok(Err(FieldError::new(REASON, StatusCode::UNPROCESSABLE_ENTITY, message)));
        }
    };
    let confirmed = reauthentication::confirm(context, session, form, ReauthReason::Administration).await?;
    Ok(confirmed.map(|()| reason))
}

/// What a form shows of a request that was not performed.
fn refused(error: &AdminError) -> FieldError {
    let status = match error {
        AdminError::NoUser(_) | AdminError::NoDevice(_) | AdminError::NoKey(_) | AdminError::NoInvitation(_) => {
            StatusCode::NOT_FOUND
        }
        AdminError::NotAdministrator => StatusCode::FORBIDDEN,
        AdminError::Failed { .. } | AdminError::Unavailable { .. } => {
            tracing::error!(%error, "page request failed");
            StatusCode::SERVICE_UNAVAILABLE
        }
        AdminError::LastAdmin(_)
        | AdminError::NameTaken(_)
        | AdminError::NoRole(_)
        | AdminError::Ended(_)
        | AdminError::UsedInvitation(_)
        | AdminError::TooManyInvitations => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    FieldError::new("", status, display::sentence(&display::visible_text(&error.to_string())))
}

/// A select field.
fn select(name: &str, label: &str, options: &[(String, String)], chosen: &str, is_wrong: bool) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) aria-invalid=[is_wrong.then_some("true")]
                aria-describedby=[is_wrong.then_some("form-error")] {
                @for (value, label) in options { option value=(value) selected[value == chosen] { (label) } }
            }
        }
    }
}

/// The roles that are defined, for a [`select`].
fn role_options(context: &PageContext) -> Vec<(String, String)> {
    let roles = context.pages.directory.roles();
    roles.all().map(|(role, _)| (role.to_string(), role.to_string())).collect()
}

/// A time to choose, as radio buttons: values and labels.
fn durations(legend: &str, name: &str, choices: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        fieldset {
            legend { (legend) }
            div.lifetimes {
                @for (value, label) in choices {
                    @let id = format!("{name}-{value}");
                    label.choice for=(id) {
                        input type="radio" id=(id) name=(name) value=(value) checked[*value == chosen] required;
                        span { (label) }
                    }
                }
            }
        }
    }
}

/// The beginning of a form of a session whose page is at `path`, with the error above the fields.
fn form_head(context: &PageContext, session: &BrowserSession, path: &str, error: Option<&FieldError>) -> Markup {
    html! {
        (alert(error.map(|error| error.message.as_str())))
        (hidden("csrf", &context.csrf_token(session)))
        (reauthentication::sign_in_again(context, session, ReauthReason::Administration, path))
    }
}
