//! `GET /oidc/NAME/callback`: the browser comes back from the provider.
//!
//! What the address says is believed only with the cookie of a sign-in that this browser began, once, and within ten minutes. The page goes
//! on by itself to where that sign-in leads: see the module above.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::html;
use subtle::ConstantTimeEq as _;

use super::{HidesReferrer, cookie, failed, find, leading_page, note_refusal, path, refused};
use crate::gateway::authn::{NewSession, NotAccepting};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::pages::sign_in;
use crate::gateway::providers::{
    LEEWAY, MAX_AGE, NotAdmitted, NotAllowed, NotSealed, Once, Person, ProviderError, ProviderSettings, Purpose,
    Transaction, digest_of_session,
};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{IdentityId, Shared, User};

/// `GET /oidc/NAME/callback?code=…&state=…`.
pub async fn show(context: PageContext, Path(name): Path<String>) -> Response {
    let state = context.parameter("state");
    let mut response = match finish(&context, &name, &state).await {
        Ok(page) => page,
        Err(page) => page.into_response(),
    };
    response.extensions_mut().insert(HidesReferrer);
    // Who has to wait can finish it afterwards.
    if !state.is_empty() && response.status() != StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().append(SET_COOKIE, cookie::remove(&context, &state));
    }
    response
}

async fn finish(context: &PageContext, name: &str, state: &str) -> PageResult {
    let provider = find(context, name)?;
    let transaction = begun_here(context, &provider, state)?;
    check_issuer(context, &provider).await?;
    let code = context.parameter("code");
    let error = context.parameter("error");
    if code.is_empty() || !error.is_empty() {
        return Err(not_signed_in(context, &provider, &error));
    }
    // Before it is remembered: one address must not fill what is remembered for all.
    if let Err(wait) = context.pages.throttle.count_return(context.address) {
        note_refusal(context, &provider, RefusalCode::TooManyAttempts, "too many attempts");
        let seconds = wait.as_secs() + 1;
        let text = html! { p { "Wait " (seconds) " seconds, then reload this page." } };
        let mut page = context.error_page(StatusCode::TOO_MANY_REQUESTS, "Too many attempts", text).into_response();
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return Err(page.into());
    }
    let used = ["sign-in", transaction.state.as_str()];
    let (directory, now) = (&context.pages.directory, context.now);
    let end = transaction.since.saturating_add(MAX_AGE + 1);
    let noted = context.pages.providers.used.note(directory, &used, context.address, now, end).await;
    match noted.map_err(|error| context.internal_error(&error.to_string()))? {
        Once::First => {}
        Once::Again => return Err(stale(context, &provider, "a sign-in that was finished before")),
        Once::Full => {
            let text = html! { p { "Too many people sign in at this moment. Wait a minute, then sign in again." } };
            return Err(context.error_page(StatusCode::SERVICE_UNAVAILABLE, "Try again later", text));
        }
    }
    let checkpoint = context.pages.sessions.checkpoint();
    let client = &context.pages.providers.client;
    let redirect = context.public.join(&path(&provider, "callback"));
    let not_believed = |error: ProviderError| match error {
        ProviderError::Unavailable(_) | ProviderError::Setup(_) => failed(context, &provider, &error),
        error => {
            let text = "The answer of the provider was not accepted. Sign in again. If that happens again, tell the administrator of this gateway.";
            let (status, code) = (StatusCode::FORBIDDEN, RefusalCode::Provider);
            refused(context, &provider, status, code, &error.to_string(), "You are not signed in", text)
        }
    };
    let tokens = client.exchange(&provider, &transaction, &redirect, &code).await.map_err(not_believed)?;
    let person = client.person(&provider, &tokens, Some(&transaction.nonce)).await.map_err(not_believed)?;
    match transaction.purpose {
        Purpose::Again => confirm(context, &provider, &transaction, &person).await,
        Purpose::SignIn => {
            let sealed = context.pages.providers.seal_refresh_token(&provider, &person.subject, &tokens);
            let sealed = sealed.map_err(|error| match error {
                NotSealed::NoRandomBytes => context.internal_error("no random bytes"),
                NotSealed::NoToken => no_refresh_token(context, &provider),
            })?;
            let admitted = context.pages.providers.admit(&provider, &person, context.origin).await;
            let user = admitted.map_err(|error| not_admitted(context, &provider, &error))?;
            check_address(context, &provider, &user)?;
            let noted = context.pages.providers.note_sign_in(&provider, &person, &user, sealed, context.origin).await;
            noted.map_err(|error| context.change_failed(&error))?;
            if let Some(old) = transaction.session {
                context.end_session_by_digest(old).await;
            }
            let new = NewSession {
                user: user.id,
                // Without a time the browser may have asked for less than we did: nobody need have proved anything now.
                confirmed: proved_at(context, &provider, &person).unwrap_or_default(),
                provider_session: person.session.as_deref().map(|session| digest_of_session(&provider, session)),
            };
            let cookies = sign_in::begin_session(context, &new, checkpoint).await?;
            let mut page = back(context, "You are signed in", &transaction.path);
            page.headers_mut().extend(cookies);
            Ok(page)
        }
    }
}

/// The page that leads to one of ours.
fn back(context: &PageContext, title: &str, path: &str) -> Response {
    let text = html! { p { "If nothing happens, use the link." } };
    leading_page(context, title, text, &context.link(path), "Continue")
}

/// The sign-in that this browser began.
fn begun_here(context: &PageContext, provider: &ProviderSettings, state: &str) -> Result<Transaction, ErrorPage> {
    let found = (!state.is_empty()).then(|| cookie::find(context, state)).flatten();
    let Some(transaction) = found else {
        return Err(stale(context, provider, "a sign-in that this browser did not begin, or began too long ago"));
    };
    let is_same = transaction.provider == provider.name.as_str()
        && transaction.issuer == provider.issuer.as_str()
        && transaction.client_id == provider.client_id
        && bool::from(transaction.state.as_bytes().ct_eq(state.as_bytes()));
    if is_same { Ok(transaction) } else { Err(stale(context, provider, "a sign-in that began at another provider")) }
}

/// Whether the answer is of this provider, where it says so (RFC 9207).
async fn check_issuer(context: &PageContext, provider: &Arc<ProviderSettings>) -> Result<(), ErrorPage> {
    let named = context.parameter("iss");
    let metadata = context.pages.providers.client.metadata(provider).await;
    let metadata = metadata.map_err(|error| failed(context, provider, &error))?;
    let is_missing = named.is_empty() && !metadata.names_issuer && !context.query.contains("iss=");
    if named == provider.issuer.as_str() || is_missing {
        return Ok(());
    }
    Err(stale(context, provider, "an answer of another issuer"))
}

fn stale(context: &PageContext, provider: &ProviderSettings, reason: &str) -> ErrorPage {
    let text = "It was begun in another browser, too long ago, or finished before. Sign in again. Do not use a link that somebody sent you.";
    let (status, code) = (StatusCode::FORBIDDEN, RefusalCode::Provider);
    refused(context, provider, status, code, reason, "This sign-in cannot be finished", text)
}

fn not_signed_in(context: &PageContext, provider: &ProviderSettings, error: &str) -> ErrorPage {
    let error = display::visible_text(error);
    note_refusal(context, provider, RefusalCode::Provider, &format!("the provider says {error:?}"));
    let name = &provider.title;
    let text = html! {
        @if error == "access_denied" { p { "You did not sign in at " (name) ", or it does not let you use this gateway." } }
        @else { p { (name) " did not sign you in." } p.detail { "Details: " (error) } }
        p { a href=(context.link("/login")) { "Back to the sign-in" } }
    };
    context.error_page(StatusCode::FORBIDDEN, "You are not signed in", text)
}

/// As for a sign-in with a password.
fn check_address(context: &PageContext, provider: &ProviderSettings, user: &Arc<User>) -> Result<(), ErrorPage> {
    let role = context.pages.directory.role(&user.role);
    let Some(refusing) = NotAccepting::of(user, &role, None, context.address) else { return Ok(()) };
    let reason = refusing.reason(context.address);
    let text = format!("{} The administrator of this gateway can change that.", display::sentence(&reason));
    let (status, code) = (StatusCode::FORBIDDEN, RefusalCode::Address);
    Err(refused(context, provider, status, code, &reason, "You are not signed in", &text))
}

/// Why a person does not get in, in words for the person.
fn not_admitted(context: &PageContext, provider: &ProviderSettings, error: &NotAdmitted) -> ErrorPage {
    let name = &provider.title;
    let administrator = "Ask the administrator of this gateway.";
    let (code, title, text) = match error {
        NotAdmitted::Failed(error) => return context.change_failed(error),
        NotAdmitted::NoAccount(NotAllowed::NoAccounts) => {
            (RefusalCode::NotAdmitted, "You have no account", format!("This gateway makes no accounts for people of {name} by itself. {administrator}"))
        }
        NotAdmitted::NoAccount(NotAllowed::UnverifiedEmail) => (
            RefusalCode::NotAdmitted,
            "Your e-mail address is not verified",
            format!("{name} has not verified your e-mail address, or does not tell it. Verify it there, then sign in again."),
        ),
        NotAdmitted::NoAccount(NotAllowed::Domain) => (
            RefusalCode::NotAdmitted,
            "Your e-mail address is not allowed",
            format!("This gateway makes accounts only for e-mail addresses of some domains. {administrator}"),
        ),
        NotAdmitted::NoAccount(NotAllowed::NoRole) | NotAdmitted::NoRole => (
            RefusalCode::NotAdmitted,
            "You may not use this gateway",
            format!("Nothing that {name} says about you, such as your groups, gives you access. {administrator}"),
        ),
        NotAdmitted::NoAdministrator => (
            RefusalCode::NotAdmitted,
            "This gateway has no administrator yet",
            "The first person who signs in has to be an administrator. Use the one-time link that the gateway printed when it started, or sign in as a person who is one by its rules.".to_owned(),
        ),
        NotAdmitted::Disabled(_) => {
            (RefusalCode::DisabledAccount, "This account is disabled", "The administrator of this gateway can enable it.".to_owned())
        }
        NotAdmitted::Suspended(user) => {
            let reason = user.suspended.as_ref().and_then(|suspension| suspension.reason.as_deref());
            let reason = reason.map(|reason| format!(" ({})", display::visible_text(reason))).unwrap_or_default();
            (RefusalCode::Suspended, "This account is suspended", format!("The administrator of this gateway can lift that{reason}."))
        }
    };
    let reason = match error {
        NotAdmitted::NoAccount(reason) => reason.text().to_owned(),
        error => error.to_string(),
    };
    refused(context, provider, StatusCode::FORBIDDEN, code, &reason, title, &text)
}

/// When the person proved who they are, as far as the provider says that.
fn proved_at(context: &PageContext, provider: &ProviderSettings, person: &Person) -> Option<i64> {
    let trusted = provider.trust_sign_in_time.then_some(context.now);
    person.authenticated_at.map(|at| at.clamp(0, context.now)).or(trusted)
}

/// The page for a sign-in after which the provider could not be asked about the person again.
fn no_refresh_token(context: &PageContext, provider: &ProviderSettings) -> ErrorPage {
    let name = &provider.title;
    let text = format!(
        "This gateway asks {name} regularly whether you may still use it, and {name} did not allow that. Sign in again, and allow offline \
         access if you are asked. If that happens again, tell the administrator of this gateway."
    );
    let (status, code) = (StatusCode::FORBIDDEN, RefusalCode::Provider);
    refused(context, provider, status, code, "the provider gave no refresh token", "You are not signed in", &text)
}

/// Notes in the session that the browser had that its person has proved again who they are.
async fn confirm(
    context: &PageContext,
    provider: &ProviderSettings,
    transaction: &Transaction,
    person: &Person,
) -> PageResult {
    let no = |reason: &str, text: &str| {
        let (status, code) = (StatusCode::FORBIDDEN, RefusalCode::Provider);
        Err(refused(context, provider, status, code, reason, "You are not confirmed", text))
    };
    let session = transaction.session.filter(|_| !transaction.path.is_empty());
    let user = session.and_then(|digest| context.pages.sessions.user_of(&digest, context.now));
    let (Some(digest), Some(user)) = (session, user) else {
        return no("a session that has ended", "Your session ended meanwhile. Sign in again.");
    };
    let id = IdentityId::of(provider.issuer.as_str(), &person.subject);
    if context.pages.directory.identity(&id).is_none_or(|identity| identity.user != user) {
        return no("another person than that of the session", "You signed in there as another person than here.");
    }
    // A provider that only says who is signed in there has asked nobody.
    match proved_at(context, provider, person) {
        Some(at) if at.saturating_add(LEEWAY) >= transaction.since => {
            context.pages.sessions.confirm(&digest, at);
            context.share_session(Shared::ConfirmedSession(digest)).await;
            Ok(back(context, "You are confirmed", &transaction.path))
        }
        _ => {
            let text = "The provider did not ask you to sign in again. Sign out of this gateway, and sign in again.";
            no("the provider did not authenticate the person again", text)
        }
    }
}
