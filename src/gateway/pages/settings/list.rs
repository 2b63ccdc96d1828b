//! `GET /settings/keys`: the keys, fifty at a time, and the devices.

use http::StatusCode;
use maud::{Markup, html};

use super::state;
use super::{DISCONNECT, NEW, REVOKE, models, signed_in};
use crate::gateway::pages::page_context::{Answer, PageContext, SignedIn};
use crate::gateway::pages::{layout, text};
use crate::gateway::store::{Device, KeyRecord};
use crate::relative_time;

/// Keys of a page.
const SHOWN: usize = 50;

/// The page.
pub async fn show(context: PageContext) -> Answer {
    let session = signed_in(&context)?;
    let (after, revoked) = (context.parameter("after"), context.parameter("revoked") == "true");
    let found = context.pages.accounts.keys_behind(&session.caller, &after, SHOWN, revoked);
    let (keys, next) = found.map_err(|rejection| context.refused(&rejection))?;
    let first = after.is_empty();
    let content = html! {
        section.card.wide aria-labelledby="keys" {
            div.head {
                div {
                    h1 #keys { "API keys" }
                    p.hint { "For programs. Each has its own rights and its own end." }
                }
                a.button.primary #new-key href=(context.link(NEW)) { "Create a key" }
            }
            @if keys.is_empty() && first {
                div.empty {
                    p { strong { "There is no key " @if !revoked { "in use " } "yet." } }
                    p.hint { "Make one for each program and each place where it runs, so that each can be revoked alone." }
                }
            } @else if keys.is_empty() {
                p.hint { "There are no older keys." }
            } @else {
                (table(&context, &keys))
            }
            div.below {
                @if revoked { a href=(context.link(super::KEYS)) { "Hide revoked keys" } }
                @else { a #show-revoked href=(context.link("/settings/keys?revoked=true")) { "Show revoked keys too" } }
                @if !first { a href=(context.link(page_link("", revoked).as_str())) { "Newest keys" } }
                @if let Some(next) = &next { a #older rel="next" href=(context.link(page_link(next, revoked).as_str())) { "Older keys" } }
            }
        }
        @if first { (devices(&context, &session)) }
    };
    Ok(layout::page(&context, StatusCode::OK, "API keys and devices", Some(&session), content))
}

fn page_link(after: &str, revoked: bool) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if revoked {
        query.append_pair("revoked", "true");
    }
    if !after.is_empty() {
        query.append_pair("after", after);
    }
    format!("/settings/keys?{}", query.finish())
}

/// Its roles are spelled out: a browser that is told to lay a table out as cards takes it for none otherwise.
fn table(context: &PageContext, keys: &[std::sync::Arc<KeyRecord>]) -> Markup {
    html! {
        table.keys role="table" aria-labelledby="keys" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Key", "Rights", "Used", "State"] { th scope="col" role="columnheader" { (title) } }
                    th scope="col" role="columnheader" { span.unseen { "Revoke" } }
                }
            }
            tbody role="rowgroup" { @for key in keys { (row(context, key)) } }
        }
    }
}

fn row(context: &PageContext, key: &KeyRecord) -> Markup {
    let state = state::of(key, &context.pages.directory, context.now);
    let name = text::visible_long(&key.name);
    html! {
        tr role="row" id=(key.id) .over[!state.state.is_accepted()] {
            th scope="row" role="rowheader" {
                bdi.name dir="ltr" title=(name) { (name) }
                span.print { (key.id) }
                span.hint {
                    "ends in " code { "…" (key.hint) }
                    @if let Some(environment) = &key.environment { " · for " bdi dir="ltr" { (text::visible_long(environment)) } }
                }
            }
            td role="cell" data-label="Rights" {
                span.tags { @for scope in key.rights.scopes.iter() { code { (scope) } } }
                span.hint {
                    @if key.rights.models.patterns().is_empty() { "all models" }
                    @else { "only " (models::line(&key.rights.models)) }
                }
            }
            td role="cell" data-label="Used" {
                @match key.last_used_at {
                    Some(at) => { span { (relative_time::ago(at, context.now)) } }
                    None => { span { "never" } }
                }
                span.hint { "made " (state::moment(key.created_at)) }
            }
            td role="cell" data-label="State" {
                (state.badge())
                span.ends { (state::end(key, state.state, context.now)) }
                @if let Some(by) = &state.replaced_by { span.hint { "by " span.print { (by) } } }
            }
            td.does role="cell" {
                @if state.state.is_accepted() {
                    a.button.small.danger.revoke href=(context.link(&format!("{REVOKE}?id={}", key.id)))
                        aria-label={ "Revoke " (name) } { "Revoke" }
                }
            }
        }
    }
}

fn devices(context: &PageContext, session: &SignedIn) -> Markup {
    let devices = context.pages.directory.devices_of(session.user().id);
    html! {
        section.card.wide #devices aria-labelledby="devices-title" {
            div {
                h2 #devices-title { "Devices" }
                p.hint { "They were approved with your account, and sign their requests with a key that never leaves them." }
            }
            @if devices.is_empty() {
                div.empty {
                    p { strong { "None is signed in yet." } }
                    p.hint { "Run this on the machine that is to use the gateway, then open the link that it prints:" }
                    pre { code { "ollama-auth signin --host " (context.public) } }
                }
            } @else {
                ul.devices { @for device in &devices { (device_row(context, device)) } }
                p.hint { "A device signs itself out with " code { "ollama-auth signout" } "." }
            }
        }
    }
}

fn device_row(context: &PageContext, device: &Device) -> Markup {
    let name = text::visible(&device.name);
    let link = format!("{DISCONNECT}?key={}", device.key.encoded());
    html! {
        li {
            div {
                p.device { @if name.is_empty() { em { "without a name" } } @else { bdi dir="ltr" { (name) } } }
                p.print { (device.key.grouped_fingerprint()) }
                p.hint {
                    "Approved " (state::moment(device.created_at)) " · "
                    @match device.last_used_at {
                        Some(at) => { "last used " (relative_time::ago(at, context.now)) }
                        None => { "not used yet" }
                    }
                }
            }
            a.button.small.danger.disconnect href=(context.link(&link)) aria-label={ "Disconnect " (name) } { "Disconnect" }
        }
    }
}
