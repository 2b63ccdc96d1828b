//! `GET /admin/person?name=…`: one person, with the devices and, fifty at a time, the API keys; and what an administrator can change.

use std::sync::Arc;

use http::StatusCode;
use maud::{Markup, html};

use super::people::badge;
use super::plan::{Action, DONE};
use super::{CHANGE, PEOPLE, PERSON, page, path, role_options, select};
use crate::gateway::admin::{AdminContext, UserRow};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::{ErrorPage, PageResult};
use crate::gateway::pages::form::hidden;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::pages::settings::{KeyStatus, day, expiry, models_line, suspension_line};
use crate::gateway::store::{Device, KeyQuery, KeyRecord, User};
use crate::keyspec::{KeyId, KeyState};
use crate::relative_time;

/// Keys on one page.
const KEYS_PER_PAGE: usize = 50;

/// `GET /admin/person?name=NAME&after=…&revoked=true&done=…`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let user = find(&context, &context.parameter("name"))?;
    let row = AdminContext::of(&context.pages.administration, context.now).row(&user);
    let (after, revoked) = (context.parameter("after"), context.parameter("revoked") == "true");
    let wanted = KeyQuery { user: user.id, after: place(&after), revoked, matching: None, limit: KEYS_PER_PAGE };
    let found = context.pages.directory.keys_page(wanted).await;
    let (mut keys, more) = found.map_err(|error| context.internal_error(&error.to_string()))?;
    let (tables, role) = (context.pages.directory.policy_tables(), context.pages.directory.role(&user.role));
    for key in &mut keys {
        key.rights.expires_at = tables.end_of(&role, key);
    }
    let next = keys.last().filter(|_| more).map(|key| format!("{}.{}", key.created_at, key.id));
    let done = context.parameter("done");
    let done = DONE.iter().find(|(word, _)| *word == done).map(|(_, text)| *text);
    let content = html! {
        @if let Some(done) = done { p.success role="status" { (done) } }
        (account(&context, &user, &row))
        (devices(&context, &user))
        section.card.wide #keys aria-labelledby="keys-title" {
            h2 #keys-title { "API keys" }
            @if keys.is_empty() { p.hint { "There are no " @if !revoked { "active " } "API keys." } }
            @else { (key_table(&context, &keys)) }
            div.below {
                @let link = |parameters: &[(&str, &str)]| {
                    let all = [&[("name", user.name.as_str())][..], parameters].concat();
                    context.link(&path(PERSON, &all))
                };
                @let shown: &[(&str, &str)] = if revoked { &[("revoked", "true")] } else { &[] };
                @if revoked { a href=(link(&[])) { "Hide revoked keys" } }
                @else { a href=(link(&[("revoked", "true")])) { "Show revoked keys" } }
                @if !after.is_empty() { a href=(link(shown)) { "Newest keys" } }
                @if let Some(next) = &next {
                    a rel="next" href=(link(&[shown, &[("after", next.as_str())]].concat())) { "Older keys" }
                }
            }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, &user.name, PEOPLE, content))
}

fn find(context: &PageContext, name: &str) -> Result<Arc<User>, ErrorPage> {
    context.pages.directory.user_by_name(name).ok_or_else(|| {
        let text =
            html! { p { "There is no account of that name. See " a href=(context.link(PEOPLE)) { "all people" } "." } };
        context.error_page(StatusCode::NOT_FOUND, "Person not found", text)
    })
}

/// The place of the last key of the page before.
fn place(after: &str) -> Option<(i64, KeyId)> {
    let (at, id) = after.split_once('.')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

fn account(context: &PageContext, user: &User, row: &UserRow) -> Markup {
    let button = |action: Action, class: &str| {
        html! { a class=(format!("button {class}")) href=(context.link(&action.path(&user.name))) { (action.label()) } }
    };
    html! {
        section.card.wide aria-labelledby="person" {
            div.head { h1 #person { bdi dir="ltr" { (user.name) } } (badge(row)) }
            dl.facts {
                @if !user.email.is_empty() { dt { "E-mail" } dd { bdi dir="ltr" { (display::visible_text(&user.email)) } } }
                @if let Some(identity) = &row.identity {
                    dt { "Signs in at" } dd { bdi dir="ltr" { (display::visible_text(&identity.issuer)) } }
                    dt { "Subject" } dd { bdi dir="ltr" { (display::visible_text(&identity.subject)) } }
                }
                dt { "Role" } dd { (user.role) @if !context.pages.directory.roles().is_defined(&user.role) { ", which is not defined" } }
                @if !row.groups.is_empty() {
                    dt { "Groups" } dd {
                        span.tags {
                            @for group in &row.groups {
                                code { (group) @if row.undefined_groups.contains(group) { " (not defined)" } }
                            }
                        }
                    }
                }
                @if let Some(limits) = &row.limits { dt { "Own limits" } dd { "at most " (limits.in_words()) } }
                dt { "Created" } dd { (day(user.created_at)) }
                dt { "Last used" } dd { @match row.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" } }
                @if user.suspended.is_some() { dt { "Suspended" } dd { (suspension_line(user.suspended.as_deref())) } }
            }
            form.inline #change-role method="get" action=(context.link(CHANGE)) {
                (hidden("action", Action::Role.word()))
                (hidden("of", &user.name))
                (select("role", "Another role", &role_options(context), user.role.name(), false))
                button.quiet type="submit" { "Change role" }
            }
            div.both {
                @if user.suspended.is_some() { (button(Action::ResumeUser, "quiet")) } @else { (button(Action::SuspendUser, "danger small")) }
                @if user.disabled { (button(Action::EnableUser, "quiet")) } @else { (button(Action::DisableUser, "danger small")) }
            }
            p.hint {
                "To remove the account with all it has, or set another password, groups or limits, use " code { "ollama-auth gateway user" } " on the gateway's machine."
            }
        }
    }
}

fn devices(context: &PageContext, user: &User) -> Markup {
    let devices = context.pages.directory.devices_of(user.id);
    html! {
        section.card.wide #devices aria-labelledby="devices-title" {
            h2 #devices-title { "Devices" }
            @if devices.is_empty() { p.hint { "No device is signed in." } }
            @else { ul.devices { @for device in &devices { (device_row(context, device)) } } }
        }
    }
}

fn device_row(context: &PageContext, device: &Device) -> Markup {
    let (name, of) = (display::visible_name(&device.name), device.key.encoded());
    let does = if device.suspended.is_some() { Action::ResumeDevice } else { Action::SuspendDevice };
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
            span.both { (action_link(context, does, &of, &name)) (action_link(context, Action::DisconnectDevice, &of, &name)) }
        }
    }
}

fn action_link(context: &PageContext, action: Action, of: &str, name: &str) -> Markup {
    let class = if action.is_taking() { "button small danger" } else { "button small quiet" };
    html! { a class=(class) href=(context.link(&action.path(of))) aria-label={ (action.label()) " " (name) } { (action.label()) } }
}

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
fn key_table(context: &PageContext, keys: &[KeyRecord]) -> Markup {
    html! {
        table.keys role="table" aria-labelledby="keys-title" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Key", "Rights", "Used", "State"] { th scope="col" role="columnheader" { (title) } }
                    th scope="col" role="columnheader" { span.unseen { "Change" } }
                }
            }
            tbody role="rowgroup" { @for key in keys { (key_row(context, key)) } }
        }
    }
}

fn key_row(context: &PageContext, key: &KeyRecord) -> Markup {
    let status = KeyStatus::of(key, &context.pages.directory, context.now);
    let (name, id) = (display::visible_text(&key.name), key.id.as_str());
    let is_suspended = status.state == KeyState::Suspended;
    let does = if is_suspended { Action::ResumeKey } else { Action::SuspendKey };
    html! {
        tr role="row" id=(key.id) .over[!status.state.is_accepted()] {
            th scope="row" role="rowheader" {
                bdi.name dir="ltr" title=(name) { (name) }
                span.print { (key.id) }
                @if let Some(environment) = &key.environment { span.hint { "for " bdi dir="ltr" { (display::visible_text(environment)) } } }
            }
            td role="cell" data-label="Rights" {
                span.tags { @for scope in key.rights.scopes.iter() { code { (scope) } } }
                span.hint {
                    @if key.rights.models.patterns().is_empty() { "all models" }
                    @else { "only " (models_line(&key.rights.models)) }
                }
                @if !key.rights.limits.is_none() { span.hint.limits { "at most " (key.rights.limits.in_words()) } }
            }
            td role="cell" data-label="Used" {
                span { @match key.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" } }
                span.hint { "created " (day(key.created_at)) }
            }
            td role="cell" data-label="State" {
                (status.badge())
                @if is_suspended { (suspension_line(key.suspended.as_deref())) }
                span.ends { (expiry(key, status.state, context.now)) }
            }
            td.does.two role="cell" {
                @if status.state.is_accepted() || is_suspended {
                    (action_link(context, does, id, &name))
                    (action_link(context, Action::RevokeKey, id, &name))
                }
            }
        }
    }
}
