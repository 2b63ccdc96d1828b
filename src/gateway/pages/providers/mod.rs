//! Signing in at a provider: the buttons, the way there and back, signing out, and what the provider tells the gateway itself.
//!
//! Session cookies are `SameSite=Strict`, and browsers send none of these where another site leads to. So each way between the provider
//! and the gateway has a page of ours in between, which goes on by itself. It needs no script. It also keeps `form-action` of our pages at
//! our own origin, which browsers apply to redirects of forms.

mod back_channel;
mod callback;
mod cookie;
mod leave;
mod start;

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};

use super::display::AfterSignIn;
use super::error_page::ErrorPage;
use super::form::hidden;
use super::layout;
use super::page_context::PageContext;
use crate::gateway::providers::{ProviderError, ProviderSettings};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, Event, User};

pub use back_channel::submit as back_channel_sign_out;
pub use callback::show as callback;
pub use leave::page as sign_out_page;
pub use start::{AGAIN, submit as start};

/// So long people are asked to wait at least for a provider that does not answer.
const SHORTEST_WAIT: Duration = Duration::from_secs(10);

/// Marks a response whose page tells no other site from where it was opened: its address holds a code.
#[derive(Clone, Copy)]
pub struct HidesReferrer;

/// The path of a provider's page, such as `callback`.
pub fn path(provider: &ProviderSettings, page: &str) -> String {
    format!("/oidc/{}/{page}", provider.name)
}

/// A button for each provider, which leads to `next`. Each is a form of its own.
pub fn buttons(context: &PageContext, csrf: &str, next: &AfterSignIn) -> Markup {
    let config = context.pages.config.get();
    html! {
        @for provider in config.oidc.all() {
            form id={ "sign-in-" (provider.name) } method="post" action=(context.link(&path(provider, "start"))) {
                (hidden("csrf", csrf))
                (next.fields())
                div.actions { button.provider type="submit" { "Sign in with " (provider.title) } }
            }
        }
    }
}

/// The provider at which a person signs in, if that is not this gateway.
pub fn provider_of(context: &PageContext, user: &User) -> Option<Arc<ProviderSettings>> {
    let identity = context.pages.directory.identity_of(user.id)?;
    context.pages.config.get().oidc.of_issuer(&identity.issuer).cloned()
}

/// A page that leads to another one by itself.
fn leading_page(context: &PageContext, title: &str, text: Markup, url: &str, label: &str) -> Response {
    let head = html! { meta http-equiv="refresh" content={ "0; url=" (url) }; };
    let content = html! {
        section.card.notice {
            h1 { (title) }
            (text)
            p { a #continue href=(url) rel="noreferrer" { (label) } }
        }
    };
    let mut page = layout::page_with_head(context, StatusCode::OK, title, None, head, content);
    page.extensions_mut().insert(HidesReferrer);
    page
}

/// The provider of that name.
fn find(context: &PageContext, name: &str) -> Result<Arc<ProviderSettings>, ErrorPage> {
    context.pages.config.get().oidc.get(name).cloned().ok_or_else(|| context.page_not_found())
}

/// The page for a provider that could not be asked, or is not set up. The cause is in the log.
fn failed(context: &PageContext, provider: &ProviderSettings, error: &ProviderError) -> ErrorPage {
    // Strangers can begin a sign-in.
    let name = provider.name.as_str();
    if context.pages.log_throttle.allow(&format!("sign-in at {name}"), context.now) {
        tracing::error!(%error, provider = name, "sign-in at the provider failed");
    }
    let (status, name) = (StatusCode::SERVICE_UNAVAILABLE, &provider.title);
    if !matches!(error, ProviderError::Unavailable(_)) {
        let title = format!("Signing in with {name} does not work");
        let text = html! {
            p { "This gateway and " (name) " do not fit together. The gateway's log has the cause, for its administrator." }
            (again(context))
        };
        return context.error_page(status, &title, text);
    }
    let next = context.pages.providers.client.next_read(provider);
    let seconds = next.max(SHORTEST_WAIT).as_millis().div_ceil(1000);
    let text = html! {
        p { "You cannot sign in with " (name) " right now. Try again in " (seconds) " seconds." }
        p { "Devices and API keys that are signed in already go on working." }
        (again(context))
    };
    let mut page = context.error_page(status, &format!("{name} does not answer"), text).into_response();
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        page.headers_mut().insert(RETRY_AFTER, value);
    }
    page.into()
}

/// The page for a sign-in that came to nothing, and the event for it.
fn refused(
    context: &PageContext,
    provider: &ProviderSettings,
    status: StatusCode,
    code: RefusalCode,
    reason: &str,
    title: &str,
    text: &str,
) -> ErrorPage {
    note_refusal(context, provider, code, reason);
    context.error_page(status, title, html! { p { (text) } (again(context)) })
}

fn note_refusal(context: &PageContext, provider: &ProviderSettings, code: RefusalCode, reason: &str) {
    let event = Event::new(context.now, Actor::Gateway, "user.sign_in_failed", "(at a provider)").refused(code);
    let event = event.with("provider", provider.name).with("reason", reason);
    context.pages.refusals.note(event.from(context.origin));
}

fn again(context: &PageContext) -> Markup {
    html! { p { a href=(context.link("/login")) { "Back to the sign-in" } } }
}

/// A response of no page: for a program.
fn plain(status: StatusCode, json: &serde_json::Value) -> Response {
    let kind = [(http::header::CONTENT_TYPE, "application/json")];
    (status, kind, json.to_string()).into_response()
}
