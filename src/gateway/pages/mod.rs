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
mod sessions;
mod settings;
mod setup;
mod sign_in;
mod text;
mod throttle;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use self::csrf::Csrf;
use self::notes::Notes;
use self::password_check::PasswordCheck;
use self::sessions::{Found, Sessions};
use self::throttle::Throttle;
use super::state::Gateway;

pub use self::sessions::Ticket;

/// Browser sessions and what belongs to them.
pub struct Pages {
    setup_token: SecretString,
    sessions: Sessions,
    csrf: Csrf,
    throttle: Throttle,
    passwords: PasswordCheck,
    notes: Notes,
    /// Held while something is looked up and then changed because of it.
    deciding: tokio::sync::Mutex<()>,
}

impl Pages {
    /// Without sessions.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            setup_token: SecretString::from(random_text()?),
            sessions: Sessions::default(),
            csrf: Csrf::new()?,
            throttle: Throttle::new(governor::clock::DefaultClock::default()),
            passwords: PasswordCheck::default(),
            notes: Notes::default(),
            deciding: tokio::sync::Mutex::default(),
        })
    }

    /// The one-time token (256 bits) of the link that makes the first administrator: `/setup?token=…`. It is worth nothing once
    /// there is an account.
    pub fn setup_token(&self) -> &str {
        self.setup_token.expose_secret()
    }

    /// Ends all sessions of an account: its password has changed, or it was disabled.
    pub fn end_sessions(&self, user: Uuid) {
        self.sessions.end_all_of(user);
    }

    /// The session that a cookie is of, which counts as a use of it.
    pub fn session(&self, cookie: &str, now: i64) -> Option<Found> {
        self.sessions.find(cookie, now)
    }

    /// To be held while a pending device is looked up and then approved, so that only one account gets it.
    pub async fn decide(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.deciding.lock().await
    }

    fn is_setup_token(&self, token: &str) -> bool {
        self.setup_token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// Whether a path, with the base path cut off, is one of the pages.
pub fn owns(path: &str) -> bool {
    // Whatever is below these two is nobody else's: a page that is not there is refused as a page.
    let below = path.starts_with("/settings/") || path.starts_with("/assets/");
    below || matches!(path, "/setup" | "/connect" | "/login" | "/logout" | "/account")
}

/// The pages, at paths below the base path: it has been cut off.
pub fn router(gateway: Arc<Gateway>) -> Router {
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
        .with_state(gateway)
}

/// 256 random bits as 43 characters.
fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

#[cfg(test)]
mod tests;
