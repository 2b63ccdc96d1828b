//! `/invite`: a person who has the one-time link of an invitation makes an account and is signed in.
//!
//! Opening the link changes nothing, so a program that looks at it for a preview does not use it up.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use http::header::RETRY_AFTER;
use maud::html;
use uuid::Uuid;

use super::error_page::{ErrorPage, PageResult};
use super::form::{Field, FieldError, Form, alert, hidden};
use super::page_context::PageContext;
use super::setup::{LONGEST_EMAIL, is_email};
use super::state::Pages;
use super::{display, layout, new_password, sign_in};
use crate::gateway::directory::DirectoryError;
use crate::gateway::store::{Actor, Change, Event, Invitation, InvitationProblem, InvitationToken, StoreError, User};
use crate::keyspec::RequestLimits;

/// Where a person is led whose account was made.
const WELCOME: &str = "/account?welcome=true";

/// `GET /invite?token=…`.
pub async fn show(context: PageContext) -> PageResult {
    if !context.pages.config.get().local_accounts {
        return Err(sign_in::local_accounts_are_off(&context));
    }
    let token = context.parameter("token");
    let invitation = find(&context, &token)?;
    page(&context, &token, &invitation, "", &invitation.email, None)
}

fn find(context: &PageContext, token: &str) -> Result<Arc<Invitation>, ErrorPage> {
    let found = context.pages.directory.open_invitation(&InvitationToken::hash_of(token), context.now);
    found.map_err(|problem| problem_page(context, &problem))
}

/// Who has the token may know what has become of it.
fn problem_page(context: &PageContext, problem: &InvitationProblem) -> ErrorPage {
    let (status, title, text) = match problem {
        InvitationProblem::Unknown => (
            StatusCode::FORBIDDEN,
            "This link is not valid",
            "Its token is wrong or incomplete, or the invitation was deleted. Open the link in full.",
        ),
        InvitationProblem::Used => (
            StatusCode::GONE,
            "This invitation was used",
            "A link makes one account. If that was not you, tell the administrator of this gateway.",
        ),
        InvitationProblem::Revoked => {
            (StatusCode::GONE, "This invitation was revoked", "Ask the administrator of this gateway for another one.")
        }
        InvitationProblem::Expired => {
            (StatusCode::GONE, "This invitation has expired", "Ask the administrator of this gateway for another one.")
        }
        InvitationProblem::NoRole(_) => (
            StatusCode::CONFLICT,
            "This invitation cannot be used now",
            "The role that it gives is not defined any more. Ask the administrator of this gateway for another invitation.",
        ),
        InvitationProblem::NoMaker => (
            StatusCode::GONE,
            "This invitation is no longer valid",
            "The person who made it no longer administrates this gateway. Ask an administrator for another one.",
        ),
    };
    let text = html! {
        p { (text) }
        @if *problem == InvitationProblem::Used { p { "Otherwise " a href=(context.link("/login")) { "sign in" } "." } }
    };
    context.error_page(status, title, text)
}

fn page(
    context: &PageContext,
    token: &str,
    invitation: &Invitation,
    name: &str,
    email: &str,
    error: Option<&FieldError>,
) -> PageResult {
    let visitor = context.visitor()?;
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let name_field = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: name,
        hint: "Lower-case letters, digits, dots, dashes and underscores, such as ada.",
        longest: 64,
        optional: false,
        autofocus: error.is_none() || is_wrong("name"),
    };
    let email_field = Field {
        name: "email",
        label: "E-mail",
        kind: "email",
        autocomplete: "email",
        value: email,
        hint: "",
        longest: LONGEST_EMAIL,
        optional: true,
        autofocus: is_wrong("email"),
    };
    let content = html! {
        section.card.narrow {
            h1 { "Create your account" }
            p.lead { "You are invited to use the models of this gateway, with the role " strong { (invitation.role) } "." }
            @if let Some(session) = context.session() {
                p.warning { "You are signed in as " (session.user().name) ". This makes another account, and signs you in with that." }
            }
            (alert(error.map(|error| error.message.as_str())))
            form #accept method="post" action=(context.link("/invite")) {
                (hidden("csrf", &visitor.csrf_token))
                (hidden("token", token))
                @match &invitation.name {
                    Some(name) => {
                        dl.facts { dt { "Name" } dd { bdi dir="ltr" { (name) } } }
                        // For password managers, which otherwise do not know whose password it is.
                        input type="text" name="username" autocomplete="username" value=(name) hidden aria-label="Account" readonly;
                    }
                    None => { (name_field.render(is_wrong("name"))) }
                }
                (email_field.render(is_wrong("email")))
                (new_password::fields("Password", is_wrong(new_password::PASSWORD)))
                div.actions { button.primary type="submit" { "Create the account" } }
            }
            p.hint { "The link works once, until " time { (display::date(invitation.expires_at)) } "." }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Create your account" } else { "Create your account" };
    let shown = layout::page(context, status, title, None, content);
    Ok(visitor.set_cookie(shown))
}

/// `POST /invite`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    context.verify_visitor_form(&form)?;
    if !pages.config.get().local_accounts {
        return Err(sign_in::local_accounts_are_off(&context));
    }
    let invitation = find(&context, form.get("token"))?;
    let password = new_password::read(&mut form);
    let show_again = |form: &Form, error: &FieldError| {
        let (name, email) = (display::visible_name(form.get("name")), display::visible_text(form.get("email")));
        page(&context, form.get("token"), &invitation, &name, &email, Some(error))
    };
    let wrong = |field, message: &str| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
    let name = invitation.name.as_deref().unwrap_or_else(|| form.get("name").trim()).to_owned();
    if !User::is_name(&name) {
        let message = "Use 1 to 64 lower-case letters (a to z), digits, dots, dashes and underscores.";
        return show_again(&form, &wrong("name", message));
    }
    let email = form.get("email").trim().to_owned();
    if !is_email(&email) {
        let message = "This is not an e-mail address. Correct it, or leave the field empty.";
        return show_again(&form, &wrong("email", message));
    }
    let password = match password {
        Ok(password) => password,
        Err(error) => return show_again(&form, &error),
    };
    // Each attempt takes a hash and tells whether a name is taken. Only who has the token uses up its limit.
    if let Err(wait) = context.count_attempt(invitation.id.as_str(), None).await {
        let seconds = wait.as_secs() + 1;
        let message = format!("Too many attempts. Wait {seconds} seconds, then try again.");
        let mut response = show_again(&form, &FieldError::new("", StatusCode::TOO_MANY_REQUESTS, message))?;
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let checkpoint = pages.sessions.checkpoint();
    let hash = match new_password::hash(&context, password).await? {
        Ok(hash) => hash,
        Err(error) => return show_again(&form, &error),
    };
    let user = User {
        id: Uuid::new_v4(),
        name,
        email,
        role: invitation.role.clone(),
        disabled: false,
        created_at: context.now,
        suspended: None,
        addresses: Default::default(),
        groups: Vec::new(),
        limits: RequestLimits::default(),
    };
    let event = |action, subject: &str| {
        Event::new(context.now, Actor::user(&user), action, subject).of_account(&user).from(context.origin)
    };
    let created = event("user.created", &user.name)
        .with("role", &user.role)
        .with("by", "an invitation")
        .with("invitation", &invitation.id)
        .and(event("invitation.used", invitation.id.as_str()).with("role", &user.role));
    let change = Change::UseInvitation(invitation.id.clone(), user.clone(), hash);
    match pages.directory.commit_if(change, created, |_| true).await {
        Ok(_) => sign_in::start_session(&context, &user, checkpoint, WELCOME).await,
        Err(DirectoryError::Invitation(problem)) => Err(problem_page(&context, &problem)),
        Err(DirectoryError::Store(StoreError::Taken(_))) if invitation.name.is_some() => {
            Err(name_taken(&context, &user))
        }
        Err(DirectoryError::Store(StoreError::Taken(_))) => {
            show_again(&form, &wrong("name", "This name is taken. Choose another one."))
        }
        Err(error) => Err(context.change_failed(&error)),
    }
}

/// An account of the invitation's name was made in another way meanwhile.
fn name_taken(context: &PageContext, user: &User) -> ErrorPage {
    let text = html! {
        p { "There is an account " strong { (user.name) } " already. Ask the administrator of this gateway for another invitation." }
    };
    context.error_page(StatusCode::CONFLICT, "This name is taken", text)
}
