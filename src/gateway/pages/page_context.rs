//! One request for a page: who asks, from where, and how links back to us are written.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};

use super::csrf::{self, CsrfPurpose};
use super::form::{Form, FormError};
use super::state::Pages;
use super::{cookies, layout, text};
use crate::address::BaseUrl;
use crate::gateway::authn::{Caller, random_token};
use crate::gateway::host::{self, ClientAddress};
use crate::gateway::rejection::Rejection;
use crate::gateway::store::User;

/// See the module.
pub struct PageContext {
    /// What the pages use.
    pub pages: Arc<Pages>,
    /// What browsers call it.
    pub public: BaseUrl,
    /// Where the request came from.
    pub address: IpAddr,
    /// When, in Unix seconds.
    pub now: i64,
    /// Its path, below the base path.
    pub path: String,
    /// Its query, as sent.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// Somebody who is signed in.
pub struct SignedIn {
    /// Who, with what that allows.
    pub caller: Caller,
    /// Whether the password was typed within the last quarter of an hour.
    pub fresh: bool,
    /// The value of the session's cookie.
    pub cookie: String,
}

impl SignedIn {
    /// The account.
    pub fn user(&self) -> &User {
        self.caller.user()
    }
}

/// A browser that fills in a form before the sign-in.
pub struct Visitor {
    /// What the form has to carry.
    pub token: String,
    /// The cookie that goes with it, when the browser has none yet.
    set_cookie: Option<HeaderValue>,
}

impl Visitor {
    /// Gives the browser its cookie, if it has none.
    pub fn greet(self, mut response: Response) -> Response {
        if let Some(cookie) = self.set_cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

/// A page that says why nothing more is done.
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

/// What a page answers with.
pub type Answer = Result<Response, ErrorPage>;

impl FromRequestParts<Arc<Pages>> for PageContext {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Arc<Pages>) -> Result<Self, Response> {
        let Some(ClientAddress(address)) = parts.extensions.get().copied() else {
            tracing::error!("a page was asked for by a request without an address");
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        Ok(Self {
            pages: pages.clone(),
            public: pages.config.get().url.clone(),
            address: address.to_canonical(),
            now: pages.clock.now(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
        })
    }
}

impl PageContext {
    /// The address of one of our pages, as links and redirects hold it: the public path, and no host.
    pub fn link(&self, path: &str) -> String {
        // Two slashes in front would name a host.
        match self.public.path().trim_start_matches('/') {
            "" => path.to_owned(),
            base => format!("/{base}{path}"),
        }
    }

    /// A parameter of the query; empty when it is not there, or there twice.
    pub fn parameter(&self, name: &str) -> String {
        let mut values = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value.into_owned(),
            _ => String::new(),
        }
    }

    /// Sends the browser to one of our pages, with a GET.
    pub fn redirect(&self, path: &str) -> Response {
        let location = [(http::header::LOCATION, self.link(path))];
        (StatusCode::SEE_OTHER, location).into_response()
    }

    /// Who is signed in with this browser.
    pub fn signed_in(&self) -> Option<SignedIn> {
        let cookie = cookies::read(&self.headers, &cookies::name(&self.public, CsrfPurpose::Session))?;
        let found = self.pages.authenticator.identify_session(&cookie);
        if found.is_none() {
            self.pages.sessions.end(&cookie);
        }
        let (caller, fresh) = found?;
        Some(SignedIn { caller, fresh, cookie })
    }

    /// What a form of somebody who is signed in has to carry.
    pub fn token(&self, session: &SignedIn) -> String {
        self.pages.csrf.token(CsrfPurpose::Session, &session.cookie)
    }

    /// What a form before the sign-in has to carry.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn visitor(&self) -> Result<Visitor, ErrorPage> {
        let (cookie, fresh) = match self.visitor_cookie() {
            Some(cookie) => (cookie, false),
            None => (random_token().map_err(|_| self.broken("no random bytes"))?, true),
        };
        let set_cookie = fresh.then(|| header(&cookies::set(&self.public, CsrfPurpose::Visitor, &cookie)));
        Ok(Visitor { token: self.pages.csrf.token(CsrfPurpose::Visitor, &cookie), set_cookie })
    }

    /// Reads the form of a POST that comes from one of our own pages, as far as the browser tells.
    ///
    /// # Errors
    /// For a POST of another site, and for a body that is no form of ours.
    pub async fn form(&self, body: axum::body::Body) -> Result<Form, ErrorPage> {
        let named = host::accept(&self.pages.config.get(), &self.headers)
            .is_ok()
            .then(|| host::the_one(&self.headers).ok())
            .flatten();
        if csrf::is_foreign(&self.headers, &self.public, named) {
            let text = html! {
                p { "The form was sent from another web site, or this gateway was opened under a name that is not its own." }
                p { "Open it as " a href=(self.public) { (self.public) } " and try again." }
            };
            return Err(self.error_page(StatusCode::FORBIDDEN, "Nothing was done", text));
        }
        Form::read(&self.headers, body)
            .await
            .map_err(|error: FormError| self.error_page(error.status(), "Nothing was done", html! { p { (error) } }))
    }

    /// Refuses a form that was not filled in before the sign-in, in this browser, on our page.
    ///
    /// # Errors
    /// Then.
    pub fn check_visitor(&self, form: &Form) -> Result<(), ErrorPage> {
        self.check(CsrfPurpose::Visitor, self.visitor_cookie().as_deref(), form)
    }

    /// Refuses a form that was not filled in during this session, on our page.
    ///
    /// # Errors
    /// Then.
    pub fn check_session(&self, session: &SignedIn, form: &Form) -> Result<(), ErrorPage> {
        self.check(CsrfPurpose::Session, Some(&session.cookie), form)
    }

    fn check(&self, purpose: CsrfPurpose, cookie: Option<&str>, form: &Form) -> Result<(), ErrorPage> {
        if cookie.is_some_and(|cookie| self.pages.csrf.fits(purpose, cookie, form.get("csrf"))) {
            return Ok(());
        }
        // Without https a browser keeps no cookie of an https address.
        let elsewhere =
            html! { p { "If this happens again, open the gateway as " a href=(self.public) { (self.public) } "." } };
        let text = html! {
            p { "The form does not belong to this browser's session. It may have been open for too long, or cookies are switched off." }
            p { "Go back, load the page again, and try once more." }
            @if cookie.is_none() { (elsewhere) }
        };
        Err(self.error_page(StatusCode::FORBIDDEN, "Nothing was done", text))
    }

    fn visitor_cookie(&self) -> Option<String> {
        cookies::read(&self.headers, &cookies::name(&self.public, CsrfPurpose::Visitor))
    }

    /// A page that says why nothing more is done.
    pub fn error_page(&self, status: StatusCode, title: &str, text: Markup) -> ErrorPage {
        ErrorPage(Box::new(layout::notice(self, status, layout::Tone::Bad, title, text)))
    }

    /// The page for what the API would refuse, in its words.
    pub fn refused(&self, rejection: &Rejection) -> ErrorPage {
        let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let keys = html! { p { a href=(self.link("/settings/keys")) { "Your keys and devices" } } };
        match rejection.status() {
            401 => {
                let text = html! {
                    p { "Your session ended, or your account was changed, while you asked. Nothing was done." }
                    p { a href=(self.link("/login?to=keys")) { "Go on to your keys" } }
                };
                self.error_page(status, "Sign in again", text)
            }
            404 => {
                let text = html! { p { "It is not on record, or not yours." } (keys) };
                self.error_page(status, "There is no such key or device", text)
            }
            500.. => self.broken(rejection.message()),
            _ => {
                let reason = text::visible_long(rejection.message());
                self.error_page(status, "Nothing was done", html! { p { (text::sentence(&reason)) } (keys) })
            }
        }
    }

    /// The page for trouble of our own. What exactly it is stands in the log.
    pub fn broken(&self, reason: &str) -> ErrorPage {
        tracing::error!(reason, "a page failed");
        let text = html! { p { "The gateway could not do it. Nothing was changed. Its log says why; try again in a moment." } };
        self.error_page(StatusCode::SERVICE_UNAVAILABLE, "That did not work", text)
    }
}

/// Cookies and numbers are always a legal header.
pub fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
