//! Asking who the person is again, by the password or by a sign-in at the provider, before something that outlives the session: a new key, an approved device, a new password.

use http::StatusCode;
use maud::{Markup, html};

use super::error_page::ErrorPage;
use super::form::{Field, FieldError, Form};
use super::page_context::{BrowserSession, PageContext};
use super::password_check::PasswordCheckError;
use super::providers::{self, AGAIN};
use super::sign_in::record_failed_sign_in;
use super::state::Pages;
use crate::gateway::authn::digest_of_cookie;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::Shared;

/// The name of the field.
const PASSWORD: &str = "password";

/// What outlives the session, and so needs the password.
#[derive(Clone, Copy)]
pub enum ReauthReason {
    /// A new key.
    Key,
    /// An approved device.
    Device,
    /// A change of an administrator.
    Administration,
}

impl ReauthReason {
    fn hint(self) -> String {
        format!("You signed in more than 15 minutes ago. Enter your password again, because {}.", self.because())
    }

    fn because(self) -> &'static str {
        match self {
            Self::Key => "a key stays valid after you sign out",
            Self::Device => "a device stays signed in after you sign out",
            Self::Administration => "this changes what others can do",
        }
    }

    /// The detail of the event for a wrong password.
    fn event_detail(self) -> &'static str {
        match self {
            Self::Key => "wrong password for a new key",
            Self::Device => "wrong password for a device",
            Self::Administration => "wrong password for a change of an administrator",
        }
    }
}

/// Above the fields of a form, for a person who signs in at a provider and did so too long ago: a button that leads there, and back to the
/// page at `path`. Nothing for others.
pub fn sign_in_again(context: &PageContext, session: &BrowserSession, reason: ReauthReason, path: &str) -> Markup {
    let provider = providers::provider_of(context, session.user()).filter(|_| !session.fresh);
    html! {
        @if let Some(provider) = provider {
            div.warning {
                p { "You signed in more than 15 minutes ago. Sign in at " (provider.title) " again, because " (reason.because()) "." }
                // A form of its own would be one within another.
                div.actions {
                    button.provider #again type="submit" name=(AGAIN) value=(path) formnovalidate
                        formaction=(context.link(&providers::path(&provider, "start"))) { "Sign in with " (provider.title) " again" }
                }
            }
        }
    }
}

/// The password field, where the person signed in too long ago and has a password. With `is_wrong` it is marked as the reason why the form is
/// shown again.
pub fn field(context: &PageContext, session: &BrowserSession, reason: ReauthReason, is_wrong: bool) -> Markup {
    if session.fresh || context.pages.directory.identity_of(session.user().id).is_some() {
        return html! {};
    }
    let hint = reason.hint();
    let field = Field {
        name: PASSWORD,
        label: "Your password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        hint: &hint,
        longest: 1024,
        optional: false,
        autofocus: is_wrong,
    };
    field.render(is_wrong)
}

/// Succeeds if the person signed in within the last 15 minutes, or typed the right password into this form. Throttled as a sign-in.
///
/// # Errors
/// The inner error is shown with the form; the outer one is a page, for a failure of the gateway.
pub async fn confirm(
    context: &PageContext,
    session: &BrowserSession,
    form: &mut Form,
    reason: ReauthReason,
) -> Result<Result<(), FieldError>, ErrorPage> {
    if session.fresh {
        return Ok(Ok(()));
    }
    if context.pages.directory.identity_of(session.user().id).is_some() {
        let message = match providers::provider_of(context, session.user()) {
            Some(provider) => format!("Sign in with {} again: you signed in more than 15 minutes ago.", provider.title),
            None => "You signed in more than 15 minutes ago, and the provider at which you did is not set up any more."
                .to_owned(),
        };
        return Ok(Err(FieldError::new("", StatusCode::FORBIDDEN, message)));
    }
    if form.get(PASSWORD).is_empty() {
        let message = "Enter your password: you signed in more than 15 minutes ago.";
        return Ok(Err(FieldError::new(PASSWORD, StatusCode::FORBIDDEN, message)));
    }
    verify_password(context, session, form, PASSWORD, reason.event_detail()).await
}

/// Succeeds if the field of that name holds the person's password. Throttled as a sign-in, for this session alone: the attempts of
/// others must not keep a person who is signed in from their keys.
///
/// # Errors
/// As [`confirm`]. `event_detail` is the detail of the event for a wrong password.
pub async fn verify_password(
    context: &PageContext,
    session: &BrowserSession,
    form: &mut Form,
    field: &'static str,
    event_detail: &str,
) -> Result<Result<(), FieldError>, ErrorPage> {
    let wrong = |status, message: &str| Ok(Err(FieldError::new(field, status, message)));
    let (pages, name): (&Pages, &str) = (&context.pages, &session.user().name);
    if let Err(wait) = context.count_attempt(name, Some(&session.cookie)).await {
        record_failed_sign_in(context, name, RefusalCode::TooManyAttempts, "too many attempts");
        let message = format!("Too many attempts. Wait {} seconds, then try again.", wait.as_secs() + 1);
        return wrong(StatusCode::TOO_MANY_REQUESTS, &message);
    }
    match pages.passwords.verify(&pages.directory, name, form.secret(field)).await {
        Ok(Some(user)) if user.id == session.user().id => {
            pages.sessions.confirm(&digest_of_cookie(&session.cookie), context.now);
            context.share_session(Shared::ConfirmedSession(digest_of_cookie(&session.cookie))).await;
            Ok(Ok(()))
        }
        Ok(_) => {
            record_failed_sign_in(context, name, RefusalCode::WrongPassword, event_detail);
            wrong(StatusCode::FORBIDDEN, "Wrong password.")
        }
        Err(PasswordCheckError::Busy) => {
            wrong(StatusCode::SERVICE_UNAVAILABLE, "Too many people are signing in. Try again in a moment.")
        }
        Err(error) => Err(context.internal_error(&error.to_string())),
    }
}
