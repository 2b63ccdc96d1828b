//! What ends a request for a page early: a form that is not accepted, a rejection, a failure. Each is shown as a page.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};

use super::cookies::{self, CsrfPurpose};
use super::display;
use super::display::{ACCOUNT, KEYS, LOGIN_FOR_KEYS, LOGIN_FOR_NEW_KEY, NEW_KEY};
use super::form::{Form, FormError};
use super::layout::{self, NoticeKind};
use super::page_context::{BrowserSession, PageContext, header_value};
use crate::gateway::account;
use crate::gateway::authn::random_token;
use crate::gateway::directory::DirectoryError;
use crate::gateway::host;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::StoreError;

/// A page that says why the request was not carried out.
pub struct ErrorPage(Box<Response>);

impl From<Response> for ErrorPage {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// The response to a request for a page.
pub type PageResult = Result<Response, ErrorPage>;

/// A browser that fills in a form before the sign-in.
pub struct Visitor {
    /// The CSRF token for the form.
    pub csrf_token: String,
    /// The cookie that belongs to it, if the browser has none yet.
    new_cookie: Option<HeaderValue>,
}

impl Visitor {
    /// Adds the cookie to a response, if the browser has none yet.
    pub fn set_cookie(self, mut response: Response) -> Response {
        if let Some(cookie) = self.new_cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl PageContext {
    /// The session of this browser, or a redirect to the sign-in, which leads back to the keys.
    ///
    /// # Errors
    /// Without a session.
    pub fn require_session(&self) -> Result<BrowserSession, ErrorPage> {
        let login = if self.path == NEW_KEY { LOGIN_FOR_NEW_KEY } else { LOGIN_FOR_KEYS };
        self.session().ok_or_else(|| ErrorPage::from(self.redirect(login)))
    }

    /// The visitor, for a form before the sign-in.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn visitor(&self) -> Result<Visitor, ErrorPage> {
        let (cookie, is_new) = match self.visitor_cookie() {
            Some(cookie) => (cookie, false),
            None => (random_token().map_err(|_| self.internal_error("no random bytes"))?, true),
        };
        let new_cookie = is_new.then(|| header_value(&cookies::set(&self.public, CsrfPurpose::Visitor, &cookie)));
        Ok(Visitor { csrf_token: self.pages.csrf.token(CsrfPurpose::Visitor, &cookie), new_cookie })
    }

    /// Reads the form of a POST, if its headers say that it comes from one of our pages.
    ///
    /// # Errors
    /// For a POST from another site, and for a body that is not a form of ours.
    pub async fn form(&self, body: Body) -> Result<Form, ErrorPage> {
        let current = self.pages.config.get();
        let local = self.origin.local.unwrap_or(current.local);
        let listener = host::Listener { local, environment: self.origin.entry };
        let is_ours = host::accept(&current, &self.headers, listener).is_ok();
        let named = host::the_one(&self.headers).ok().filter(|_| is_ours);
        if cookies::is_foreign(&self.headers, &self.public, named) {
            let text = html! {
                p { "The form came from another website, or you opened this gateway under a name that it does not know." }
                p { "Open it as " a href=(self.public) { (self.public) } " and try again." }
            };
            return Err(self.error_page(StatusCode::FORBIDDEN, "Form rejected", text));
        }
        Form::read(&self.headers, body)
            .await
            .map_err(|error: FormError| self.error_page(error.status(), "Form rejected", html! { p { (error) } }))
    }

    /// Verifies the CSRF token of a form before the sign-in.
    ///
    /// # Errors
    /// For a form that was not filled in on our page in this browser.
    pub fn verify_visitor_form(&self, form: &Form) -> Result<(), ErrorPage> {
        self.verify_form(CsrfPurpose::Visitor, self.visitor_cookie().as_deref(), form)
    }

    /// Verifies the CSRF token of a form of this session.
    ///
    /// # Errors
    /// For a form that was not filled in on our page during this session.
    pub fn verify_session_form(&self, session: &BrowserSession, form: &Form) -> Result<(), ErrorPage> {
        self.verify_form(CsrfPurpose::Session, Some(&session.cookie), form)
    }

    fn verify_form(&self, purpose: CsrfPurpose, cookie: Option<&str>, form: &Form) -> Result<(), ErrorPage> {
        if cookie.is_some_and(|cookie| self.pages.csrf.verify(purpose, cookie, form.get("csrf"))) {
            return Ok(());
        }
        // Over plain http a browser stores no cookie of an https address.
        let other_address =
            html! { p { "If this happens again, open the gateway as " a href=(self.public) { (self.public) } "." } };
        let text = html! {
            p { "This form does not belong to your current session. It may have been open for too long, or cookies are disabled." }
            p { "Go back, reload the page, and try again." }
            @if cookie.is_none() { (other_address) }
        };
        Err(self.error_page(StatusCode::FORBIDDEN, "Form rejected", text))
    }

    /// A page that says why the request was not carried out.
    pub fn error_page(&self, status: StatusCode, title: &str, text: Markup) -> ErrorPage {
        ErrorPage(Box::new(layout::notice(self, status, NoticeKind::Error, title, text)))
    }

    /// The page for an address that there is not, or not for this person.
    pub fn page_not_found(&self) -> ErrorPage {
        let text = html! { p { "Check the address, or go to " a href=(self.link(ACCOUNT)) { "your account" } "." } };
        self.error_page(StatusCode::NOT_FOUND, "Page not found", text)
    }

    /// The page for a rejection of the account service, in its words.
    pub fn rejected(&self, rejection: &Rejection) -> ErrorPage {
        let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let keys = html! { p { a href=(self.link(KEYS)) { "Your keys and devices" } } };
        let mut page = match rejection.status() {
            401 => {
                let text = html! {
                    p { "Your session ended or your account changed. Your request was not carried out." }
                    p { a href=(self.link(LOGIN_FOR_KEYS)) { "Sign in" } }
                };
                self.error_page(status, "Sign in again", text)
            }
            404 => {
                let text = html! { p { "It does not exist, or it belongs to another account." } (keys) };
                self.error_page(status, "Key or device not found", text)
            }
            500.. => self.internal_error(rejection.message()),
            _ => {
                let reason = display::visible_text(rejection.message());
                self.error_page(status, "Request rejected", html! { p { (display::sentence(&reason)) } (keys) })
            }
        };
        if let Some(wait) = rejection.retry_after() {
            page.0.headers_mut().insert(RETRY_AFTER, wait.clone());
        }
        page
    }

    /// The page for a change that was not made.
    pub fn change_failed(&self, error: &DirectoryError) -> ErrorPage {
        match error {
            DirectoryError::TooMany(wait) => self.rejected(&account::too_many(&error.to_string(), *wait)),
            error @ (DirectoryError::NotStored | DirectoryError::Store(StoreError::Doubtful { .. })) => {
                tracing::error!(%error, "page request failed");
                let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
                let text = html! { p { (message) "." } p { (hint) "." } };
                self.error_page(StatusCode::SERVICE_UNAVAILABLE, "Not saved", text)
            }
            error => self.internal_error(&error.to_string()),
        }
    }

    /// The page for a failure of the gateway itself. The cause is in the log only.
    pub fn internal_error(&self, reason: &str) -> ErrorPage {
        tracing::error!(error = reason, "page request failed");
        let text = html! { p { "The gateway could not complete your request, and nothing was changed. Try again in a moment. The gateway's log has the cause." } };
        self.error_page(StatusCode::SERVICE_UNAVAILABLE, "Something went wrong", text)
    }
}
