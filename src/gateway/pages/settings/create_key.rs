//! Creating a key from the form, and showing it.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};

use super::key_usage;
use super::list::day;
use super::new_key::{self, LIFETIMES, NewKeyForm, models_line, parse_limits, parse_models};
use crate::gateway::account::{self, Wanted};
use crate::gateway::pages::display;
use crate::gateway::pages::display::{KEYS, LOGIN_FOR_NEW_KEY, NEW_KEY, REVOKE_KEY};
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::form::FieldError;
use crate::gateway::pages::layout::{self, NoticeKind};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::reauthentication::{self, ReauthReason};
use crate::gateway::pages::state::Pages;
use crate::gateway::store::KeyRecord;
use crate::keyspec::{AddressError, AddressList, ApiKey, KeyId, Lifetime};

/// The only script of the pages: buttons that copy the new key and how to use it. Without it they are selected and copied by hand.
const SCRIPT: &str = include_str!("copy.js");
static VERSION: LazyLock<String> = LazyLock::new(|| layout::version(SCRIPT));

/// Marks a response whose page may run the script; no other page may run any.
#[derive(Clone, Copy)]
pub struct AllowsScript;

/// `POST /settings/keys`: creates a key as the API does, and shows it in the response, this once.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let Some(session) = context.session() else { return Ok(context.redirect(LOGIN_FOR_NEW_KEY)) };
    context.verify_session_form(&session, &form)?;
    let id: KeyId = form.get("id").parse().map_err(|_| {
        let text = html! { p { a href=(context.link(NEW_KEY)) { "Fill in a new form" } "." } };
        context.error_page(StatusCode::BAD_REQUEST, "The form is incomplete", text)
    })?;
    // Before the values are checked: a form that is sent twice has no errors to correct.
    if let Some(page) = already_created(&context, &session, &id).await {
        return Ok(page);
    }
    let values = NewKeyForm::read(id, &form);
    let wanted = match parse(&values) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(new_key::page(&context, &session, &values, Some(&error))),
    };
    if let Err(error) = reauthentication::confirm(&context, &session, &mut form, ReauthReason::Key).await? {
        return Ok(new_key::page(&context, &session, &values, Some(&error)));
    }
    match pages.accounts.make(&session.caller, &wanted, context.origin).await {
        Ok((record, key)) => Ok(new_key_page(&context, &session, &record, &key)),
        // The same form was sent twice at once, and the other request was faster.
        Err(rejection) if rejection.status() == 409 => {
            already_created(&context, &session, &values.id).await.ok_or_else(|| context.rejected(&rejection))
        }
        Err(rejection) if matches!(rejection.status(), 400 | 403) => {
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let message = display::sentence(&display::visible_text(rejection.message()));
            // Looked up again: the password may have been confirmed, or the session may have ended.
            let session = context.session().ok_or_else(|| ErrorPage::from(context.redirect(LOGIN_FOR_NEW_KEY)))?;
            Ok(new_key::page(&context, &session, &values, Some(&FieldError::new("", status, message))))
        }
        Err(rejection) => Err(context.rejected(&rejection)),
    }
}

/// The page for a form whose key exists already.
async fn already_created(context: &PageContext, session: &BrowserSession, id: &KeyId) -> Option<Response> {
    let key = context.pages.directory.key_by_id(id).await.ok().flatten();
    let key = key.filter(|key| key.user == session.user().id)?;
    Some(already_created_page(context, &key))
}

fn parse(values: &NewKeyForm) -> Result<Wanted, FieldError> {
    let wrong = |field, message: String| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
    let line = |field, text: &str| {
        account::name(field, text).map_err(|rejection| wrong(field, display::sentence(rejection.message())))
    };
    let name = line("name", &values.name)?;
    if values.scopes.is_empty() {
        return Err(wrong("scopes", "Choose at least one right.".to_owned()));
    }
    let models = parse_models(&values.models)
        .map_err(|error| wrong("models", display::sentence(&display::visible_text(&error.to_string()))))?;
    let limits = parse_limits(&values.limits)
        .map_err(|error| wrong("limits", display::sentence(&display::visible_text(&error))))?;
    let from: AddressList = values
        .from
        .parse()
        .map_err(|error: AddressError| wrong("from", display::sentence(&display::visible_text(&error.to_string()))))?;
    let lifetime = LIFETIMES.iter().find(|(value, _)| *value == values.expires);
    let lifetime = lifetime.ok_or_else(|| wrong("expires", "Choose an expiry.".to_owned()))?;
    let lifetime = if lifetime.0 == "never" { "never".parse() } else { format!("{}d", lifetime.0).parse() };
    let expires_in = match lifetime {
        Ok(Lifetime::Seconds(seconds)) => Some(seconds),
        Ok(Lifetime::Never) => None,
        Err(error) => return Err(wrong("expires", display::sentence(&format!("{error}")))),
    };
    let environment = match values.environment.trim() {
        "" => None,
        text => Some(line("environment", text)?),
    };
    Ok(Wanted {
        id: Some(values.id.to_string()),
        name: Some(name),
        environment,
        scopes: Some(values.scopes),
        models: Some(models),
        limits: Some(limits),
        from: Some(from),
        expires_in: Some(expires_in),
        ..Wanted::default()
    })
}

/// The page with the new key: the only place where it is ever shown.
fn new_key_page(context: &PageContext, session: &BrowserSession, record: &KeyRecord, key: &ApiKey) -> Response {
    let content = html! {
        section.card.form {
            div.done {
                p.badge.good aria-hidden="true" { "✓" }
                div {
                    h1 { "Your new API key" }
                    p.hint { "Copy it now. It is not shown again." }
                }
            }
            div.secret {
                p.label #key-label { "Key" }
                p { code #key aria-labelledby="key-label" translate="no" spellcheck="false" { (key.expose()) } }
                div.copying {
                    button.primary #copy type="button" hidden data-copies="key" { "Copy" }
                    span #copied .hint role="status" {}
                }
            }
            div.warning {
                p { "Anyone who has this key can use it. Store it in a password manager or a secret store, not in a shared file." }
            }
            dl.facts {
                dt { "Name" } dd { bdi dir="ltr" { (display::visible_text(&record.name)) } }
                dt { "Id" } dd.print { (record.id) }
                dt { "Rights" } dd { span.tags { @for scope in record.rights.scopes.iter() { code { (scope) } } } }
                dt { "Models" } dd {
                    @if record.rights.models.patterns().is_empty() { "all" } @else { (models_line(&record.rights.models)) }
                }
                @if !record.rights.addresses.is_empty() { dt { "Addresses" } dd { "only from " (record.rights.addresses) } }
                @if !record.rights.limits.is_none() { dt { "Limits" } dd { "at most " (record.rights.limits.in_words()) } }
                dt { "Expires" } dd { @match record.rights.expires_at { Some(end) => (day(end)), None => "never" } }
                @if let Some(environment) = &record.environment {
                    dt { "Environment" } dd { bdi dir="ltr" { (display::visible_text(environment)) } }
                }
            }
            (key_usage::section(context, record.rights.scopes, key))
            div.actions { a.button.quiet #done href=(context.link(KEYS)) { "I have copied it" } }
        }
        (copy_script_tag(context))
    };
    let mut response = layout::page(context, StatusCode::CREATED, "Your new API key", Some(session), content);
    response.extensions_mut().insert(AllowsScript);
    response
}

/// The page for a form that comes again, by a reload or a second click: no second key, and the first is not shown again.
fn already_created_page(context: &PageContext, key: &KeyRecord) -> Response {
    let revoke = context.link(&format!("{REVOKE_KEY}?id={}", key.id));
    let text = html! {
        p { "This form created the key " bdi.device dir="ltr" { (display::visible_text(&key.name)) } ". It does not create a second one, and a key is shown only once." }
        p.detail { span.print { (key.id) } ", created " (display::date(key.created_at)) }
        p {
            "If you did not copy it: " a href=(revoke) { "revoke it" } " and "
            a href=(context.link(NEW_KEY)) { "create another" } ". Otherwise go to " a href=(context.link(KEYS)) { "your keys" } "."
        }
    };
    layout::notice(context, StatusCode::CONFLICT, NoticeKind::Info, "This key was already created", text)
}

/// `GET /assets/copy.js`.
pub async fn copy_script() -> Response {
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, layout::ASSET_CACHE_CONTROL)], SCRIPT).into_response()
}

/// The tag that loads it.
pub fn copy_script_tag(context: &PageContext) -> Markup {
    html! { script defer src={ (context.link("/assets/copy.js")) "?v=" (*VERSION) } {} }
}
