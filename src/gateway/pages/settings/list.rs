//! `GET /settings/keys`: the keys, fifty at a time, and the devices. The state of a key is named as in `ollama-auth keys list`.

use http::StatusCode;
use maud::{Markup, html};

use super::new_key::models_line;
use crate::gateway::directory::Directory;
use crate::gateway::pages::display::{DISCONNECT_DEVICE, KEYS, NEW_DEVICE, NEW_KEY, REVOKE_KEY};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::{display, layout};
use crate::gateway::store::{Device, KeyRecord, Suspension};
use crate::keyspec::{KeyFacts, KeyId, KeyState};
use crate::relative_time;

/// Keys on one page.
const KEYS_PER_PAGE: usize = 50;

/// `GET /settings/keys`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let (after, revoked) = (context.parameter("after"), context.parameter("revoked") == "true");
    let found = context.pages.accounts.keys_behind(&session.caller, &after, KEYS_PER_PAGE, revoked).await;
    let (keys, next) = found.map_err(|rejection| context.rejected(&rejection))?;
    let is_first = after.is_empty();
    let content = html! {
        section.card.wide aria-labelledby="keys" {
            div.head {
                div {
                    h1 #keys { "API keys" }
                    p.hint { "For programs. Each key has its own rights and expiry." }
                }
                a.button.primary #new-key href=(context.link(NEW_KEY)) { "Create a key" }
            }
            @if keys.is_empty() && is_first {
                div.empty {
                    p { strong { "You have no " @if !revoked { "active " } "API keys." } }
                    p.hint { "Create one for each program and each place where it runs, so that you can revoke each on its own." }
                }
            } @else if keys.is_empty() {
                p.hint { "There are no older keys." }
            } @else {
                (table(&context, &keys))
            }
            div.below {
                @if revoked { a href=(context.link(KEYS)) { "Hide revoked keys" } }
                @else { a #show-revoked href=(context.link("/settings/keys?revoked=true")) { "Show revoked keys" } }
                @if !is_first { a href=(context.link(page_link("", revoked).as_str())) { "Newest keys" } }
                @if let Some(next) = &next { a #older rel="next" href=(context.link(page_link(next, revoked).as_str())) { "Older keys" } }
            }
        }
        @if is_first { (devices(&context, &session)) }
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

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
fn table(context: &PageContext, keys: &[KeyRecord]) -> Markup {
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
    let status = KeyStatus::of(key, &context.pages.directory, context.now);
    let name = display::visible_text(&key.name);
    let used = context.pages.accounts.use_of(key).filter(|_| status.state.is_accepted());
    let used = used.and_then(|used| used.in_words(key.rights.limits));
    html! {
        tr role="row" id=(key.id) .over[!status.state.is_accepted()] {
            th scope="row" role="rowheader" {
                bdi.name dir="ltr" title=(name) { (name) }
                span.print { (key.id) }
                span.hint {
                    "ends in " code { "…" (key.hint) }
                    @if let Some(environment) = &key.environment { " · for " bdi dir="ltr" { (display::visible_text(environment)) } }
                }
            }
            td role="cell" data-label="Rights" {
                span.tags { @for scope in key.rights.scopes.iter() { code { (scope) } } }
                span.hint {
                    @if key.rights.models.patterns().is_empty() { "all models" }
                    @else { "only " (models_line(&key.rights.models)) }
                }
                @if !key.rights.limits.is_none() { span.hint.limits { "at most " (key.rights.limits.in_words()) } }
                @if let Some(used) = used { span.hint.used { "now " (used) } }
                @if !key.rights.addresses.is_empty() { span.hint { "only from " (key.rights.addresses) } }
            }
            td role="cell" data-label="Used" {
                @match key.last_used_at {
                    Some(at) => { span { (relative_time::ago(at, context.now)) } }
                    None => { span { "never" } }
                }
                span.hint { "created " (day(key.created_at)) }
            }
            td role="cell" data-label="State" {
                (status.badge())
                @if status.state == KeyState::Suspended { (suspension_line(key.suspended.as_deref())) }
                span.ends { (expiry(key, status.state, context.now)) }
                @if let Some(by) = &status.replaced_by { span.hint { "by " span.print { (by) } } }
            }
            td.does role="cell" {
                @if status.state.is_accepted() || status.state == KeyState::Suspended {
                    a.button.small.danger.revoke href=(context.link(&format!("{REVOKE_KEY}?id={}", key.id)))
                        aria-label={ "Revoke " (name) } { "Revoke" }
                }
            }
        }
    }
}

fn devices(context: &PageContext, session: &BrowserSession) -> Markup {
    let devices = context.pages.directory.devices_of(session.user().id);
    html! {
        section.card.wide #devices aria-labelledby="devices-title" {
            div.head {
                div {
                    h2 #devices-title { "Devices" }
                    p.hint { "Each device signs its requests with a key that never leaves it." }
                }
                a.button.quiet #add href=(context.link(NEW_DEVICE)) { "Add by public key" }
            }
            @if devices.is_empty() {
                div.empty {
                    p { strong { "No device is signed in yet." } }
                    p.hint { "Run this on the device, then open the link that it prints:" }
                    pre { code { "ollama-auth signin --host " (context.public) } }
                }
            } @else {
                ul.devices { @for device in &devices { (device_row(context, device)) } }
                p.hint { "To sign a device out from its own terminal, run " code { "ollama-auth signout" } "." }
            }
        }
    }
}

fn device_row(context: &PageContext, device: &Device) -> Markup {
    let name = display::visible_name(&device.name);
    let link = format!("{DISCONNECT_DEVICE}?key={}", device.key.encoded());
    html! {
        li {
            div {
                p { (display::device_name(&device.name)) }
                p.print { (device.key.grouped_fingerprint()) }
                p.hint {
                    "Approved " (day(device.created_at)) " · "
                    @match device.last_used_at {
                        Some(at) => { "last used " (relative_time::ago(at, context.now)) }
                        None => { "never used" }
                    }
                }
                @if device.suspended.is_some() {
                    p { span.state.warn { "Suspended" } " " (suspension_line(device.suspended.as_deref())) }
                }
            }
            a.button.small.danger.disconnect href=(context.link(&link)) aria-label={ "Disconnect " (name) } { "Disconnect" }
        }
    }
}

/// The state of a key, and the id of the key that replaces it.
pub struct KeyStatus {
    /// Its state.
    pub state: KeyState,
    /// With [`KeyState::Replaced`] only.
    pub replaced_by: Option<KeyId>,
}

impl KeyStatus {
    /// The status of a key at that time.
    pub fn of(key: &KeyRecord, directory: &Directory, now: i64) -> Self {
        let successors = directory.replacements_of(&key.id);
        let successor = successors.iter().find(|other| other.is_accepted(now)).map(|other| other.id.clone());
        let facts = KeyFacts {
            created_at: Some(key.created_at),
            expires_at: key.rights.expires_at,
            revoked: key.revoked_at.is_some(),
            replaced: successor.is_some(),
            suspended: key.suspended.is_some(),
        };
        let state = KeyState::of(facts, now);
        Self { state, replaced_by: successor.filter(|_| state == KeyState::Replaced) }
    }

    /// The state as a coloured word.
    pub fn badge(&self) -> Markup {
        let class = match self.state {
            KeyState::Revoked | KeyState::Expired => "state",
            KeyState::Replaced | KeyState::ExpiresSoon | KeyState::Suspended => "state warn",
            KeyState::Valid => "state good",
        };
        html! { span class=(class) { (display::capitalized(self.state.word())) } }
    }
}

/// When a key expires; for one that is not accepted, when it expired or was revoked.
pub fn expiry(key: &KeyRecord, state: KeyState, now: i64) -> Markup {
    match (key.revoked_at, key.rights.expires_at) {
        (Some(at), _) => day(at),
        (None, None) => html! { "Never expires" },
        (None, Some(end)) if state == KeyState::Expired => day(end),
        (None, Some(end)) => html! { "Expires " (day(end)) " " span.hint { (relative_time::until(end, now)) } },
    }
}

/// Since when something is suspended, and why.
pub fn suspension_line(suspension: Option<&Suspension>) -> Markup {
    html! {
        @if let Some(Suspension { since, reason }) = suspension {
            span.hint {
                "by an administrator, " (day(*since))
                @if let Some(reason) = reason { ": " bdi dir="ltr" { (display::visible_text(reason)) } }
            }
        }
    }
}

/// A day, with the minute in its tooltip.
pub fn day(at: i64) -> Markup {
    html! { time title=(display::date(at)) { (display::day(at)) } }
}
