//! `/settings/devices/disconnect`: asks whether it is to be this device, and disconnects it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::{DISCONNECT, KEYS, signed_in};
use crate::gateway::pages::layout::{self, Tone, hidden};
use crate::gateway::pages::page_context::{Answer, ErrorPage, PageContext};
use crate::gateway::pages::state::Pages;
use crate::gateway::pages::text;
use crate::gateway::store::Device;
use crate::identity::PublicKey;
use crate::relative_time;

/// The question. Nothing is changed by following a link.
pub async fn ask(context: PageContext) -> Answer {
    let session = signed_in(&context)?;
    let key = read(&context, &context.parameter("key"))?;
    let found = context.pages.accounts.find_device(&session.caller, &key);
    let device = found.map_err(|rejection| context.refused(&rejection))?;
    let content = html! {
        section.card.form {
            div {
                h1 { "Disconnect this device?" }
                p.hint { "Its requests are refused at once. To use the gateway again, it signs in again and you approve it." }
            }
            dl.facts {
                dt { "Name" } dd { (named(&device)) }
                dt { "Fingerprint" } dd.print { (device.key.grouped_fingerprint()) }
                dt { "Last used" } dd { @match device.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "not yet" } }
                dt { "Approved" } dd { (text::date(device.created_at)) }
            }
            form #disconnect-device method="post" action=(context.link(DISCONNECT)) {
                (hidden("csrf", &context.token(&session)))
                (hidden("key", &key.encoded()))
                div.actions {
                    button.destroy type="submit" { "Disconnect the device" }
                    a.button.quiet href=(context.link("/settings/keys#devices")) { "Keep it" }
                }
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Disconnect this device?", Some(&session), content))
}

/// The answer. A device that is gone already is as it should be.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let form = context.form(body).await?;
    let session = signed_in(&context)?;
    context.check_session(&session, &form)?;
    let key = read(&context, form.get("key"))?;
    if pages.directory.device(&key).is_none() {
        return Ok(done(&context, None));
    }
    let found = pages.accounts.find_device(&session.caller, &key);
    let device = found.map_err(|rejection| context.refused(&rejection))?;
    let gone = pages.accounts.disconnect(&session.caller, &key, context.address).await;
    gone.map_err(|rejection| context.refused(&rejection))?;
    Ok(done(&context, Some(&device)))
}

fn read(context: &PageContext, encoded: &str) -> Result<PublicKey, ErrorPage> {
    PublicKey::from_encoded(encoded).map_err(|_| {
        let text = html! { p { "It names no device. Go to " a href=(context.link(KEYS)) { "your devices" } " and choose one there." } };
        context.error_page(StatusCode::BAD_REQUEST, "This link is not complete", text)
    })
}

fn named(device: &Device) -> maud::Markup {
    match text::visible(&device.name).as_str() {
        "" => html! { em { "without a name" } },
        name => html! { bdi.device dir="ltr" { (name) } },
    }
}

fn done(context: &PageContext, device: Option<&Device>) -> Response {
    let text = html! {
        @if let Some(device) = device {
            p { (named(device)) " cannot use this gateway any more." }
            p.detail { span.print { (device.key.grouped_fingerprint()) } }
        } @else {
            p { "It is not connected." }
        }
        p { a href=(context.link(KEYS)) { "Your keys and devices" } }
    };
    layout::notice(context, StatusCode::OK, Tone::Good, "Device disconnected", text)
}
