//! `/settings/devices/disconnect`: asks whether it is to be this device, and disconnects it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::{DISCONNECT, KEYS, signed_in};
use crate::gateway::account;
use crate::gateway::pages::layout::{self, Tone, hidden};
use crate::gateway::pages::text;
use crate::gateway::pages::visit::{Answer, Stop, Visit};
use crate::gateway::state::Gateway;
use crate::gateway::store::Device;
use crate::identity::PublicKey;

/// The question. Nothing is changed by following a link.
pub async fn ask(visit: Visit) -> Answer {
    let session = signed_in(&visit)?;
    let key = read(&visit, &visit.parameter("key"))?;
    let found = account::find_device(&visit.gateway, &session.caller, &key);
    let device = found.map_err(|refusal| visit.refused(&refusal))?;
    let content = html! {
        section.card.form {
            div {
                h1 { "Disconnect this device?" }
                p.hint { "Its requests are refused at once. To use the gateway again, it signs in again and you approve it." }
            }
            dl.facts {
                dt { "Name" } dd { (named(&device)) }
                dt { "Fingerprint" } dd.print { (device.key.fingerprint()) }
                dt { "Last used" } dd { @match device.last_used_at { Some(at) => (text::ago(at, visit.now)), None => "not yet" } }
                dt { "Approved" } dd { (text::date(device.created_at)) }
            }
            form #disconnect-device method="post" action=(visit.link(DISCONNECT)) {
                (hidden("csrf", &visit.token(&session)))
                (hidden("key", &key.encoded()))
                div.actions {
                    button.destroy type="submit" { "Disconnect the device" }
                    a.button.quiet href=(visit.link("/settings/keys#devices")) { "Keep it" }
                }
            }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, "Disconnect this device?", Some(&session), content))
}

/// The answer. A device that is gone already is as it should be.
pub async fn submit(State(gateway): State<Arc<Gateway>>, visit: Visit, body: Body) -> Answer {
    let form = visit.form(body).await?;
    let session = signed_in(&visit)?;
    visit.check_session(&session, &form)?;
    let key = read(&visit, form.get("key"))?;
    if gateway.directory.device(&key).is_none() {
        return Ok(done(&visit, None));
    }
    let found = account::find_device(&gateway, &session.caller, &key);
    let device = found.map_err(|refusal| visit.refused(&refusal))?;
    let gone = account::disconnect(&gateway, &session.caller, &key, visit.address).await;
    gone.map_err(|refusal| visit.refused(&refusal))?;
    Ok(done(&visit, Some(&device)))
}

fn read(visit: &Visit, encoded: &str) -> Result<PublicKey, Stop> {
    PublicKey::from_encoded(encoded).map_err(|_| {
        let text = html! { p { "It names no device. Go to " a href=(visit.link(KEYS)) { "your devices" } " and choose one there." } };
        visit.stop(StatusCode::BAD_REQUEST, "This link is not complete", text)
    })
}

fn named(device: &Device) -> maud::Markup {
    match text::visible(&device.name).as_str() {
        "" => html! { em { "without a name" } },
        name => html! { bdi.device dir="ltr" { (name) } },
    }
}

fn done(visit: &Visit, device: Option<&Device>) -> Response {
    let text = html! {
        @if let Some(device) = device {
            p { (named(device)) " cannot use this gateway any more." }
            p.detail { span.print { (device.key.fingerprint()) } }
        } @else {
            p { "It is not connected." }
        }
        p { a href=(visit.link(KEYS)) { "Your keys and devices" } }
    };
    layout::notice(visit, StatusCode::OK, Tone::Good, "Device disconnected", text)
}
