//! The headers that every page carries, and the answers to requests for what is no page.

use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::html;

use super::page_context::{Answer, PageContext};
use super::settings::Scripted;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// Of the page with a new key, which has a button that copies it.
const POLICY_WITH_SCRIPT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// `same-origin` and not `no-referrer`: with the latter browsers send `Origin: null` with our own forms, and a POST from another site
/// could not be told from one of ours.
const EVERYWHERE: [(HeaderName, &str); 4] = [
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Adds them.
pub async fn protect(mut response: Response) -> Response {
    let scripted = response.extensions().get::<Scripted>().is_some();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, if scripted { POLICY_WITH_SCRIPT } else { POLICY });
    for (name, value) in EVERYWHERE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// For any other path.
pub async fn no_such_page(context: PageContext) -> Answer {
    let text = html! { p { "Check the address, or go to " a href=(context.link("/account")) { "your account" } "." } };
    Err(context.error_page(StatusCode::NOT_FOUND, "There is no such page", text))
}

/// For a page that is asked for in another way than it is there for.
pub async fn no_such_method(context: PageContext) -> Answer {
    let text =
        html! { p { "Go to " a href=(context.link("/account")) { "your account" } " and try again from there." } };
    Err(context.error_page(StatusCode::METHOD_NOT_ALLOWED, "That does not work here", text))
}
