//! Finding a device by the short code that it shows: `/connect` without a device. For a terminal from which a link can be neither opened nor
//! copied. A code only leads to the page where the fingerprints are compared.
//!
//! Only a signed-in person can try codes, and as slowly as passwords: for each account, and for each address.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::RETRY_AFTER;
use maud::html;

use super::display::{self, ACCOUNT, AfterSignIn, CONNECT, DeviceLink};
use super::error_page::PageResult;
use super::form::{Field, FieldError, alert, hidden};
use super::page_context::{BrowserSession, PageContext};
use super::state::Pages;
use super::{layout, sign_in};
use crate::gateway::account;
use crate::gateway::pending_devices::{DeviceCode, PendingDevice};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, Event};

/// Where the form is sent.
pub const PATH: &str = "/connect/code";

const CODE: &str = "code";
const NAME: &str = "name";
/// In characters, of what is typed as a code: more than eight letters with what people put between them.
const LONGEST_CODE: usize = 20;

/// `GET /connect` without a device.
///
/// # Errors
/// As every page.
pub fn show(context: &PageContext) -> PageResult {
    match context.session() {
        Some(session) => Ok(page(context, &session, "", "", None)),
        None => sign_in::page(context, StatusCode::OK, &AfterSignIn::DeviceCode, "", None),
    }
}

fn page(
    context: &PageContext,
    session: &BrowserSession,
    code: &str,
    name: &str,
    error: Option<&FieldError>,
) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let code = Field {
        name: CODE,
        label: "Code",
        kind: "text",
        autocomplete: "off",
        value: &display::visible_text(code),
        hint: "The 8 letters that the device shows, such as WDJB-MJHT.",
        longest: LONGEST_CODE,
        optional: false,
        autofocus: !is_wrong(NAME),
    };
    let name = Field {
        name: NAME,
        label: "Name",
        value: &display::visible_name(name),
        hint: "What you call the machine, such as build-server.",
        longest: account::LONGEST_NAME,
        optional: true,
        autofocus: is_wrong(NAME),
        ..code
    };
    let content = html! {
        section.card.narrow {
            h1 { "Approve a device by its code" }
            p.lead { "Type the code that " code { "ollama-auth signin" } " shows on the device." }
            (alert(error.map(|error| error.message.as_str())))
            form #device-code method="post" action=(context.link(PATH)) {
                (hidden("csrf", &context.csrf_token(session)))
                (code.render(is_wrong(CODE)))
                (name.render(is_wrong(NAME)))
                div.warning {
                    p { "Type only a code that your own terminal shows. Nobody else needs you to type one." }
                }
                div.actions {
                    button.primary type="submit" { "Continue" }
                    a.button.quiet href=(context.link(ACCOUNT)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Approve a device" } else { "Approve a device" };
    layout::page(context, status, title, Some(session), content)
}

/// `POST /connect/code`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let form = context.form(body).await?;
    let Some(session) = context.session() else {
        // The session ended while the page was open.
        return Ok(context.redirect(CONNECT));
    };
    context.verify_session_form(&session, &form)?;
    let (typed, name) = (form.get(CODE), form.get(NAME));
    let wrong = |field, status, message: String| {
        page(&context, &session, typed, name, Some(&FieldError::new(field, status, message)))
    };
    let name_given = match name.trim() {
        "" => None,
        name => match account::name("the name", name) {
            Ok(name) => Some(display::visible_name(&name)),
            Err(rejection) => {
                let message = display::sentence(rejection.message());
                return Ok(wrong(NAME, StatusCode::UNPROCESSABLE_ENTITY, message));
            }
        },
    };
    let code: DeviceCode = match typed.parse() {
        Ok(code) => code,
        Err(error) => {
            let message = display::sentence(&display::capitalized(&format!("{error}")));
            return Ok(wrong(CODE, StatusCode::UNPROCESSABLE_ENTITY, message));
        }
    };
    if let Err(wait) = context.count_attempt(&counted_as(&session), None).await {
        record(&context, &session, RefusalCode::TooManyAttempts);
        let seconds = wait.as_secs() + 1;
        let message = format!("Too many codes. Wait {seconds} seconds, then try again.");
        let mut response = wrong(CODE, StatusCode::TOO_MANY_REQUESTS, message);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let Some(device) = find(&pages, &context, &code).await else {
        record(&context, &session, RefusalCode::UnknownCode);
        let message = "No device with this code waits for its approval. A code is valid for 10 minutes: \
                       if it is older, run the sign-in on the device again.";
        return Ok(wrong(CODE, StatusCode::NOT_FOUND, message.to_owned()));
    };
    let name = name_given.unwrap_or_else(|| format!("device at {}", device.address));
    Ok(context.redirect(&DeviceLink { name, key: device.key }.path()))
}

/// The device with that code. One that asked at another gateway a moment ago may not be known here yet.
async fn find(pages: &Pages, context: &PageContext, code: &DeviceCode) -> Option<PendingDevice> {
    let (pending, code, now) = (&pages.pending_devices, *code, context.now);
    // It computes the codes of all pending devices, which takes too long for a thread that serves others.
    let find = || {
        let pending = pending.clone();
        let found = tokio::task::spawn_blocking(move || pending.find_by_code(&code, now));
        async { found.await.ok().flatten() }
    };
    let found = find().await;
    if found.is_some() || !pages.directory.is_shared() {
        return found;
    }
    if let Err(error) = pages.directory.catch_up().await {
        tracing::warn!(%error, "devices of other gateways could not be read");
    }
    find().await
}

/// What the codes of an account are counted by. No account has a name like that, so it does not share the limit of its passwords.
fn counted_as(session: &BrowserSession) -> String {
    format!("codes of devices, typed by {}", session.user().id)
}

fn record(context: &PageContext, session: &BrowserSession, code: RefusalCode) {
    let user = session.user();
    let event = Event::new(context.now, Actor::user(user), "device.code_refused", &user.name).of_account(user);
    context.pages.refusals.note(event.refused(code).from(context.origin));
}
