//! The pages for people: setting up, signing in, approving a device, keys and devices. HTML from the server; all of it works without a
//! script.
//!
//! Links, redirects and forms are built from the public address and never from a `Host` header. Every form needs the CSRF token of
//! the browser that it was served to.

mod cookies;
mod device_approval;
mod display;
mod error_page;
mod form;
mod known_browser;
mod layout;
mod new_password;
mod page_context;
mod password_check;
mod reauthentication;
mod settings;
mod setup;
mod sign_in;
mod sign_in_throttle;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::html;

use self::display::ACCOUNT;
use self::error_page::PageResult;
use self::page_context::PageContext;

pub use self::state::{Pages, PagesParts};

const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// For the page with a new key, which has a button that copies it.
const CSP_WITH_SCRIPT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// The referrer policy is `same-origin` and not `no-referrer`: with the latter browsers send `Origin: null` with our own forms, like
/// those of other sites.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Whether a path, with the base path cut off, is one of the pages.
pub fn owns(path: &str) -> bool {
    // Unknown paths below these two are answered as pages too.
    let below = path.starts_with("/settings/") || path.starts_with("/assets/");
    below || matches!(path, "/setup" | "/connect" | "/login" | "/logout" | "/account")
}

/// The pages, at paths below the base path: it has been cut off.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/setup", get(setup::show).post(setup::submit))
        .route("/connect", get(device_approval::show).post(device_approval::submit))
        .route("/login", get(sign_in::show).post(sign_in::submit))
        .route("/logout", post(sign_in::sign_out))
        .route("/account", get(settings::account))
        .route("/settings/keys", get(settings::list).post(settings::create_key))
        .route("/settings/keys/new", get(settings::new_key))
        .route("/settings/keys/revoke", get(settings::confirm_revoke).post(settings::revoke))
        .route("/settings/devices", get(settings::devices))
        .route("/settings/devices/disconnect", get(settings::confirm_disconnect).post(settings::disconnect))
        .route("/assets/style.css", get(layout::style))
        .route("/assets/signed-out.css", get(layout::signed_out))
        .route("/assets/copy.js", get(settings::copy_script))
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::map_response(add_security_headers))
        .with_state(pages)
}

/// Adds the headers that every page carries.
async fn add_security_headers(mut response: Response) -> Response {
    let allows_script = response.extensions().get::<settings::AllowsScript>().is_some();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, if allows_script { CSP_WITH_SCRIPT } else { CSP });
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The page for an unknown path.
async fn no_such_page(context: PageContext) -> PageResult {
    let text = html! { p { "Check the address, or go to " a href=(context.link(ACCOUNT)) { "your account" } "." } };
    Err(context.error_page(StatusCode::NOT_FOUND, "Page not found", text))
}

/// The page for a method that a path does not have.
async fn no_such_method(context: PageContext) -> PageResult {
    let text = html! { p { "Go to " a href=(context.link(ACCOUNT)) { "your account" } " and try again from there." } };
    Err(context.error_page(StatusCode::METHOD_NOT_ALLOWED, "This page cannot be opened this way", text))
}

#[cfg(test)]
mod tests;
