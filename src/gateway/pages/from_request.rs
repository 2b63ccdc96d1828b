//! Makes a [`PageContext`] of each request for a page, and refuses it if the browser's session is not accepted from its address.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;
use maud::html;

use super::display;
use super::layout::{self, NoticeKind};
use super::page_context::PageContext;
use super::state::Pages;
use super::visitor::PageVisitor;
use crate::gateway::origin::Origin;

impl FromRequestParts<Arc<Pages>> for PageContext {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Arc<Pages>) -> Result<Self, Response> {
        let Some(origin) = parts.extensions.get::<Origin>().copied() else {
            tracing::error!("page request without a client address");
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let context = Self {
            pages: pages.clone(),
            public: pages.config.get().url.clone(),
            address: origin.address,
            origin,
            now: pages.clock.now(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
        };
        context.exchange_session().await;
        if let (Some(visitor), Some(session)) = (parts.extensions.get::<PageVisitor>(), context.session()) {
            visitor.set(session.caller);
        }
        match refused(&context) {
            Some(page) => Err(page),
            None => Ok(context),
        }
    }
}

/// The page for a browser whose session is not accepted from its address. The session stays: it may be the cookie alone that came here. Signing
/// out, and in as another person, is possible.
fn refused(context: &PageContext) -> Option<Response> {
    let leaves = matches!(context.path.as_str(), "/login" | "/logout");
    let session = context.session_from_anywhere().filter(|_| !leaves)?;
    let rejection = context.pages.authenticator.refuse_address(&session.caller, context.origin).err()?;
    let text = html! {
        p { (display::sentence(&display::visible_text(rejection.message()))) }
        p { "The administrator of this gateway can change that." }
        p { a href=(context.link("/login")) { "Sign in as another person" } }
    };
    Some(layout::notice(context, StatusCode::FORBIDDEN, NoticeKind::Error, "Not accepted from this address", text))
}
