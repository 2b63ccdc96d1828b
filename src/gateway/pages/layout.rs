//! What all pages have in common: the frame, the notice, the stylesheet.
//!
//! Maud escapes everything that is written out. No page has a style of its own, and only that of a new key a script.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::display;
use super::form::hidden;
use super::page_context::{BrowserSession, PageContext};

const STYLE: &str = include_str!("style.css");

const ICON: &str = include_str!("icon.svg");

static ICON_VERSION: LazyLock<String> = LazyLock::new(|| version(ICON));
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));
/// Lets browsers store the stylesheet, the icon and the script for a day.
pub const ASSET_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// A part of a file's address that changes whenever the file does, so that a browser may keep it.
pub fn version(file: &str) -> String {
    Sha256::digest(file)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The kind of a notice.
#[derive(Clone, Copy)]
pub enum NoticeKind {
    /// The request was carried out.
    Success,
    /// Information.
    Info,
    /// The request was not carried out.
    Error,
}

/// `GET /assets/style.css`.
pub async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, ASSET_CACHE_CONTROL)], STYLE).into_response()
}

/// `GET /assets/icon.svg`, and `/favicon.ico`, which browsers ask for beside what is no page.
pub async fn icon() -> Response {
    let kind = HeaderValue::from_static("image/svg+xml");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, ASSET_CACHE_CONTROL)], ICON).into_response()
}

/// `GET /assets/signed-out.css`: an empty stylesheet whose header tells the browser to drop the pages it holds for its back button.
///
/// Some browsers hold them in spite of `no-store`, and drop them only for a resource that a later page loads. Over plain http they do
/// so on loopback only.
pub async fn signed_out() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let clear_cache = (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\""));
    ([(CONTENT_TYPE, kind), clear_cache], "").into_response()
}

/// A whole page.
pub fn page(
    context: &PageContext,
    status: StatusCode,
    title: &str,
    session: Option<&BrowserSession>,
    content: Markup,
) -> Response {
    page_with_head(context, status, title, session, html! {}, content)
}

/// The same with more in its head.
pub fn page_with_head(
    context: &PageContext,
    status: StatusCode,
    title: &str,
    session: Option<&BrowserSession>,
    head: Markup,
    content: Markup,
) -> Response {
    let style = format!("{}?v={}", context.link("/assets/style.css"), *STYLE_VERSION);
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · ollama-auth gateway" }
                (head)
                link rel="icon" type="image/svg+xml" href={ (context.link("/assets/icon.svg")) "?v=" (*ICON_VERSION) };
                link rel="stylesheet" href=(style);
                @if context.follows_sign_out() { link rel="stylesheet" href=(context.link("/assets/signed-out.css")); }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div.bar {
                        p.brand { span.mark aria-hidden="true" {} "ollama-auth gateway" }
                        @if let Some(session) = session { (navigation(context, session)) }
                    }
                }
                @if session.is_some() { (maintenance(context)) }
                main #content { (content) }
                footer { p { (context.public) } }
            }
        }
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], whole.into_string()).into_response()
}

/// The maintenance message. Strangers do not see it.
fn maintenance(context: &PageContext) -> Markup {
    let maintenance = context.pages.directory.maintenance(context.now);
    html! {
        @if let Some(maintenance) = maintenance {
            div.maintenance role="status" {
                p {
                    strong { "Maintenance: " }
                    bdi dir="ltr" { (display::visible_text(&maintenance.message)) }
                    @if maintenance.refuses { " Requests to models are refused meanwhile." }
                    @if let Some(until) = maintenance.until { " Until " time { (display::date(until)) } "." }
                }
            }
        }
    }
}

/// The navigation for a person who is signed in.
fn navigation(context: &PageContext, session: &BrowserSession) -> Markup {
    let current = |path: &str| (context.path == path).then_some("page");
    html! {
        nav aria-label="Pages" {
            a #nav-keys href=(context.link("/settings/keys")) aria-current=[current("/settings/keys")] { "Keys and devices" }
            a #nav-usage href=(context.link("/usage")) aria-current=[current("/usage")] { "Usage" }
            @if session.caller.administrates() {
                @let is_here = (context.path == "/admin" || context.path.starts_with("/admin/")).then_some("page");
                a #nav-admin href=(context.link("/admin")) aria-current=[is_here] { "Admin" }
            } @else if session.caller.audits() {
                a #nav-audit href=(context.link("/admin/audit")) aria-current=[current("/admin/audit")] { "Event log" }
            }
            a #nav-account href=(context.link("/account")) aria-current=[current("/account")] title=(session.user().name) {
                span.unseen { "Account of " } (session.user().name)
            }
        }
        form #sign-out method="post" action=(context.link("/logout")) {
            (hidden("csrf", &context.csrf_token(session)))
            button.quiet type="submit" { "Sign out" }
        }
    }
}

/// A page with one message.
pub fn notice(context: &PageContext, status: StatusCode, kind: NoticeKind, title: &str, text: Markup) -> Response {
    let session = context.session();
    let (class, icon) = match kind {
        NoticeKind::Success => ("badge good", "✓"),
        NoticeKind::Info => ("badge", "i"),
        NoticeKind::Error => ("badge bad", "!"),
    };
    let content = html! {
        section.card.notice {
            p class=(class) aria-hidden="true" { (icon) }
            h1 { (title) }
            (text)
        }
    };
    page(context, status, title, session.as_ref(), content)
}
