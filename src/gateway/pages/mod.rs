//! The pages for people: setting up, signing in, approving a device, keys and devices. HTML from the server; all of it works without a
//! script.
//!
//! Links, redirects and forms are built from the public address and never from a `Host` header. What a form does, it does only
//! with the token of the browser it was given to.

mod account;
mod connect;
mod cookies;
mod csrf;
mod form;
mod headers;
mod layout;
mod notes;
mod page_context;
mod password_check;
mod reauthentication;
mod settings;
mod setup;
mod sign_in;
mod state;
mod text;
mod throttle;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use self::state::{Pages, PagesParts};

/// Whether a path, with the base path cut off, is one of the pages.
pub fn owns(path: &str) -> bool {
    // Whatever is below these two is nobody else's: a page that is not there is refused as a page.
    let below = path.starts_with("/settings/") || path.starts_with("/assets/");
    below || matches!(path, "/setup" | "/connect" | "/login" | "/logout" | "/account")
}

/// The pages, at paths below the base path: it has been cut off.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/setup", get(setup::show).post(setup::submit))
        .route("/connect", get(connect::show).post(connect::decide))
        .route("/login", get(sign_in::show).post(sign_in::submit))
        .route("/logout", post(sign_in::sign_out))
        .route("/account", get(account::show))
        .route("/settings/keys", get(settings::show).post(settings::submit))
        .route("/settings/keys/new", get(settings::show_form))
        .route("/settings/keys/revoke", get(settings::ask_to_revoke).post(settings::revoke))
        .route("/settings/devices", get(settings::devices))
        .route("/settings/devices/disconnect", get(settings::ask_to_disconnect).post(settings::disconnect))
        .route("/assets/style.css", get(layout::style))
        .route("/assets/signed-out.css", get(layout::signed_out))
        .route("/assets/copy.js", get(settings::script))
        .fallback(headers::no_such_page)
        .method_not_allowed_fallback(headers::no_such_method)
        .layer(axum::middleware::map_response(headers::protect))
        .with_state(pages)
}

#[cfg(test)]
mod tests;
