//! Signing in and out with a name and a password, and what of it is recorded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use maud::html;

use super::cookies::CsrfPurpose;
use super::display::AfterSignIn;
use super::error_page::{ErrorPage, PageResult};
use super::form::{Field, alert, hidden};
use super::page_context::{PageContext, header_value};
use super::password_check::PasswordCheckError;
use super::state::Pages;
use super::{cookies, display, known_browser, layout, providers};
use crate::gateway::authn::{Checkpoint, NewSession, NotAccepting};
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, Change, Event, Shared, User};

/// The longest name of an account, in bytes.
const LONGEST_NAME: usize = 64;
/// Where a sign-out leads.
const SIGNED_OUT: &str = "/login?signed-out=true";

/// `GET /login`.
pub async fn show(context: PageContext) -> PageResult {
    let next = AfterSignIn::named(&context.parameter("to"));
    match context.session() {
        Some(_) => Ok(context.redirect(&next.path())),
        None => page(&context, StatusCode::OK, &next, "", None),
    }
}

/// The form. Its hidden fields name the destination.
///
/// # Errors
/// When the system gives no random bytes.
pub fn page(
    context: &PageContext,
    status: StatusCode,
    next: &AfterSignIn,
    name: &str,
    error: Option<&str>,
) -> PageResult {
    let visitor = context.visitor()?;
    let name_is_empty = name.is_empty();
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: name,
        hint: "",
        longest: LONGEST_NAME,
        optional: false,
        autofocus: name_is_empty,
    };
    let password = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        longest: 1024,
        autofocus: !name_is_empty,
        ..name
    };
    let is_wrong = error.is_some();
    let content = html! {
        section.card.narrow {
            h1 { "Sign in" }
            @match next {
                AfterSignIn::Device(link) => { p.lead { "to approve the device " (link.name()) "." } }
                AfterSignIn::DeviceCode => { p.lead { "to approve a device by its code." } }
                AfterSignIn::NewKey => { p.lead { "to create an API key." } }
                AfterSignIn::Account | AfterSignIn::Keys => { p.lead { "to see your API keys and devices." } }
            }
            @if context.pages.directory.is_empty() {
                p.alert role="alert" {
                    "This gateway has no account yet. Open the one-time link that it printed when it started, "
                    "or run this on the gateway's machine: " code { "ollama-auth gateway user add NAME --role admin" }
                }
            }
            (alert(error))
            (providers::buttons(context, &visitor.csrf_token, next))
            @let config = context.pages.config.get();
            @if config.local_accounts && !config.oidc.is_empty() { p.divider { span { "or with a password of this gateway" } } }
            @if config.local_accounts { form #sign-in method="post" action=(context.link("/login")) {
                (hidden("csrf", &visitor.csrf_token))
                (next.fields())
                (name.render(is_wrong))
                (password.render(is_wrong))
                div.actions { button.primary type="submit" { "Sign in" } }
            } }
        }
    };
    let shown = layout::page(context, status, "Sign in", None, content);
    Ok(visitor.set_cookie(shown))
}

/// The page for what would make an account with a password.
pub fn local_accounts_are_off(context: &PageContext) -> ErrorPage {
    let text = html! {
        p { "This gateway has no accounts with passwords. Your account is made when you sign in for the first time." }
        p { a href=(context.link("/login")) { "Sign in" } }
    };
    context.error_page(StatusCode::FORBIDDEN, "Sign in instead", text)
}

/// `POST /login`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    context.verify_visitor_form(&form)?;
    let next = AfterSignIn::from_form(&form);
    let (name, password) = (form.get("name").trim().to_ascii_lowercase(), form.secret("password"));
    let name: String = name.chars().take(LONGEST_NAME + 1).collect();
    let show_again = |status, error: &str| page(&context, status, &next, &display::visible_name(&name), Some(error));

    if !pages.config.get().local_accounts {
        record_failed_sign_in(&context, &name, RefusalCode::LocalAccounts, "local-accounts is false");
        return show_again(StatusCode::FORBIDDEN, "Passwords are not accepted here. Use one of the buttons.");
    }
    let browser = known_browser::find(&context, &name).await;
    if let Err(wait) = context.count_attempt(&name, browser.as_deref()).await {
        record_failed_sign_in(&context, &name, RefusalCode::TooManyAttempts, "too many attempts");
        let seconds = wait.as_secs() + 1;
        let error = format!("Too many attempts. Wait {seconds} seconds, then try again.");
        let mut response = show_again(StatusCode::TOO_MANY_REQUESTS, &error)?;
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let checkpoint = pages.sessions.checkpoint();
    let user = match pages.passwords.verify(&pages.directory, &name, password).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            record_failed_sign_in(&context, &name, RefusalCode::WrongPassword, "wrong name or password");
            return show_again(StatusCode::UNAUTHORIZED, "Wrong name or password.");
        }
        Err(PasswordCheckError::Busy) => {
            let mut response =
                show_again(StatusCode::SERVICE_UNAVAILABLE, "Too many people are signing in. Try again in a moment.")?;
            response.headers_mut().insert(RETRY_AFTER, 5.into());
            return Ok(response);
        }
        Err(error) => return Err(context.internal_error(&error.to_string())),
    };
    if user.disabled {
        record_failed_sign_in(&context, &name, RefusalCode::DisabledAccount, "the account is disabled");
        return show_again(
            StatusCode::FORBIDDEN,
            "This account is disabled. Contact the administrator of this gateway.",
        );
    }
    if let Some(suspension) = &user.suspended {
        record_failed_sign_in(&context, &name, RefusalCode::Suspended, "the account is suspended");
        let reason = suspension.reason.as_deref().map(|reason| format!(" ({})", display::visible_text(reason)));
        let error = format!(
            "This account is suspended{}. The administrator of this gateway can lift that.",
            reason.unwrap_or_default()
        );
        return show_again(StatusCode::FORBIDDEN, &error);
    }
    let role = pages.directory.role(&user.role);
    if let Some(refusing) = NotAccepting::of(&user, &role, None, context.address) {
        let reason = refusing.reason(context.address);
        record_failed_sign_in(&context, &name, RefusalCode::Address, &reason);
        let error = format!("{} The administrator of this gateway can change that.", display::sentence(&reason));
        return show_again(StatusCode::FORBIDDEN, &error);
    }
    pages.shared_throttle.trust(&pages.throttle, &pages.directory, &name, context.address).await;
    let event = Event::new(context.now, Actor::user(&user), "user.signed_in", &user.name).of_account(&user);
    let event = event.from(context.origin).charged_to(user.id);
    match pages.directory.commit(Change::Note, event.clone()).await {
        Ok(()) => {}
        // The account signs in too often for an event each time: count it instead.
        Err(DirectoryError::TooMany(_)) => pages.refusals.note(event),
        // A failure does not stop the sign-in.
        Err(error) => tracing::warn!(%error, "sign-in could not be recorded"),
    }
    start_session(&context, &user, checkpoint, &next.path()).await
}

/// Starts a session of a person who typed a password, and redirects to `path`; see [`begin_session`].
///
/// # Errors
/// As [`begin_session`].
pub async fn start_session(context: &PageContext, user: &User, checked: Checkpoint, path: &str) -> PageResult {
    let cookies = begin_session(context, &NewSession::by_password(user.id, context.now), checked).await?;
    let mut response = context.redirect(path);
    response.headers_mut().extend(cookies);
    Ok(response)
}

/// Starts a session, which replaces the one that this browser had, and marks the browser as known. Returns the cookies. `checked` is from
/// before the person was checked.
///
/// # Errors
/// When the system gives no random bytes, or sessions were ended since `checked`: the password may have changed.
pub async fn begin_session(
    context: &PageContext,
    new: &NewSession,
    checked: Checkpoint,
) -> Result<HeaderMap, ErrorPage> {
    if let Some(old) = cookies::read(&context.headers, &cookies::name(&context.public, CsrfPurpose::Session)) {
        context.end_session(&old).await;
    }
    let pages = &context.pages;
    let cookie = pages.sessions.new_cookie().map_err(|_| context.internal_error("no random bytes"))?;
    let (sessions, begins) = (pages.sessions.clone(), *new);
    let is_still_valid = move |_: &Directory| sessions.may_begin(&begins, checked);
    let told = Shared::Session(new.shared(&cookie, context.now));
    let shared = pages.directory.share(told, is_still_valid).await;
    let is_shared = shared.map_err(|error| context.internal_error(&error.to_string()))?;
    if !is_shared || !pages.sessions.start(&cookie, new, context.now, checked) {
        let text = html! {
            p { "An account was changed while you signed in." }
            p { a href=(context.link("/login")) { "Sign in" } }
        };
        return Err(context.error_page(StatusCode::SERVICE_UNAVAILABLE, "Sign in again", text));
    };
    let known_browser = known_browser::set(context, new.user).await;
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, header_value(&cookies::set(&context.public, CsrfPurpose::Session, &cookie)));
    headers.append(SET_COOKIE, header_value(&cookies::remove(&context.public, CsrfPurpose::Visitor)));
    headers.extend(known_browser.map(|cookie| (SET_COOKIE, cookie)));
    Ok(headers)
}

/// `POST /logout`.
pub async fn sign_out(context: PageContext, body: Body) -> PageResult {
    let form = context.form(body).await?;
    let mut response = None;
    if let Some(session) = context.session_from_anywhere() {
        context.verify_session_form(&session, &form)?;
        context.end_session(&session.cookie).await;
        response = providers::sign_out_page(&context, session.user()).await;
    }
    let mut response = response.unwrap_or_else(|| context.redirect(SIGNED_OUT));
    response.headers_mut().append(SET_COOKIE, header_value(&cookies::remove(&context.public, CsrfPurpose::Session)));
    Ok(response)
}

/// Counts a password that was wrong or not checked. It is reported as a refused credential is, so that guessing cannot fill the disk, and
/// later, so that the time that the disk takes does not reveal whether the name is known. Unknown names are counted together and are not
/// written down: people type passwords there.
pub fn record_failed_sign_in(context: &PageContext, name: &str, code: RefusalCode, reason: &str) {
    let action = match code {
        RefusalCode::TooManyAttempts => "user.sign_in_throttled",
        _ => "user.sign_in_failed",
    };
    let event = match context.pages.directory.user_by_name(name) {
        Some(user) => Event::new(context.now, Actor::Gateway, action, name).of_account(&user),
        None => Event::new(context.now, Actor::Gateway, action, "(an unknown name)"),
    };
    context.pages.refusals.note(event.refused(code).from(context.origin).with("reason", reason));
}
