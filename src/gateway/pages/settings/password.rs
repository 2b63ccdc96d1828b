//! Changing one's own password. It asks for the old one, also in a fresh session, and ends the account's other sessions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use crate::gateway::directory::Directory;
use crate::gateway::pages::display::{ACCOUNT, PASSWORD, PASSWORD_CHANGED};
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::form::{Field, FieldError, alert, hidden};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::state::Pages;
use crate::gateway::pages::{display, layout, new_password, providers, reauthentication, sign_in};
use crate::gateway::store::{Actor, Change, Event};

/// The field with the old password.
const CURRENT: &str = "current";

/// `GET /settings/password`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    match elsewhere(&context, &session) {
        Some(page) => Err(page),
        None => Ok(page(&context, &session, None)),
    }
}

fn page(context: &PageContext, session: &BrowserSession, error: Option<&FieldError>) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let current = Field {
        name: CURRENT,
        label: "Current password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        hint: "",
        longest: 1024,
        optional: false,
        autofocus: error.is_none() || is_wrong(CURRENT),
    };
    let content = html! {
        section.card.narrow {
            div {
                h1 { "Change your password" }
                p.hint { "Other browsers are signed out. Your devices and API keys keep working." }
            }
            (alert(error.map(|error| error.message.as_str())))
            form #change-password method="post" action=(context.link(PASSWORD)) {
                (hidden("csrf", &context.csrf_token(session)))
                // For password managers, which otherwise do not know whose password it is.
                input type="text" name="username" autocomplete="username" value=(session.user().name) hidden aria-label="Account" readonly;
                (current.render(is_wrong(CURRENT)))
                (new_password::fields("New password", is_wrong(new_password::PASSWORD)))
                div.actions {
                    button.primary type="submit" { "Change the password" }
                    a.button.quiet href=(context.link(ACCOUNT)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Change your password" } else { "Change your password" };
    layout::page(context, status, title, Some(session), content)
}

/// The page for a person who has no password here.
fn elsewhere(context: &PageContext, session: &BrowserSession) -> Option<ErrorPage> {
    let identity = context.pages.directory.identity_of(session.user().id)?;
    let provider = providers::provider_of(context, session.user());
    let name = provider.map_or(identity.issuer.clone(), |provider| provider.title.clone());
    let text = html! {
        p { "You sign in with " (display::visible_text(&name)) ". If you have a password there, change it there." }
        p { a href=(context.link(ACCOUNT)) { "Your account" } }
    };
    Some(context.error_page(StatusCode::NOT_FOUND, "You have no password here", text))
}

/// `POST /settings/password`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let session = context.require_session()?;
    context.verify_session_form(&session, &form)?;
    if let Some(page) = elsewhere(&context, &session) {
        return Err(page);
    }
    // Before the old password is checked, so that a slip does not count as an attempt.
    let password = match new_password::read(&mut form) {
        Ok(password) => password,
        Err(error) => return Ok(page(&context, &session, Some(&error))),
    };
    let detail = "wrong password for a new password";
    if let Err(error) = reauthentication::verify_password(&context, &session, &mut form, CURRENT, detail).await? {
        return Ok(page(&context, &session, Some(&error)));
    }
    let hash = match new_password::hash(&context, password).await? {
        Ok(hash) => hash,
        Err(error) => return Ok(page(&context, &session, Some(&error))),
    };
    let user = session.user().clone();
    let event = Event::new(context.now, Actor::user(&user), "user.password", &user.name)
        .of_account(&user)
        .charged_to(user.id)
        .from(context.origin)
        .with("by", "the person");
    let (by, clock) = (session.caller, pages.clock.clone());
    // Not if an administrator has set another password since, which ends the session.
    let is_still_signed_in = move |directory: &Directory| by.holds(directory, clock.now());
    match pages.directory.commit_if(Change::SetPassword(user.id, hash), event, is_still_signed_in).await {
        Ok(true) => {
            pages.sessions.end_all_of(user.id);
            let checkpoint = pages.sessions.checkpoint();
            sign_in::start_session(&context, &user, checkpoint, PASSWORD_CHANGED).await
        }
        Ok(false) => Ok(context.redirect("/login")),
        Err(error) => Err(context.internal_error(&error.to_string())),
    }
}
