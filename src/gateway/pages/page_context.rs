//! One request for a page: who sends it, from where, and how links to other pages are written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::cookies;
use super::cookies::CsrfPurpose;
use super::shared_throttle::Attempt;
use super::state::Pages;
use crate::address::BaseUrl;
use crate::gateway::authn::{Caller, digest_of_cookie};
use crate::gateway::origin::Origin;
use crate::gateway::store::{Shared, User};

/// The request and what the pages need to answer it.
pub struct PageContext {
    /// The state of the pages.
    pub pages: Arc<Pages>,
    /// The public address of the gateway.
    pub public: BaseUrl,
    /// Where the request came from.
    pub address: IpAddr,
    /// The same, for events.
    pub origin: Origin,
    /// When, in Unix seconds.
    pub now: i64,
    /// Its path, below the base path.
    pub path: String,
    /// Its query, as sent.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// A browser in which a person is signed in.
pub struct BrowserSession {
    /// The person, with their rights.
    pub caller: Caller,
    /// Whether the password was typed within the last 15 minutes.
    pub fresh: bool,
    /// The value of the session cookie.
    pub cookie: String,
}

impl BrowserSession {
    /// The account.
    pub fn user(&self) -> &User {
        self.caller.user()
    }
}

impl PageContext {
    /// Counts an attempt to sign in. `browser` is the checked cookie of a browser in which this person has signed in.
    ///
    /// # Errors
    /// When it exceeds a limit: how long to wait.
    pub async fn count_attempt(&self, name: &str, browser: Option<&str>) -> Result<(), Duration> {
        let pages = &self.pages;
        let attempt = Attempt { name, address: self.address, browser };
        pages.shared_throttle.count(&pages.throttle, &pages.directory, attempt).await
    }

    /// The address of one of our pages, as links and redirects hold it: the public path, and no host.
    pub fn link(&self, path: &str) -> String {
        // Two slashes at the beginning would name a host.
        match self.public.path().trim_start_matches('/') {
            "" => path.to_owned(),
            base => format!("/{base}{path}"),
        }
    }

    /// A parameter of the query; empty when it is missing or repeated.
    pub fn parameter(&self, name: &str) -> String {
        let mut values = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value.into_owned(),
            _ => String::new(),
        }
    }

    /// Redirects the browser to one of our pages, with a GET.
    pub fn redirect(&self, path: &str) -> Response {
        let location = [(http::header::LOCATION, self.link(path))];
        (StatusCode::SEE_OTHER, location).into_response()
    }

    /// Whether it is the page after a sign-out.
    pub fn follows_sign_out(&self) -> bool {
        self.path == "/logout" || self.path == "/login" && self.parameter("signed-out") == "true"
    }

    /// The session of this browser, if it is accepted from the browser's address.
    pub fn session(&self) -> Option<BrowserSession> {
        self.session_from_anywhere().filter(|session| session.caller.not_accepting().is_none())
    }

    /// The session of this browser, for what ends it. Also where it is not accepted.
    pub fn session_from_anywhere(&self) -> Option<BrowserSession> {
        let cookie = cookies::read(&self.headers, &cookies::name(&self.public, CsrfPurpose::Session))?;
        let found = self.pages.authenticator.identify_session(&cookie, self.address);
        if found.is_none() {
            self.pages.sessions.end(&cookie);
        }
        let (caller, fresh) = found?;
        Some(BrowserSession { caller, fresh, cookie })
    }

    /// Ends the session of a cookie, at all gateways.
    pub async fn end_session(&self, cookie: &str) {
        if self.pages.sessions.is_known(cookie) {
            self.pages.sessions.end(cookie);
            self.share_session(Shared::EndedSession(digest_of_cookie(cookie))).await;
        }
    }

    /// The same by the SHA-256 of the cookie.
    pub async fn end_session_by_digest(&self, digest: [u8; 32]) {
        if self.pages.sessions.end_by_digest(digest) {
            self.share_session(Shared::EndedSession(digest)).await;
        }
    }

    /// Tells the other gateways of a session. It holds here even if that is not possible.
    pub async fn share_session(&self, what: Shared) {
        if let Err(error) = self.pages.directory.share(what, |_| true).await {
            tracing::warn!(%error, "session could not be saved");
        }
    }

    /// Reads what other gateways know of the browser's session, and tells them that it is used.
    pub async fn exchange_session(&self) {
        let (sessions, directory) = (&self.pages.sessions, &self.pages.directory);
        let cookie = cookies::read(&self.headers, &cookies::name(&self.public, CsrfPurpose::Session));
        let Some(cookie) = cookie.filter(|cookie| directory.is_shared() && sessions.is_given(cookie)) else { return };
        if !sessions.is_known(&cookie)
            && let Err(error) = directory.catch_up().await
        {
            tracing::warn!(%error, "sessions of other gateways could not be read");
        }
        if sessions.is_to_be_shared(&cookie, self.now) {
            self.share_session(Shared::UsedSession(digest_of_cookie(&cookie))).await;
        }
    }

    /// The CSRF token for forms of this session.
    pub fn csrf_token(&self, session: &BrowserSession) -> String {
        self.pages.csrf.token(CsrfPurpose::Session, &session.cookie)
    }

    /// The value of the visitor cookie.
    pub fn visitor_cookie(&self) -> Option<String> {
        cookies::read(&self.headers, &cookies::name(&self.public, CsrfPurpose::Visitor))
    }
}

/// A header value of ASCII text, such as a cookie.
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
