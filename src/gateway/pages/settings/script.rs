//! The one script that there is: a button that copies a new key. Without it the key is selected and copied by hand.
//!
//! Only the page with the key may run it; all others run none.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use maud::{Markup, html};

use crate::gateway::pages::layout;
use crate::gateway::pages::page_context::PageContext;

const SCRIPT: &str = include_str!("copy.js");
static VERSION: LazyLock<String> = LazyLock::new(|| layout::version(SCRIPT));

/// Marks an answer that may run it.
#[derive(Clone, Copy)]
pub struct Scripted;

/// `GET /assets/copy.js`.
pub async fn serve() -> Response {
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, layout::KEPT)], SCRIPT).into_response()
}

/// What asks for it. It is run when the page is there.
pub fn tag(context: &PageContext) -> Markup {
    html! { script defer src={ (context.link("/assets/copy.js")) "?v=" (*VERSION) } {} }
}
