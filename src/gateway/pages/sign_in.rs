//! Signing in and out with a name and a password.
//!
//! Where to go after the sign-in is rebuilt from the device that the form names, so that nobody can be sent elsewhere.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{RETRY_AFTER, SET_COOKIE};
use maud::{Markup, html};
use std::sync::Arc;

use super::connect::Link;
use super::csrf::CsrfPurpose;
use super::layout::{self, Field, alert, hidden};
use super::notes;
use super::page_context::{Answer, ErrorPage, PageContext, header};
use super::password_check::CheckError;
use super::state::Pages;
use super::{cookies, settings, text};
use crate::gateway::authn::Checkpoint;
use crate::gateway::store::User;

/// Longer ones are nobody's.
const LONGEST_NAME: usize = 64;
/// Where a sign-out leads.
const LEFT: &str = "/login?signed-out=true";
/// The field with the device's name: `name` is the account's.
const DEVICE: &str = "device";

/// Where a sign-in can lead.
pub enum Next {
    /// To the account.
    Account,
    /// To the keys and devices.
    Keys,
    /// To the form for a new key.
    NewKey,
    /// To the approval of that device.
    Device(Box<Link>),
}

impl Next {
    /// From a word in an address or a form. Any other leads to the account: nobody can be sent elsewhere by it.
    fn named(word: &str) -> Self {
        match word {
            "keys" => Self::Keys,
            "new-key" => Self::NewKey,
            _ => Self::Account,
        }
    }

    fn fields(&self) -> Markup {
        match self {
            Self::Account => html! {},
            Self::Keys => hidden("to", "keys"),
            Self::NewKey => hidden("to", "new-key"),
            Self::Device(link) => link.fields(DEVICE),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Account => "/account".to_owned(),
            Self::Keys => settings::KEYS.to_owned(),
            Self::NewKey => settings::NEW.to_owned(),
            Self::Device(link) => link.path(),
        }
    }
}

/// `GET /login`.
pub async fn show(context: PageContext) -> Answer {
    let next = Next::named(&context.parameter("to"));
    match context.signed_in() {
        Some(_) => Ok(context.redirect(&next.path())),
        None => page(&context, StatusCode::OK, &next, "", None),
    }
}

/// The form. It knows where it leads.
///
/// # Errors
/// When the system gives no random bytes.
pub fn page(context: &PageContext, status: StatusCode, next: &Next, name: &str, trouble: Option<&str>) -> Answer {
    let visitor = context.visitor()?;
    let first = name.is_empty();
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: name,
        hint: "",
        longest: LONGEST_NAME,
        optional: false,
        first,
    };
    let password = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        longest: 1024,
        first: !first,
        ..name
    };
    let wrong = trouble.is_some();
    let content = html! {
        section.card.narrow {
            h1 { "Sign in" }
            @match next {
                Next::Device(link) => { p.lead { "to approve the device " (link.name()) "." } }
                Next::NewKey => { p.lead { "to create an API key." } }
                Next::Account | Next::Keys => { p.lead { "to see your API keys and devices." } }
            }
            @if context.pages.directory.is_empty() {
                p.alert role="alert" {
                    "This gateway has no account yet. Open the one-time link that it printed when it started, "
                    "or run " code { "ollama-auth gateway user add NAME --role admin" } " on its machine."
                }
            }
            (alert(trouble))
            form #sign-in method="post" action=(context.link("/login")) {
                (hidden("csrf", &visitor.token))
                (next.fields())
                (name.show(wrong))
                (password.show(wrong))
                div.actions { button.primary type="submit" { "Sign in" } }
            }
        }
    };
    let shown = layout::page(context, status, "Sign in", None, content);
    Ok(visitor.greet(shown))
}

/// `POST /login`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let mut form = context.form(body).await?;
    context.check_visitor(&form)?;
    let next =
        Link::from_form(&form, DEVICE).map_or_else(|| Next::named(form.get("to")), |link| Next::Device(Box::new(link)));
    let (name, password) = (form.get("name").trim().to_ascii_lowercase(), form.secret("password"));
    let name: String = name.chars().take(LONGEST_NAME + 1).collect();
    let again = |status, trouble: &str| {
        let shown = text::visible(&name);
        page(&context, status, &next, &shown, Some(trouble))
    };

    if let Err(wait) = pages.throttle.check(&name, context.address) {
        notes::failed_sign_in(&context, &name, "user.sign_in_throttled", "too many tries");
        let seconds = wait.as_secs() + 1;
        let trouble = format!("There were too many tries. Wait {seconds} seconds, then try again.");
        let mut response = again(StatusCode::TOO_MANY_REQUESTS, &trouble)?;
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let moment = pages.sessions.checkpoint();
    let user = match pages.passwords.check(&pages.directory, &name, password).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            notes::failed_sign_in(&context, &name, "user.sign_in_failed", "wrong name or password");
            return again(StatusCode::UNAUTHORIZED, "The name or the password is wrong.");
        }
        Err(CheckError::Busy) => {
            let mut response =
                again(StatusCode::SERVICE_UNAVAILABLE, "Too many people are signing in. Try again in a moment.")?;
            response.headers_mut().insert(RETRY_AFTER, 5.into());
            return Ok(response);
        }
        Err(error) => return Err(context.broken(&error.to_string())),
    };
    if user.disabled {
        notes::failed_sign_in(&context, &name, "user.sign_in_failed", "the account is disabled");
        return again(StatusCode::FORBIDDEN, "This account is disabled. Ask whoever runs this gateway.");
    }
    pages.throttle.remember(&name, context.address);
    let actor = format!("user:{}", user.name);
    notes::note(&context, actor, "user.signed_in", user.name.clone(), String::new()).await;
    start(&context, &user, moment, &next.path())
}

/// Starts a session, which replaces whatever this browser had, and goes on to `path`.
///
/// # Errors
/// When the system gives no random bytes, or the password was changed meanwhile.
pub fn start(context: &PageContext, user: &User, checked: Checkpoint, path: &str) -> Answer {
    if let Some(old) = cookies::read(&context.headers, &cookies::name(&context.public, CsrfPurpose::Session)) {
        context.pages.sessions.end(&old);
    }
    let started = context.pages.sessions.start(user.id, context.now, checked);
    let Some(cookie) = started.map_err(|_| context.broken("no random bytes"))? else {
        let text = html! { p { a href=(context.link("/login")) { "Sign in again" } "." } };
        return Err(context.error_page(StatusCode::SERVICE_UNAVAILABLE, "Accounts have just been changed", text));
    };
    let mut response = context.redirect(path);
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, header(&cookies::set(&context.public, CsrfPurpose::Session, &cookie)));
    headers.append(SET_COOKIE, header(&cookies::remove(&context.public, CsrfPurpose::Visitor)));
    Ok(response)
}

/// `POST /logout`.
pub async fn sign_out(context: PageContext, body: Body) -> Result<Response, ErrorPage> {
    let form = context.form(body).await?;
    if let Some(session) = context.signed_in() {
        context.check_session(&session, &form)?;
        context.pages.sessions.end(&session.cookie);
    }
    let mut response = context.redirect(LEFT);
    response.headers_mut().append(SET_COOKIE, header(&cookies::remove(&context.public, CsrfPurpose::Session)));
    Ok(response)
}

/// Whether it is the page after a sign-out.
pub fn has_just_left(context: &PageContext) -> bool {
    context.path == "/login" && context.parameter("signed-out") == "true"
}
