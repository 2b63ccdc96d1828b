//! The pages for people: setting up, signing in, approving a device, keys and devices. HTML from the server; all of it works without a
//! script.
//!
//! Links, redirects and forms are built from the public address and never from a `Host` header. Every form needs the CSRF token of
//! the browser that it was served to.

mod administration;
mod cookies;
mod device_approval;
mod device_code;
mod display;
mod error_page;
mod form;
mod from_request;
mod invitation;
mod known_browser;
mod layout;
mod new_password;
mod page_context;
mod password_check;
mod providers;
mod reauthentication;
mod settings;
mod setup;
mod shared_throttle;
mod sign_in;
mod sign_in_throttle;
mod state;
mod usage;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{DOCTYPE, html};

use self::display::{ACCOUNT, KEYS};
use self::error_page::PageResult;
use self::page_context::PageContext;
use super::active_config::ActiveConfig;
use super::host;
use super::rejection::Rejection;
use crate::address::Scheme;

pub use self::state::{Pages, PagesParts};
pub use self::visitor::PageVisitor;

const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// For the page with a new key, which has buttons that copy it.
const CSP_WITH_SCRIPT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// The referrer policy is `same-origin` and not `no-referrer`: with the latter browsers send `Origin: null` with our own forms, like
/// those of other sites.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// A year. For this host alone: others of its domain may have no https.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// The port of https. HSTS applies to a host whatever the port, so a gateway beside other servers of the host leaves it out.
const HTTPS_PORT: u16 = 443;

/// Whether a path, with the base path cut off, is one of the pages.
pub fn owns(path: &str) -> bool {
    // Unknown paths below these are answered as pages too.
    let below = ["/settings/", "/admin/", "/assets/", "/oidc/"].iter().any(|folder| path.starts_with(folder));
    below
        || matches!(
            path,
            "/setup"
                | "/invite"
                | "/usage"
                | "/connect"
                | device_code::PATH
                | "/login"
                | "/logout"
                | "/account"
                | administration::STATUS
                | "/favicon.ico"
        )
}

/// Whether a request for a path that no page owns is answered with a page all the same: a person's browser at `/`, and at a path that
/// is no route of the gateway (`is_route`). Below `/api` and `/v1` programs are answered as always, whatever they accept.
pub fn answers_browser(path: &str, is_route: bool, headers: &HeaderMap) -> bool {
    let is_api = ["/api", "/v1"]
        .iter()
        .any(|api| path.strip_prefix(api).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    (path == "/" || !is_route && !is_api) && accepts_pages(headers)
}

/// The page for a request that is refused before the pages see it. Without a stylesheet, which would be refused, too.
pub fn refused(rejection: &Rejection) -> Response {
    let mut page = refusal_page(rejection);
    // For what is recorded of requests.
    if let Some(code) = rejection.code() {
        page.extensions_mut().insert(code);
    }
    page
}

fn refusal_page(rejection: &Rejection) -> Response {
    let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::FORBIDDEN);
    let content = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Request refused · ollama-auth gateway" }
            }
            body {
                h1 { "Request refused" }
                p { (display::sentence(&display::visible_text(rejection.message()))) }
                p { "The administrator of this gateway can change that." }
            }
        }
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, CSP),
    ];
    let mut response = (status, headers, content.into_string()).into_response();
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether `Accept` names HTML. Programs send `*/*` or nothing.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds =
        values.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.any(|kind| kind.eq_ignore_ascii_case("text/html"))
}

/// The pages, at paths below the base path: it has been cut off.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/favicon.ico", get(layout::icon))
        .route("/setup", get(setup::show).post(setup::submit))
        .route("/invite", get(invitation::show).post(invitation::submit))
        .route("/connect", get(device_approval::show).post(device_approval::submit))
        .route(device_code::PATH, post(device_code::submit))
        .route("/login", get(sign_in::show).post(sign_in::submit))
        .route("/logout", post(sign_in::sign_out))
        .route("/oidc/{name}/start", post(providers::start))
        .route("/oidc/{name}/callback", get(providers::callback))
        .route("/oidc/{name}/logout", post(providers::back_channel_sign_out))
        .route("/account", get(settings::account))
        .route("/settings/keys", get(settings::list).post(settings::create_key))
        .route("/settings/keys/new", get(settings::new_key))
        .route("/settings/keys/revoke", get(settings::confirm_revoke).post(settings::revoke))
        .route(display::EVENTS, get(settings::events))
        .route("/settings/password", get(settings::password).post(settings::change_password))
        .route("/settings/devices", get(settings::devices))
        .route("/settings/devices/new", get(settings::new_device).post(settings::add_device))
        .route("/settings/devices/disconnect", get(settings::confirm_disconnect).post(settings::disconnect))
        .route(administration::STATUS, get(administration::status))
        .route(administration::PEOPLE, get(administration::people))
        .route(administration::PERSON, get(administration::person))
        .route(administration::CHANGE, get(administration::confirm_change).post(administration::change))
        .route(administration::ROLES, get(administration::roles))
        .route(administration::POLICY, get(administration::policy))
        .route(administration::INVITATIONS, get(administration::invitations).post(administration::invite))
        .route(administration::NEW_INVITATION, get(administration::new_invitation))
        .route(administration::MAINTENANCE, get(administration::maintenance).post(administration::set_maintenance))
        .route(usage::USAGE, get(usage::own))
        .route(usage::ADMIN_USAGE, get(usage::all))
        .route(administration::AUDIT, get(administration::audit))
        .route(administration::AUDIT_EXPORT, get(administration::export_events))
        .route("/assets/style.css", get(layout::style))
        .route("/assets/signed-out.css", get(layout::signed_out))
        .route("/assets/icon.svg", get(layout::icon))
        .route("/assets/copy.js", get(settings::copy_script))
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::from_fn_with_state(pages.clone(), add_security_headers))
        .with_state(pages)
}

/// Adds the headers that every page carries.
async fn add_security_headers(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let requires_https = requires_https(&pages.config.get(), request.headers());
    let mut response = next.run(request).await;
    let allows_script = response.extensions().get::<settings::AllowsScript>().is_some();
    let hides_referrer = response.extensions().get::<providers::HidesReferrer>().is_some();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, if allows_script { CSP_WITH_SCRIPT } else { CSP });
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if hides_referrer {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if requires_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// Whether browsers are told to open this host over https only: where its public address is one of the usual port, and the request
/// names it. Another name of the gateway may have other servers beside it.
fn requires_https(config: &ActiveConfig, headers: &HeaderMap) -> bool {
    let public = &config.url;
    let named = host::the_one(headers).ok().and_then(|host| host::named(public.scheme(), host));
    public.scheme() == Scheme::Https
        && public.port() == HTTPS_PORT
        && !public.is_loopback()
        && named.is_some_and(|named| named.origin() == public.origin())
}

/// `GET /` of a browser: the sign-in, or the keys and devices of who is signed in. Programs get Ollama's answer there.
async fn home(context: PageContext) -> Response {
    let path = if context.session().is_some() { KEYS } else { "/login" };
    let mut response = context.redirect(path);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// The page for an unknown path.
async fn no_such_page(context: PageContext) -> PageResult {
    Err(context.page_not_found())
}

/// The page for a method that a path does not have.
async fn no_such_method(context: PageContext) -> PageResult {
    let text = html! { p { "Go to " a href=(context.link(ACCOUNT)) { "your account" } " and try again from there." } };
    Err(context.error_page(StatusCode::METHOD_NOT_ALLOWED, "This page cannot be opened this way", text))
}

#[cfg(test)]
mod tests;
