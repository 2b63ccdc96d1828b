//! Approving a device: `/connect?name=…&key=…`.
//!
//! The link proves nothing, so it is taken only for a pending device, and the person is told to compare fingerprints. A device
//! outlives the sign-in and can make keys, so it takes the password as lately as a key does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::form::Form;
use super::layout::{self, Tone, alert, hidden};
use super::page_context::{Answer, ErrorPage, PageContext, SignedIn};
use super::reauthentication::{self, ReauthReason, Trouble};
use super::sign_in::{self, Next};
use super::text;
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::pages::state::Pages;
use crate::gateway::pending_devices::PendingDevice;
use crate::gateway::store::{Change, Device, Event};
use crate::identity::{ConnectUrl, PublicKey};
use crate::relative_time;

/// Devices of one account: they are all on one page, and a device can be had by whoever asks for one.
const MOST_DEVICES: usize = 1000;

/// The device that a link or form is about.
pub struct Link {
    /// In its visible form.
    name: String,
    key: PublicKey,
}

impl Link {
    fn from_query(context: &PageContext) -> Result<Self, ErrorPage> {
        let parsed = ConnectUrl::parse(&context.public.join(&format!("/connect?{}", context.query)));
        let link = parsed.map_err(|error| {
            let text = html! {
                p { "It may have been cut off when it was copied. Run the sign-in again on the device and open the whole link." }
                p.detail { "What is wrong: " (text::visible_long(&error.to_string())) }
            };
            context.error_page(StatusCode::BAD_REQUEST, "This link is not complete", text)
        })?;
        Ok(Self { name: text::visible(link.device_name()), key: link.key().clone() })
    }

    /// The device that a form names, if it does, with its name in that field.
    pub fn from_form(form: &Form, name_field: &str) -> Option<Self> {
        let key = PublicKey::from_encoded(form.get("key")).ok()?;
        Some(Self { name: text::visible(form.get(name_field)), key })
    }

    /// The name, set apart from the text around it.
    pub fn name(&self) -> Markup {
        match self.name.as_str() {
            "" => html! { em { "without a name" } },
            name => html! { bdi.device dir="ltr" { (name) } },
        }
    }

    /// The fields by which a form leads back here.
    pub fn fields(&self, name_field: &str) -> Markup {
        html! { (hidden("key", &self.key.encoded())) (hidden(name_field, &self.name)) }
    }

    /// The page about this device.
    pub fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("name", &self.name).append_pair("key", &self.key.encoded());
        format!("/connect?{}", query.finish())
    }
}

/// `GET /connect`.
pub async fn show(context: PageContext) -> Answer {
    let link = Link::from_query(&context)?;
    let session = context.signed_in();
    if let Some(session) = &session
        && is_mine(&context, session, &link.key)
    {
        return Ok(done(&context, "This device is signed in"));
    }
    let device = context.pages.pending_devices.find(&link.key, context.now).ok_or_else(|| not_pending(&context))?;
    match session {
        Some(session) => Ok(ask(&context, &session, &link, &device, None)),
        None => sign_in::page(&context, StatusCode::OK, &Next::Device(Box::new(link)), "", None),
    }
}

fn ask(
    context: &PageContext,
    session: &SignedIn,
    link: &Link,
    device: &PendingDevice,
    trouble: Option<&Trouble>,
) -> Response {
    let moves = context.pages.directory.device(&link.key).is_some();
    let content = html! {
        section.card {
            h1 { "Approve this device?" }
            p.lead { (link.name()) " asks to use this gateway as " strong { (session.user().name) } "." }
            div.compare {
                p.label #fingerprint-label { "Fingerprint of its key" }
                p.fingerprint aria-labelledby="fingerprint-label" { (grouped(&link.key)) }
            }
            div.warning {
                p { strong { "Compare it with the fingerprint that your terminal shows." } }
                p { "Approve only if you have just started the sign-in yourself and the two are the same. If they differ, or you \
                     did not start it, somebody else wants to use your account: deny it." }
            }
            dl.facts {
                dt { "Asked from" } dd { (device.address) @if is_neighbour(context, device) { " (the same address as yours)" } }
                dt { "Asked" } dd { (relative_time::ago(device.at, context.now)) " (" (text::date(device.at)) ")" }
                dt { "Calls itself" } dd { (link.name()) }
            }
            @if moves { p.alert { "This device is signed in to another account. Approving it moves it to yours." } }
            (alert(trouble.map(|(_, text)| text.as_str())))
            form #decide method="post" action=(context.link("/connect")) {
                (hidden("csrf", &context.token(session)))
                (link.fields("name"))
                @if !session.fresh { (reauthentication::field(ReauthReason::Device, trouble.is_some())) }
                div.actions {
                    button.primary #approve type="submit" name="decision" value="approve" { "Approve" }
                    button.danger #deny type="submit" name="decision" value="deny" formnovalidate { "Deny" }
                }
            }
        }
    };
    let status = trouble.map_or(StatusCode::OK, |(status, _)| *status);
    let title = if trouble.is_some() { "Not yet: approve this device?" } else { "Approve this device?" };
    layout::page(context, status, title, Some(session), content)
}

/// Whether the device asked from where the person is. Where a proxy hides who is who, everybody seems to be in one place, and saying so
/// would make a stranger's device look like one's own.
fn is_neighbour(context: &PageContext, device: &PendingDevice) -> bool {
    let config = context.pages.config.get();
    let proxied = config.behind_tls_proxy
        || (context.pages.config.get().local.ip().is_loopback() && !context.public.is_loopback());
    let told = !config.trusted_proxies.is_empty();
    let is_proxy = config.trusted_proxies.iter().any(|proxies| proxies.contains(&context.address));
    device.address == context.address && (told || !proxied) && !is_proxy
}

/// The fingerprint in groups that the eye can hold. Between them is a blank, so that a copy is what the terminal shows.
fn grouped(key: &PublicKey) -> Markup {
    let grouped = key.grouped_fingerprint();
    let mut groups = grouped.split(' ');
    html! { span.kind { (groups.next().unwrap_or_default()) } @for group in groups { " " span { (group) } } }
}

/// `POST /connect`.
pub async fn decide(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let mut form = context.form(body).await?;
    let link = Link::from_form(&form, "name").ok_or_else(|| {
        let text = html! { p { "The form names no device. Open the link of the sign-in again." } };
        context.error_page(StatusCode::BAD_REQUEST, "Nothing was done", text)
    })?;
    let Some(session) = context.signed_in() else {
        // The session ended while the page was open.
        return Ok(context.redirect(&link.path()));
    };
    context.check_session(&session, &form)?;
    if is_mine(&context, &session, &link.key) {
        return Ok(done(&context, "This device is signed in"));
    }
    match form.get("decision") {
        "approve" => {
            // Said before the password is asked for: there is nothing that it would be good for.
            let device = pages.pending_devices.find(&link.key, context.now).ok_or_else(|| not_pending(&context))?;
            match reauthentication::confirm(&context, &session, &mut form, ReauthReason::Device).await? {
                Ok(()) => approve(pages, context, session, link).await,
                Err(trouble) => Ok(ask(&context, &session, &link, &device, Some(&trouble))),
            }
        }
        "deny" => deny(pages, context, session, link).await,
        _ => {
            let text = html! { p { "The form says neither to approve nor to deny." } };
            Err(context.error_page(StatusCode::BAD_REQUEST, "Nothing was done", text))
        }
    }
}

/// What became of an approval.
enum Made {
    Approved,
    /// The session ended, or the account was changed, meanwhile.
    NotAnyMore,
    NotPending,
    Full,
}

async fn approve(pages: Arc<Pages>, context: PageContext, session: SignedIn, link: Link) -> Answer {
    let before = pages.directory.device(&link.key).map(|known| format!(", before that of {}", known.user.name));
    let event = event(&context, &session, &link, "device.approved", before.unwrap_or_default());
    let path = link.path();
    let device =
        Device { key: link.key, user: session.user().id, name: link.name, created_at: context.now, last_used_at: None };
    let (now, by, clock) = (context.now, session.caller, pages.clock.clone());
    // In a task of its own: a browser that leaves does not separate the change from what belongs to it.
    let made = tokio::spawn(async move {
        let _one_decides = pages.pending_devices.decide().await;
        let key = device.key.clone();
        if pages.pending_devices.find(&key, now).is_none() {
            return Ok(Made::NotPending);
        }
        if pages.directory.devices_of(device.user).len() >= MOST_DEVICES {
            return Ok(Made::Full);
        }
        let still = move |directory: &Directory| by.holds(directory, clock.now());
        if !pages.directory.commit_if(Change::AddDevice(device), event, still).await? {
            return Ok(Made::NotAnyMore);
        }
        pages.pending_devices.settle(&key);
        Ok(Made::Approved)
    });
    match made.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(Made::Approved) => Ok(done(&context, "Device approved")),
        // To the question again, or to the sign-in before it.
        Ok(Made::NotAnyMore) => Ok(context.redirect(&path)),
        Ok(Made::NotPending) => Err(not_pending(&context)),
        Ok(Made::Full) => {
            let text = html! {
                p { "Your account has as many devices as it may have: " (MOST_DEVICES) "." }
                p { "Disconnect those that are not used any more on " a href=(context.link("/settings/keys#devices")) { "the page of your devices" } ", then open the link again." }
            };
            Err(context.error_page(StatusCode::FORBIDDEN, "The device was not approved", text))
        }
        Err(error) => Err(context.broken(&error.to_string())),
    }
}

async fn deny(pages: Arc<Pages>, context: PageContext, session: SignedIn, link: Link) -> Answer {
    let event = event(&context, &session, &link, "device.denied", String::new());
    let (now, key) = (context.now, link.key);
    let made = tokio::spawn(async move {
        let _one_decides = pages.pending_devices.decide().await;
        if pages.pending_devices.find(&key, now).is_none() {
            return Ok(false);
        }
        // The no counts even if it cannot be written down.
        pages.pending_devices.deny(&key);
        pages.directory.commit(Change::Note, event).await.map(|()| true)
    });
    match made.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(true) => {}
        Ok(false) => return Err(not_pending(&context)),
        Err(error) => tracing::warn!(%error, "a refusal could not be recorded"),
    }
    let text = html! {
        p { "It cannot use this gateway. Its requests are refused for the next 10 minutes, and it is told so." }
        p { "If you did not start this sign-in, tell whoever runs this gateway." }
    };
    Ok(layout::notice(&context, StatusCode::OK, Tone::Plain, "Device denied", text))
}

fn event(context: &PageContext, session: &SignedIn, link: &Link, action: &'static str, more: String) -> Event {
    Event {
        at: context.now,
        actor: format!("user:{}", session.user().name),
        action,
        subject: link.key.fingerprint(),
        detail: format!("{}{more}", link.name),
        address: context.address.to_string(),
    }
}

fn is_mine(context: &PageContext, session: &SignedIn, key: &PublicKey) -> bool {
    context.pages.directory.device(key).is_some_and(|known| known.user.id == session.user().id)
}

fn done(context: &PageContext, title: &str) -> Response {
    let text = html! { p { "It can use this gateway with your account now. You can close this page and go back to the terminal." } p { a href=(context.link("/settings/keys")) { "Your keys and devices" } } };
    layout::notice(context, StatusCode::OK, Tone::Good, title, text)
}

fn not_pending(context: &PageContext) -> ErrorPage {
    let text = html! {
        p { "No device with this key has asked to sign in within the last 10 minutes, or somebody has denied it." }
        p { "Run the sign-in again on the device, then open the new link within 10 minutes. Do not use a link that somebody sent you." }
    };
    context.error_page(StatusCode::FORBIDDEN, "This link cannot be used", text)
}
