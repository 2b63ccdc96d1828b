//! Revoking a key and disconnecting a device, each after a page that names it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::list::{KeyStatus, day, expiry};
use crate::gateway::pages::display;
use crate::gateway::pages::display::{DEVICES, DISCONNECT_DEVICE, KEYS, NEW_KEY, REVOKE_KEY};
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::form::hidden;
use crate::gateway::pages::layout::{self, NoticeKind};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::state::Pages;
use crate::gateway::store::{Device, KeyRecord};
use crate::identity::PublicKey;
use crate::keyspec::{KeyId, KeyState};
use crate::relative_time;

/// `GET /settings/keys/revoke?id=…`: asks for confirmation. Following a link changes nothing.
pub async fn confirm_revoke(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let key = find_key(&context, &session, &context.parameter("id")).await?;
    let status = KeyStatus::of(&key, &context.pages.directory, context.now);
    if status.state == KeyState::Revoked {
        return Ok(revoked_page(&context, &key));
    }
    let owner = context.pages.directory.user(key.user).filter(|owner| owner.id != session.user().id);
    let content = html! {
        section.card.form {
            div {
                h1 { "Revoke this key?" }
                p.hint { "Programs that use this key are refused at once. You cannot undo this." }
            }
            @if let Some(owner) = &owner {
                p.alert { "This key belongs to " strong { (owner.name) } ", not to you." }
            }
            dl.facts {
                dt { "Name" } dd { bdi.device dir="ltr" { (display::visible_text(&key.name)) } }
                dt { "Id" } dd.print { (key.id) }
                dt { "Key" } dd { "ends in " code { "…" (key.hint) } }
                @if let Some(environment) = &key.environment {
                    dt { "Environment" } dd { bdi dir="ltr" { (display::visible_text(environment)) } }
                }
                dt { "Last used" } dd {
                    @match key.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" }
                    ", created " (day(key.created_at))
                }
                dt { "State" } dd { (status.badge()) " " (expiry(&key, status.state, context.now)) }
            }
            @if let Some(by) = &status.replaced_by {
                p.hint { "The key that replaces it, " span.print { (by) } ", stays valid." }
            }
            form #revoke-key method="post" action=(context.link(REVOKE_KEY)) {
                (hidden("csrf", &context.csrf_token(&session)))
                (hidden("id", key.id.as_str()))
                div.actions {
                    button.destroy type="submit" { "Revoke the key" }
                    a.button.quiet href=(context.link(KEYS)) { "Keep the key" }
                }
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Revoke this key?", Some(&session), content))
}

/// `POST /settings/keys/revoke`.
pub async fn revoke(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let form = context.form(body).await?;
    let session = context.require_session()?;
    context.verify_session_form(&session, &form)?;
    let key = find_key(&context, &session, form.get("id")).await?;
    let revoked = pages.accounts.revoke(&session.caller, &key.id, context.origin).await;
    revoked.map_err(|rejection| context.rejected(&rejection))?;
    Ok(revoked_page(&context, &key))
}

async fn find_key(context: &PageContext, session: &BrowserSession, id: &str) -> Result<Arc<KeyRecord>, ErrorPage> {
    let id: KeyId = id.parse().map_err(|_| {
        let text = html! { p { "It does not name a key. Choose one on " a href=(context.link(KEYS)) { "your keys page" } "." } };
        context.error_page(StatusCode::BAD_REQUEST, "This link is incomplete", text)
    })?;
    let found = context.pages.accounts.find_key(&session.caller, &id).await;
    found.map_err(|rejection| context.rejected(&rejection))
}

fn revoked_page(context: &PageContext, key: &KeyRecord) -> Response {
    let text = html! {
        p { bdi.device dir="ltr" { (display::visible_text(&key.name)) } " is no longer accepted." }
        p.detail { span.print { (key.id) } }
        p { a href=(context.link(KEYS)) { "Your keys and devices" } " · " a href=(context.link(NEW_KEY)) { "Create a key" } }
    };
    layout::notice(context, StatusCode::OK, NoticeKind::Success, "Key revoked", text)
}

/// `GET /settings/devices/disconnect?key=…`: asks for confirmation. Following a link changes nothing.
pub async fn confirm_disconnect(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let key = parse_key(&context, &context.parameter("key"))?;
    let found = context.pages.accounts.find_device(&session.caller, &key);
    let device = found.map_err(|rejection| context.rejected(&rejection))?;
    let content = html! {
        section.card.form {
            div {
                h1 { "Disconnect this device?" }
                p.hint { "Its requests are refused at once. To use the gateway again, it must sign in and be approved again." }
            }
            dl.facts {
                dt { "Name" } dd { (display::device_name(&device.name)) }
                dt { "Fingerprint" } dd.print { (device.key.grouped_fingerprint()) }
                dt { "Last used" } dd { @match device.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" } }
                dt { "Approved" } dd { (display::date(device.created_at)) }
            }
            form #disconnect-device method="post" action=(context.link(DISCONNECT_DEVICE)) {
                (hidden("csrf", &context.csrf_token(&session)))
                (hidden("key", &key.encoded()))
                div.actions {
                    button.destroy type="submit" { "Disconnect the device" }
                    a.button.quiet href=(context.link(DEVICES)) { "Keep the device" }
                }
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Disconnect this device?", Some(&session), content))
}

/// `POST /settings/devices/disconnect`. Succeeds for a device that is disconnected already.
pub async fn disconnect(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let form = context.form(body).await?;
    let session = context.require_session()?;
    context.verify_session_form(&session, &form)?;
    let key = parse_key(&context, form.get("key"))?;
    if pages.directory.device(&key).is_none() {
        return Ok(disconnected_page(&context, None));
    }
    let found = pages.accounts.find_device(&session.caller, &key);
    let device = found.map_err(|rejection| context.rejected(&rejection))?;
    let gone = pages.accounts.disconnect(&session.caller, &key, context.origin).await;
    gone.map_err(|rejection| context.rejected(&rejection))?;
    Ok(disconnected_page(&context, Some(&device)))
}

fn parse_key(context: &PageContext, encoded: &str) -> Result<PublicKey, ErrorPage> {
    PublicKey::from_encoded(encoded).map_err(|_| {
        let text = html! { p { "It does not name a device. Choose one on " a href=(context.link(DEVICES)) { "your devices page" } "." } };
        context.error_page(StatusCode::BAD_REQUEST, "This link is incomplete", text)
    })
}

fn disconnected_page(context: &PageContext, device: Option<&Device>) -> Response {
    let text = html! {
        @if let Some(device) = device {
            p { (display::device_name(&device.name)) " can no longer use this gateway." }
            p.detail { span.print { (device.key.grouped_fingerprint()) } }
        } @else {
            p { "It was already disconnected." }
        }
        p { a href=(context.link(KEYS)) { "Your keys and devices" } }
    };
    layout::notice(context, StatusCode::OK, NoticeKind::Success, "Device disconnected", text)
}
