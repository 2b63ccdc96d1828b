//! `POST /oidc/NAME/logout`: the provider itself tells that a person signed out there (OpenID Connect Back-Channel Logout 1.0). No browser
//! is involved, so there is no cookie and no CSRF token: the signed token is all that counts.

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::{find, note_refusal, plain};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::Form;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::providers::{LEEWAY, Once, ProviderError, digest_of_session};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, Change, Event, IdentityId};

/// How long after it was made a token counts at most, in seconds: so long its id is remembered.
const LONGEST: i64 = 10 * 60;

/// `POST /oidc/NAME/logout`.
pub async fn submit(context: PageContext, Path(name): Path<String>, body: Body) -> PageResult {
    let provider = find(&context, &name)?;
    let refused = |error: &str| {
        note_refusal(&context, &provider, RefusalCode::Provider, error);
        let told = json!({ "error": "invalid_request", "error_description": error });
        plain(StatusCode::BAD_REQUEST, &told)
    };
    let form = match Form::read(&context.headers, body).await {
        Ok(form) => form,
        Err(error) => return Ok(refused(&error.to_string())),
    };
    let providers = &context.pages.providers;
    let sign_out = match providers.client.sign_out(&provider, form.get("logout_token")).await {
        Ok(sign_out) => sign_out,
        Err(error @ ProviderError::Unavailable(_)) => return Ok(unavailable(&context, &error.to_string())),
        Err(error) => return Ok(refused(&error.to_string())),
    };
    let end = sign_out.expires_at.min(sign_out.issued_at.saturating_add(LONGEST)).saturating_add(LEEWAY);
    if context.now >= end {
        return Ok(refused("the logout token has expired"));
    }
    let what = ["sign-out", provider.issuer.as_str(), &sign_out.id];
    match providers.used_sign_outs.note(&context.pages.directory, &what, context.address, context.now, end).await {
        Ok(Once::First) => {}
        Ok(Once::Again) => return Ok(refused("the logout token was used before")),
        Ok(Once::Full) => return Ok(unavailable(&context, "too many logout tokens")),
        Err(error) => return Ok(unavailable(&context, &error.to_string())),
    }
    let identity = sign_out.subject.as_deref().and_then(|subject| {
        let id = IdentityId::of(provider.issuer.as_str(), subject);
        context.pages.directory.identity(&id)
    });
    let ended = match &sign_out.session {
        Some(session) => {
            let named = providers.end_sessions_that_began_with(digest_of_session(&provider, session)).await;
            // A provider need not name the session in ID tokens: one that began without a name may be this one.
            let unnamed = match &identity {
                Some(identity) => providers.end_sessions_without_sign_in(identity.user).await,
                None => 0,
            };
            named + unnamed
        }
        None => match &identity {
            Some(identity) => providers.end_sessions_of(identity.user).await,
            None => 0,
        },
    };
    if let Some(user) = identity.and_then(|identity| context.pages.directory.user(identity.user)).filter(|_| ended > 0)
    {
        let event = Event::new(context.now, Actor::Gateway, "user.signed_out", &user.name).of_account(&user);
        let event = event.from(context.origin).with("provider", provider.name).with("sessions", ended);
        if let Err(error) = context.pages.directory.commit(Change::Note, event).await {
            tracing::warn!(%error, "event could not be recorded");
        }
    }
    Ok(plain(StatusCode::OK, &json!({})))
}

fn unavailable(context: &PageContext, error: &str) -> Response {
    // Strangers can send what looks like a token.
    if context.pages.log_throttle.allow("sign-outs at providers", context.now) {
        tracing::error!(error, "a sign-out at a provider could not be carried out");
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "temporarily_unavailable" }))
}
