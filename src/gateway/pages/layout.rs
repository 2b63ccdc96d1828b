//! What all pages have in common: the frame, the notice, the fields of forms.
//!
//! Maud escapes everything that is written out. No page has a style of its own, and only that of a new key a script.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::page_context::{PageContext, SignedIn};
use super::sign_in;

const STYLE: &str = include_str!("style.css");

static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));
/// For how long a browser keeps the stylesheet and the script.
pub const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// A part of a file's address that changes whenever the file does, so that a browser may keep it.
pub fn version(file: &str) -> String {
    Sha256::digest(file)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a notice is meant.
#[derive(Clone, Copy)]
pub enum Tone {
    /// Done as wished.
    Good,
    /// Just so that one knows.
    Plain,
    /// Not done.
    Bad,
}

/// `GET /assets/style.css`.
pub async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, KEPT)], STYLE).into_response()
}

/// `GET /assets/signed-out.css`: no style, but the word to the browser to drop the pages that it keeps for its back button.
///
/// Some keep them in spite of `no-store`, and drop them only for something that a page after them loads. Over plain http they do so
/// on loopback alone.
pub async fn signed_out() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let drop = (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\""));
    ([(CONTENT_TYPE, kind), drop], "").into_response()
}

/// A whole page.
pub fn page(
    context: &PageContext,
    status: StatusCode,
    title: &str,
    session: Option<&SignedIn>,
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
                link rel="stylesheet" href=(style);
                @if sign_in::has_just_left(context) { link rel="stylesheet" href=(context.link("/assets/signed-out.css")); }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div.bar {
                        p.brand { span.mark aria-hidden="true" {} "ollama-auth gateway" }
                        @if let Some(session) = session { (who(context, session)) }
                    }
                }
                main #content { (content) }
                footer { p { (context.public) } }
            }
        }
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], whole.into_string()).into_response()
}

/// The way around, for who is signed in.
fn who(context: &PageContext, session: &SignedIn) -> Markup {
    let current = |path: &str| (context.path == path).then_some("page");
    html! {
        nav aria-label="Pages" {
            a #nav-keys href=(context.link("/settings/keys")) aria-current=[current("/settings/keys")] { "Keys and devices" }
            a #nav-account href=(context.link("/account")) aria-current=[current("/account")] title=(session.user().name) {
                span.unseen { "Account of " } (session.user().name)
            }
        }
        form #sign-out method="post" action=(context.link("/logout")) {
            (hidden("csrf", &context.token(session)))
            button.quiet type="submit" { "Sign out" }
        }
    }
}

/// A page that says one thing.
pub fn notice(context: &PageContext, status: StatusCode, tone: Tone, title: &str, text: Markup) -> Response {
    let session = context.signed_in();
    let (class, sign) = match tone {
        Tone::Good => ("badge good", "✓"),
        Tone::Plain => ("badge", "i"),
        Tone::Bad => ("badge bad", "!"),
    };
    let content = html! {
        section.card.notice {
            p class=(class) aria-hidden="true" { (sign) }
            h1 { (title) }
            (text)
        }
    };
    page(context, status, title, session.as_ref(), content)
}

/// A field that is not shown.
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// What went wrong with a form, above its fields.
pub fn alert(message: Option<&str>) -> Markup {
    html! { @if let Some(message) = message { p.alert #trouble role="alert" { (message) } } }
}

/// A field of a form.
pub struct Field<'a> {
    /// Its name and id.
    pub name: &'a str,
    /// What stands above it.
    pub label: &'a str,
    /// `text`, `email`, `password`.
    pub kind: &'a str,
    /// What a password manager is told.
    pub autocomplete: &'a str,
    /// What is in it.
    pub value: &'a str,
    /// What stands below it; may be empty.
    pub hint: &'a str,
    /// In characters. A password is not cut: it is told when it is too long.
    pub longest: usize,
    /// It can be left empty.
    pub optional: bool,
    /// The cursor starts here.
    pub first: bool,
}

impl Field<'_> {
    /// The field, marked when the form is shown again because of trouble.
    pub fn show(&self, trouble: bool) -> Markup {
        let hint_id = format!("{}-hint", self.name);
        let described: Vec<&str> = [(!self.hint.is_empty()).then_some(hint_id.as_str()), trouble.then_some("trouble")]
            .into_iter()
            .flatten()
            .collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        let password = self.kind == "password";
        html! {
            div.field {
                label for=(self.name) { (self.label) @if self.optional { " " span.optional { "optional" } } }
                input id=(self.name) name=(self.name) type=(self.kind) autocomplete=(self.autocomplete)
                    value=[(!password).then_some(self.value)] required[!self.optional] maxlength=[(!password).then_some(self.longest)] autofocus[self.first]
                    autocapitalize="none" spellcheck="false" aria-describedby=[described]
                    aria-invalid=[trouble.then_some("true")];
                @if !self.hint.is_empty() { p.hint id=(hint_id) { (self.hint) } }
            }
        }
    }
}
