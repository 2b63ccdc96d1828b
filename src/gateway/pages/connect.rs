//! Approving a device: `/connect?name=…&key=…`.
//!
//! The link proves nothing, so it is taken only for a key that knocked lately, and the person is told to compare fingerprints. A device
//! outlives the sign-in and can make keys, so it takes the password as lately as a key does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::form::Form;
use super::layout::{self, Tone, alert, hidden};
use super::password_again::{self, Lasting, Trouble};
use super::sign_in::{self, Next};
use super::text;
use super::visit::{Answer, SignedIn, Stop, Visit};
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::knocks::Knock;
use crate::gateway::state::Gateway;
use crate::gateway::store::{Change, Device, Event};
use crate::identity::{ConnectUrl, PublicKey};

/// Devices of one account: they are all on one page, and a device can be had by whoever asks for one.
const MOST_DEVICES: usize = 1000;

/// The device that a link or form is about.
pub struct Link {
    /// In its visible form.
    name: String,
    key: PublicKey,
}

impl Link {
    fn from_query(visit: &Visit) -> Result<Self, Stop> {
        let parsed = ConnectUrl::parse(&visit.public.join(&format!("/connect?{}", visit.query)));
        let link = parsed.map_err(|error| {
            let text = html! {
                p { "It may have been cut off when it was copied. Run the sign-in again on the device and open the whole link." }
                p.detail { "What is wrong: " (text::visible_long(&error.to_string())) }
            };
            visit.stop(StatusCode::BAD_REQUEST, "This link is not complete", text)
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
pub async fn show(visit: Visit) -> Answer {
    let link = Link::from_query(&visit)?;
    let session = visit.signed_in();
    if let Some(session) = &session
        && is_mine(&visit, session, &link.key)
    {
        return Ok(done(&visit, "This device is signed in"));
    }
    let knock = visit.gateway.knocks.find(&link.key, visit.now).ok_or_else(|| no_knock(&visit))?;
    match session {
        Some(session) => Ok(ask(&visit, &session, &link, &knock, None)),
        None => sign_in::page(&visit, StatusCode::OK, &Next::Device(Box::new(link)), "", None),
    }
}

fn ask(visit: &Visit, session: &SignedIn, link: &Link, knock: &Knock, trouble: Option<&Trouble>) -> Response {
    let fingerprint = link.key.fingerprint();
    let moves = visit.gateway.directory.device(&link.key).is_some();
    let content = html! {
        section.card {
            h1 { "Approve this device?" }
            p.lead { (link.name()) " asks to use this gateway as " strong { (session.user().name) } "." }
            div.compare {
                p.label #fingerprint-label { "Fingerprint of its key" }
                p.fingerprint aria-labelledby="fingerprint-label" { (grouped(&fingerprint)) }
            }
            div.warning {
                p { strong { "Compare it with the fingerprint that your terminal shows." } }
                p { "Approve only if you have just started the sign-in yourself and the two are the same. If they differ, or you \
                     did not start it, somebody else wants to use your account: deny it." }
            }
            dl.facts {
                dt { "Asked from" } dd { (knock.address) @if is_neighbour(visit, knock) { " (the same address as yours)" } }
                dt { "Asked" } dd { (text::ago(knock.at, visit.now)) " (" (text::date(knock.at)) ")" }
                dt { "Calls itself" } dd { (link.name()) }
            }
            @if moves { p.alert { "This device is signed in to another account. Approving it moves it to yours." } }
            (alert(trouble.map(|(_, text)| text.as_str())))
            form #decide method="post" action=(visit.link("/connect")) {
                (hidden("csrf", &visit.token(session)))
                (link.fields("name"))
                @if !session.fresh { (password_again::field(Lasting::Device, trouble.is_some())) }
                div.actions {
                    button.primary #approve type="submit" name="decision" value="approve" { "Approve" }
                    button.danger #deny type="submit" name="decision" value="deny" formnovalidate { "Deny" }
                }
            }
        }
    };
    let status = trouble.map_or(StatusCode::OK, |(status, _)| *status);
    let title = if trouble.is_some() { "Not yet: approve this device?" } else { "Approve this device?" };
    layout::page(visit, status, title, Some(session), content)
}

/// Whether the device asked from where the person is. Where a proxy hides who is who, everybody seems to be in one place, and saying so
/// would make a stranger's device look like one's own.
fn is_neighbour(visit: &Visit, knock: &Knock) -> bool {
    let config = visit.gateway.config();
    let proxied = config.behind_tls_proxy || (visit.gateway.local().ip().is_loopback() && !visit.public.is_loopback());
    let told = !config.trusted_proxies.is_empty();
    let is_proxy = config.trusted_proxies.iter().any(|proxies| proxies.contains(&visit.address));
    knock.address == visit.address && (told || !proxied) && !is_proxy
}

/// The fingerprint in pieces that the eye can hold. Copied, it is one piece.
fn grouped(fingerprint: &str) -> Markup {
    let (kind, digest) = fingerprint.split_once(':').unwrap_or(("", fingerprint));
    let groups = digest.as_bytes().chunks(4).map(String::from_utf8_lossy);
    html! { span.kind { (kind) ":" } @for group in groups { span { (group) } } }
}

/// `POST /connect`.
pub async fn decide(State(gateway): State<Arc<Gateway>>, visit: Visit, body: Body) -> Answer {
    let mut form = visit.form(body).await?;
    let link = Link::from_form(&form, "name").ok_or_else(|| {
        let text = html! { p { "The form names no device. Open the link of the sign-in again." } };
        visit.stop(StatusCode::BAD_REQUEST, "Nothing was done", text)
    })?;
    let Some(session) = visit.signed_in() else {
        // The session ended while the page was open.
        return Ok(visit.redirect(&link.path()));
    };
    visit.check_session(&session, &form)?;
    if is_mine(&visit, &session, &link.key) {
        return Ok(done(&visit, "This device is signed in"));
    }
    match form.get("decision") {
        "approve" => {
            // Said before the password is asked for: there is nothing that it would be good for.
            let knock = gateway.knocks.find(&link.key, visit.now).ok_or_else(|| no_knock(&visit))?;
            match password_again::confirm(&visit, &session, &mut form, Lasting::Device).await? {
                Ok(()) => approve(gateway, visit, session, link).await,
                Err(trouble) => Ok(ask(&visit, &session, &link, &knock, Some(&trouble))),
            }
        }
        "deny" => deny(gateway, visit, session, link).await,
        _ => {
            let text = html! { p { "The form says neither to approve nor to deny." } };
            Err(visit.stop(StatusCode::BAD_REQUEST, "Nothing was done", text))
        }
    }
}

/// What became of an approval.
enum Made {
    Approved,
    /// The session ended, or the account was changed, meanwhile.
    NotAnyMore,
    NoKnock,
    Full,
}

async fn approve(gateway: Arc<Gateway>, visit: Visit, session: SignedIn, link: Link) -> Answer {
    let before = gateway.directory.device(&link.key).map(|known| format!(", before that of {}", known.user.name));
    let event = event(&visit, &session, &link, "device.approved", before.unwrap_or_default());
    let path = link.path();
    let device =
        Device { key: link.key, user: session.user().id, name: link.name, created_at: visit.now, last_used_at: None };
    let (now, by, clock) = (visit.now, session.caller, gateway.clock.clone());
    // In a task of its own: a browser that leaves does not separate the change from what belongs to it.
    let made = tokio::spawn(async move {
        let _one_decides = gateway.pages.deciding.lock().await;
        let key = device.key.clone();
        if gateway.knocks.find(&key, now).is_none() {
            return Ok(Made::NoKnock);
        }
        if gateway.directory.devices_of(device.user).len() >= MOST_DEVICES {
            return Ok(Made::Full);
        }
        let still = move |directory: &Directory| by.holds(directory, clock.now());
        if !gateway.directory.commit_if(Change::AddDevice(device), event, still).await? {
            return Ok(Made::NotAnyMore);
        }
        gateway.knocks.settle(&key);
        Ok(Made::Approved)
    });
    match made.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(Made::Approved) => Ok(done(&visit, "Device approved")),
        // To the question again, or to the sign-in before it.
        Ok(Made::NotAnyMore) => Ok(visit.redirect(&path)),
        Ok(Made::NoKnock) => Err(no_knock(&visit)),
        Ok(Made::Full) => {
            let text = html! {
                p { "Your account has as many devices as it may have: " (MOST_DEVICES) "." }
                p { "Disconnect those that are not used any more on " a href=(visit.link("/settings/keys#devices")) { "the page of your devices" } ", then open the link again." }
            };
            Err(visit.stop(StatusCode::FORBIDDEN, "The device was not approved", text))
        }
        Err(error) => Err(visit.broken(&error.to_string())),
    }
}

async fn deny(gateway: Arc<Gateway>, visit: Visit, session: SignedIn, link: Link) -> Answer {
    let event = event(&visit, &session, &link, "device.denied", String::new());
    let (now, key) = (visit.now, link.key);
    let made = tokio::spawn(async move {
        let _one_decides = gateway.pages.deciding.lock().await;
        if gateway.knocks.find(&key, now).is_none() {
            return Ok(false);
        }
        // The no counts even if it cannot be written down.
        gateway.knocks.deny(&key);
        gateway.directory.commit(Change::Note, event).await.map(|()| true)
    });
    match made.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(true) => {}
        Ok(false) => return Err(no_knock(&visit)),
        Err(error) => tracing::warn!(%error, "a refusal could not be recorded"),
    }
    let text = html! {
        p { "It cannot use this gateway. Its requests are refused for the next 10 minutes, and it is told so." }
        p { "If you did not start this sign-in, tell whoever runs this gateway." }
    };
    Ok(layout::notice(&visit, StatusCode::OK, Tone::Plain, "Device denied", text))
}

fn event(visit: &Visit, session: &SignedIn, link: &Link, action: &'static str, more: String) -> Event {
    Event {
        at: visit.now,
        actor: format!("user:{}", session.user().name),
        action,
        subject: link.key.fingerprint(),
        detail: format!("{}{more}", link.name),
        address: visit.address.to_string(),
    }
}

fn is_mine(visit: &Visit, session: &SignedIn, key: &PublicKey) -> bool {
    visit.gateway.directory.device(key).is_some_and(|known| known.user.id == session.user().id)
}

fn done(visit: &Visit, title: &str) -> Response {
    let text = html! { p { "It can use this gateway with your account now. You can close this page and go back to the terminal." } p { a href=(visit.link("/settings/keys")) { "Your keys and devices" } } };
    layout::notice(visit, StatusCode::OK, Tone::Good, title, text)
}

fn no_knock(visit: &Visit) -> Stop {
    let text = html! {
        p { "No device with this key has asked to sign in within the last 10 minutes, or somebody has denied it." }
        p { "Run the sign-in again on the device, then open the new link within 10 minutes. Do not use a link that somebody sent you." }
    };
    visit.stop(StatusCode::FORBIDDEN, "This link cannot be used", text)
}
