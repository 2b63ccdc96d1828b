//! The account of the person who is signed in: `/account`, and below `/settings` the API keys and devices.
//!
//! The account service decides what a person may do, as for the API: these pages are forms and words.

mod add_device;
mod create_key;
mod events;
mod key_usage;
mod list;
mod new_key;
mod password;
mod revoke;

use http::StatusCode;
use maud::html;

use super::display::{DEVICES, EVENTS, KEYS, PASSWORD};
use super::error_page::PageResult;
use super::page_context::PageContext;
use super::{display, layout, providers};

pub use add_device::{show as new_device, submit as add_device};
pub use create_key::{AllowsScript, copy_script, copy_script_tag, submit as create_key};
pub use events::show as events;
pub use list::{KeyStatus, day, expiry, show as list, suspension_line};
pub use new_key::{models_line, show as new_key};
pub use password::{show as password, submit as change_password};
pub use revoke::{confirm_disconnect, confirm_revoke, disconnect, revoke};

/// `GET /account`: who is signed in, and the way to keys and devices.
pub async fn account(context: PageContext) -> PageResult {
    let Some(session) = context.session() else { return Ok(context.redirect("/login")) };
    let user = session.user();
    let devices = context.pages.directory.devices_of(user.id).len();
    let has_identity = context.pages.directory.identity_of(user.id).is_some();
    let provider = providers::provider_of(&context, user);
    let is_changed = context.parameter("password") == "changed";
    let content = html! {
        section.card.form {
            h1 { "Your account" }
            @if context.parameter("welcome") == "true" {
                p.success role="status" { "Your account is ready, and you are signed in here." }
            }
            @if is_changed { p.success role="status" { "Your password is changed, and other browsers are signed out." } }
            dl.facts {
                dt { "Name" } dd { bdi dir="ltr" { (user.name) } }
                @if !user.email.is_empty() { dt { "E-mail" } dd { bdi dir="ltr" { (display::visible_text(&user.email)) } } }
                @if let Some(provider) = &provider { dt { "Sign-in" } dd { "with " (provider.title) } }
                dt { "Role" } dd { (user.role.name()) }
                dt { "Rights" } dd { span.tags { @for scope in session.caller.rights().scopes.iter() { code { (scope) } } } }
                dt { "Devices" } dd { (devices) }
            }
            @if devices == 0 {
                div.empty {
                    p { strong { "No device is signed in yet." } }
                    p.hint { "Run this on the device, then open the link that it prints:" }
                    pre { code { "ollama-auth signin --host " (context.public) } }
                }
            }
            div.actions {
                a.button.primary #manage href=(context.link(KEYS)) { "Keys and devices" }
                a.button.quiet #events href=(context.link(EVENTS)) { "Your events" }
                @if !has_identity { a.button.quiet #change href=(context.link(PASSWORD)) { "Change password" } }
            }
            p.hint {
                "Your session ends when you close the browser, after an hour without a request, or 12 hours after you signed in."
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Your account", Some(&session), content))
}

/// `GET /settings/devices`: they are on the page of the keys.
pub async fn devices(context: PageContext) -> PageResult {
    Ok(context.redirect(DEVICES))
}
