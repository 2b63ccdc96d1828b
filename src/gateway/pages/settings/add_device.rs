//! Adding a device by its public key: for a machine that shows nothing but that line in its log, such as a stock Ollama server.
//!
//! Unlike an approval it needs no request of the device. A device that already belongs to another account is refused: its public key
//! is no secret, and who knows it must not be able to take it over.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use crate::gateway::account;
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::pages::display::{self, CONNECT, DEVICES, NEW_DEVICE};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::{Field, FieldError, alert, hidden};
use crate::gateway::pages::layout::{self, NoticeKind};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::reauthentication::{self, ReauthReason};
use crate::gateway::pages::state::{MOST_DEVICES, Pages};
use crate::gateway::store::{Actor, Change, Device, Event};
use crate::identity::PublicKey;

const KEY: &str = "public-key";
const NAME: &str = "name";

/// `GET /settings/devices/new`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    Ok(page(&context, &session, "", "", None))
}

fn page(
    context: &PageContext,
    session: &BrowserSession,
    line: &str,
    name: &str,
    error: Option<&FieldError>,
) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let content = html! {
        section.card.form {
            div {
                h1 { "Add a device" }
                p.hint {
                    "For a machine without a browser. A device that can open a link signs in with "
                    code { "ollama-auth signin" } " instead. It also shows a code, which you can "
                    a href=(context.link(CONNECT)) { "type here" } "."
                }
            }
            (alert(error.map(|error| error.message.as_str())))
            form #add-device method="post" action=(context.link(NEW_DEVICE)) {
                (hidden("csrf", &context.csrf_token(session)))
                (reauthentication::sign_in_again(context, session, ReauthReason::Device, NEW_DEVICE))
                (key_field(line, error.is_none() || is_wrong(KEY), is_wrong(KEY)))
                (Field {
                    name: NAME,
                    label: "Name",
                    kind: "text",
                    autocomplete: "off",
                    value: &display::visible_text(name),
                    hint: "What you call the machine, such as build-server.",
                    longest: account::LONGEST_NAME,
                    optional: false,
                    autofocus: is_wrong(NAME),
                }.render(is_wrong(NAME)))
                div.warning {
                    p { "The machine with this key can use this gateway as " strong { (session.user().name) }
                        ". Add only a key that you copied from your own machine." }
                }
                (reauthentication::field(context, session, ReauthReason::Device, is_wrong("password")))
                div.actions {
                    button.primary type="submit" { "Add the device" }
                    a.button.quiet href=(context.link(DEVICES)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Add a device" } else { "Add a device" };
    layout::page(context, status, title, Some(session), content)
}

fn key_field(line: &str, autofocus: bool, is_wrong: bool) -> Markup {
    html! {
        div.field {
            label for=(KEY) { "Public key" }
            textarea id=(KEY) name=(KEY) rows="3" maxlength="1024" required autocapitalize="none" autocomplete="off" spellcheck="false"
                aria-describedby={ (KEY) "-hint" @if is_wrong { " form-error" } } aria-invalid=[is_wrong.then_some("true")]
                autofocus[autofocus] { "\n" (line) }
            p.hint id={ (KEY) "-hint" } {
                "One line that begins with " code { "ssh-ed25519" } ". Ollama writes it to its log when it creates its key, and it is in "
                code { "~/.ollama/id_ed25519.pub" } "."
            }
        }
    }
}

enum Outcome {
    Added,
    /// Or the account was changed.
    SessionEnded,
    TooManyDevices,
    OfAnotherAccount,
}

/// `POST /settings/devices/new`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let session = context.require_session()?;
    context.verify_session_form(&session, &form)?;
    let (line, name) = (form.get(KEY).trim().to_owned(), form.get(NAME).to_owned());
    let wrong = |field, message: String| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
    let key = match parse_key(&line) {
        Ok(key) => key,
        Err((shown, message)) => return Ok(page(&context, &session, shown, &name, Some(&wrong(KEY, message)))),
    };
    if context.pages.directory.device(&key).is_some_and(|known| known.user.id == session.user().id) {
        return Ok(added_page(&context, "This device is already yours", &key));
    }
    let name = match account::name("the name", &name) {
        Ok(name) => display::visible_name(&name),
        Err(rejection) => {
            let error = wrong(NAME, display::sentence(rejection.message()));
            return Ok(page(&context, &session, &line, &name, Some(&error)));
        }
    };
    if let Err(error) = reauthentication::confirm(&context, &session, &mut form, ReauthReason::Device).await? {
        return Ok(page(&context, &session, &line, &name, Some(&error)));
    }
    let fails = |status, message: String| {
        // Looked up again: the password may have been confirmed.
        let session = context.session();
        let shown =
            session.map(|session| page(&context, &session, &line, &name, Some(&FieldError::new(KEY, status, message))));
        Ok(shown.unwrap_or_else(|| context.redirect("/login")))
    };
    match add(&pages, &context, session, key.clone(), name.clone()).await {
        Ok(Outcome::Added) => Ok(added_page(&context, "Device added", &key)),
        Ok(Outcome::SessionEnded) => Ok(context.redirect("/login")),
        Ok(Outcome::TooManyDevices) => {
            let message =
                format!("Your account already has {MOST_DEVICES} devices, the maximum. Disconnect some first.");
            fails(StatusCode::FORBIDDEN, message)
        }
        Ok(Outcome::OfAnotherAccount) => {
            let message = "This device belongs to another account. It must be disconnected there first.";
            fails(StatusCode::CONFLICT, message.to_owned())
        }
        Err(error) => Err(context.change_failed(&error)),
    }
}

/// The key; or what may be shown again, and why it is not a key.
fn parse_key(line: &str) -> Result<PublicKey, (&str, String)> {
    if line.contains("PRIVATE KEY") {
        let message = "This is a private key. Keep it secret: paste the line of the .pub file beside it. \
                       If this gateway is not yours, replace the key.";
        return Err(("", message.to_owned()));
    }
    PublicKey::from_line(line).map_err(|error| (line, display::sentence(&display::visible_text(&error.to_string()))))
}

async fn add(
    pages: &Arc<Pages>,
    context: &PageContext,
    session: BrowserSession,
    key: PublicKey,
    name: String,
) -> Result<Outcome, DirectoryError> {
    let user = session.user().id;
    let event = Event::new(context.now, Actor::user(session.user()), "device.added", key.fingerprint())
        .of_account(session.user())
        .charged_to(user)
        .from(context.origin)
        .with("name", &name);
    let device = Device { key: key.clone(), user, name, created_at: context.now, last_used_at: None, suspended: None };
    let (pages, by, clock) = (pages.clone(), session.caller, pages.clock.clone());
    // In a task of its own, which ends even if the browser disconnects.
    let added = tokio::spawn(async move {
        let _decision = pages.pending_devices.decide().await;
        if pages.directory.devices_of(user).len() >= MOST_DEVICES {
            return Ok(Outcome::TooManyDevices);
        }
        let of = move |directory: &Directory, key: &PublicKey| directory.device(key).map(|known| known.user.id);
        let may = {
            let key = key.clone();
            move |directory: &Directory| {
                by.holds(directory, clock.now()) && of(directory, &key).is_none_or(|owner| owner == user)
            }
        };
        if !pages.directory.commit_if(Change::AddDevice(device), event, may).await? {
            let is_foreign = of(&pages.directory, &key).is_some_and(|owner| owner != user);
            return Ok(if is_foreign { Outcome::OfAnotherAccount } else { Outcome::SessionEnded });
        }
        // Otherwise its own request could still be approved for another account.
        pages.pending_devices.settle(&key);
        Ok(Outcome::Added)
    });
    added.await.unwrap_or(Err(DirectoryError::Ending))
}

fn added_page(context: &PageContext, title: &str, key: &PublicKey) -> Response {
    let text = html! {
        p { "It can use this gateway with your account." }
        p.detail { span.print { (key.grouped_fingerprint()) } }
        p { "On the device, run for example:" }
        pre { code { "OLLAMA_AUTH=1 OLLAMA_HOST=" (context.public) " ollama run MODEL" } }
        p { a href=(context.link(DEVICES)) { "Your keys and devices" } }
    };
    layout::notice(context, StatusCode::OK, NoticeKind::Success, title, text)
}
