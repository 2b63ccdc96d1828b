//! Approving a device: `/connect?name=…&key=…`.
//!
//! The link proves nothing, so it is accepted for a pending device only, and the person is told to compare fingerprints. A device
//! outlives the session and can create keys, so the approval needs a recently typed password, as a new key does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::display::{AfterSignIn, DEVICES, DeviceLink, KEYS};
use super::error_page::{ErrorPage, PageResult};
use super::form::{FieldError, alert, hidden};
use super::layout::{self, NoticeKind};
use super::page_context::{BrowserSession, PageContext};
use super::reauthentication::{self, ReauthReason};
use super::state::{MOST_DEVICES, Pages};
use super::{device_code, display, sign_in};
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::pending_devices::PendingDevice;
use crate::gateway::store::{Actor, Change, Device, Event, Shared};
use crate::identity::PublicKey;
use crate::relative_time;

/// `GET /connect`.
pub async fn show(context: PageContext) -> PageResult {
    if context.query.is_empty() {
        return device_code::show(&context);
    }
    let link = DeviceLink::from_query(&context.public, &context.query).map_err(|error| {
        let text = html! {
            p { "It may have been cut off when it was copied. Run the sign-in again on the device and open the whole link." }
            p.detail { "Details: " (display::visible_text(&error.to_string())) }
        };
        context.error_page(StatusCode::BAD_REQUEST, "This link is incomplete", text)
    })?;
    let session = context.session();
    if let Some(session) = &session
        && is_own_device(&context, session, &link.key)
    {
        return Ok(approved_page(&context, "This device is signed in"));
    }
    let device = context.pages.pending_devices.find(&link.key, context.now).ok_or_else(|| not_pending(&context))?;
    match session {
        Some(session) => {
            context.pages.pending_devices.mark_reviewed(&link.key, session.user().id);
            Ok(approval_page(&context, &session, &link, &device, None))
        }
        None => sign_in::page(&context, StatusCode::OK, &AfterSignIn::Device(Box::new(link)), "", None),
    }
}

fn approval_page(
    context: &PageContext,
    session: &BrowserSession,
    link: &DeviceLink,
    device: &PendingDevice,
    error: Option<&FieldError>,
) -> Response {
    let is_known = context.pages.directory.device(&link.key).is_some();
    let content = html! {
        section.card {
            h1 { "Approve this device?" }
            p.lead { (link.name()) " asks to use this gateway as " strong { (session.user().name) } "." }
            div.compare {
                p.label #fingerprint-label { "Key fingerprint" }
                p.fingerprint aria-labelledby="fingerprint-label" { (fingerprint_groups(&link.key)) }
            }
            div.warning {
                p { strong { "Compare it with the fingerprint that your terminal shows." } }
                p { "Approve only if you have just started this sign-in and both fingerprints are the same. Otherwise deny it: \
                     somebody else may be trying to use your account." }
            }
            dl.facts {
                dt { "Requested from" } dd { (device.address) @if is_same_address(context, device) { " (the same address as yours)" } }
                dt { "Requested" } dd { (relative_time::ago(device.at, context.now)) " (" (display::date(device.at)) ")" }
                dt { "Device name" } dd { (link.name()) }
            }
            @if is_known { p.alert { "This device is signed in to another account. Approving it moves it to yours." } }
            (alert(error.map(|error| error.message.as_str())))
            form #decide method="post" action=(context.link("/connect")) {
                (hidden("csrf", &context.csrf_token(session)))
                (link.fields("name"))
                (reauthentication::sign_in_again(context, session, ReauthReason::Device, &link.path()))
                (reauthentication::field(context, session, ReauthReason::Device, error.is_some()))
                div.actions {
                    button.primary #approve type="submit" name="decision" value="approve" { "Approve" }
                    button.danger #deny type="submit" name="decision" value="deny" formnovalidate { "Deny" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Approve this device?" } else { "Approve this device?" };
    layout::page(context, status, title, Some(session), content)
}

/// Whether the device asked from the person's address. Behind a proxy that hides addresses all of them are the same: saying so there
/// would make a stranger's device look like the person's own.
fn is_same_address(context: &PageContext, device: &PendingDevice) -> bool {
    let config = context.pages.config.get();
    let is_proxied = config.behind_tls_proxy || (config.local.ip().is_loopback() && !context.public.is_loopback());
    let proxies_are_known = !config.trusted_proxies.is_empty();
    let is_proxy = config.trusted_proxies.iter().any(|proxies| proxies.contains(&context.address));
    device.address == context.address && (proxies_are_known || !is_proxied) && !is_proxy
}

/// The fingerprint in the groups that the terminal shows too. The blanks between them are part of a copy.
fn fingerprint_groups(key: &PublicKey) -> Markup {
    let grouped = key.grouped_fingerprint();
    let mut groups = grouped.split(' ');
    html! { span.kind { (groups.next().unwrap_or_default()) } @for group in groups { " " span { (group) } } }
}

/// `POST /connect`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    let link = DeviceLink::from_form(&form, "name").ok_or_else(|| {
        let text = html! { p { "The form names no device. Open the connect link again." } };
        context.error_page(StatusCode::BAD_REQUEST, "The form is incomplete", text)
    })?;
    let Some(session) = context.session() else {
        // The session ended while the page was open.
        return Ok(context.redirect(&link.path()));
    };
    context.verify_session_form(&session, &form)?;
    if is_own_device(&context, &session, &link.key) {
        return Ok(approved_page(&context, "This device is signed in"));
    }
    match form.get("decision") {
        "approve" => {
            // Checked before the password: without a pending device it is not needed.
            let device = pages.pending_devices.find(&link.key, context.now).ok_or_else(|| not_pending(&context))?;
            match reauthentication::confirm(&context, &session, &mut form, ReauthReason::Device).await? {
                Ok(()) => approve(pages, context, session, link).await,
                Err(error) => Ok(approval_page(&context, &session, &link, &device, Some(&error))),
            }
        }
        "deny" => deny(pages, context, session, link).await,
        _ => {
            let text = html! { p { "The form neither approves nor denies the device. Open the connect link again." } };
            Err(context.error_page(StatusCode::BAD_REQUEST, "The form is incomplete", text))
        }
    }
}

enum ApprovalOutcome {
    Approved,
    /// Or the account was changed.
    SessionEnded,
    NotPending,
    TooManyDevices,
}

async fn approve(pages: Arc<Pages>, context: PageContext, session: BrowserSession, link: DeviceLink) -> PageResult {
    let before = pages.directory.device(&link.key).map(|known| known.user.name.clone());
    let event = event(&context, &session, &link, "device.approved").with("previous_account", before);
    let path = link.path();
    let device = Device {
        key: link.key,
        user: session.user().id,
        name: link.name,
        created_at: context.now,
        last_used_at: None,
        suspended: None,
    };
    let (now, by, clock) = (context.now, session.caller, pages.clock.clone());
    // In a task of its own, which ends even if the browser disconnects.
    let outcome = tokio::spawn(async move {
        let _decision = pages.pending_devices.decide().await;
        let key = device.key.clone();
        if pages.pending_devices.find(&key, now).is_none() {
            return Ok(ApprovalOutcome::NotPending);
        }
        if pages.directory.devices_of(device.user).len() >= MOST_DEVICES {
            return Ok(ApprovalOutcome::TooManyDevices);
        }
        let (pending, asked) = (pages.pending_devices.clone(), key.clone());
        // Another gateway may have approved or denied it meanwhile.
        let is_still_allowed =
            move |directory: &Directory| by.holds(directory, clock.now()) && pending.find(&asked, now).is_some();
        if !pages.directory.commit_if(Change::AddDevice(device), event, is_still_allowed).await? {
            let is_pending = pages.pending_devices.find(&key, now).is_some();
            return Ok(if is_pending { ApprovalOutcome::SessionEnded } else { ApprovalOutcome::NotPending });
        }
        pages.pending_devices.settle(&key);
        Ok(ApprovalOutcome::Approved)
    });
    match outcome.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(ApprovalOutcome::Approved) => Ok(approved_page(&context, "Device approved")),
        // Asks again, after a sign-in if there is no session any more.
        Ok(ApprovalOutcome::SessionEnded) => Ok(context.redirect(&path)),
        Ok(ApprovalOutcome::NotPending) => Err(not_pending(&context)),
        Ok(ApprovalOutcome::TooManyDevices) => {
            let text = html! {
                p { "Your account already has " (MOST_DEVICES) " devices, the maximum." }
                p { "Disconnect some that you no longer use on " a href=(context.link(DEVICES)) { "your devices page" } ", then open the link again." }
            };
            Err(context.error_page(StatusCode::FORBIDDEN, "The device was not approved", text))
        }
        Err(error) => Err(context.change_failed(&error)),
    }
}

async fn deny(pages: Arc<Pages>, context: PageContext, session: BrowserSession, link: DeviceLink) -> PageResult {
    let event = event(&context, &session, &link, "device.denied");
    let (now, key) = (context.now, link.key);
    let denied = tokio::spawn(async move {
        let _decision = pages.pending_devices.decide().await;
        if pages.pending_devices.find(&key, now).is_none() {
            return Ok(false);
        }
        // The denial takes effect even if it cannot be recorded.
        pages.pending_devices.deny(&key);
        if let Err(error) = pages.directory.share(Shared::DeniedDevice(key), |_| true).await {
            tracing::warn!(%error, "denial could not be saved");
        }
        pages.directory.commit(Change::Note, event).await.map(|()| true)
    });
    match denied.await.unwrap_or(Err(DirectoryError::Ending)) {
        Ok(true) => {}
        Ok(false) => return Err(not_pending(&context)),
        Err(error) => tracing::warn!(%error, "event could not be recorded"),
    }
    let text = html! {
        p { "It cannot use this gateway, and cannot ask again for the next 10 minutes." }
        p { "If you did not start this sign-in, tell the administrator of this gateway." }
    };
    Ok(layout::notice(&context, StatusCode::OK, NoticeKind::Info, "Device denied", text))
}

fn event(context: &PageContext, session: &BrowserSession, link: &DeviceLink, action: &'static str) -> Event {
    let user = session.user();
    Event::new(context.now, Actor::user(user), action, link.key.fingerprint())
        .of_account(user)
        .charged_to(user.id)
        .from(context.origin)
        .with("name", &link.name)
}

fn is_own_device(context: &PageContext, session: &BrowserSession, key: &PublicKey) -> bool {
    context.pages.directory.device(key).is_some_and(|known| known.user.id == session.user().id)
}

fn approved_page(context: &PageContext, title: &str) -> Response {
    let text = html! {
        p { "It can now use this gateway with your account. You can close this page and return to the terminal." }
        p { a href=(context.link(KEYS)) { "Your keys and devices" } }
    };
    layout::notice(context, StatusCode::OK, NoticeKind::Success, title, text)
}

fn not_pending(context: &PageContext) -> ErrorPage {
    let text = html! {
        p { "The device did not ask to sign in within the last 10 minutes, or its request was denied." }
        p { "Run the sign-in again on the device, then open the new link within 10 minutes. Do not use a link that somebody sent you." }
    };
    context.error_page(StatusCode::FORBIDDEN, "This link is not valid", text)
}
