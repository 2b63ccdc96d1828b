//! `GET /account`: who is signed in, and the way to keys and devices.

use http::StatusCode;
use maud::html;

use super::page_context::{Answer, PageContext};
use super::{layout, text};

/// The page. Who is not signed in is sent to do so.
pub async fn show(context: PageContext) -> Answer {
    let Some(session) = context.signed_in() else { return Ok(context.redirect("/login")) };
    let user = session.user();
    let devices = context.pages.directory.devices_of(user.id).len();
    let content = html! {
        section.card.form {
            h1 { "Your account" }
            dl.facts {
                dt { "Name" } dd { bdi dir="ltr" { (user.name) } }
                @if !user.email.is_empty() { dt { "E-mail" } dd { bdi dir="ltr" { (text::visible_long(&user.email)) } } }
                dt { "Role" } dd { (user.role.name()) }
                dt { "May" } dd { span.tags { @for scope in session.caller.rights().scopes.iter() { code { (scope) } } } }
                dt { "Devices" } dd { (devices) }
            }
            @if devices == 0 {
                div.empty {
                    p { strong { "No device is signed in yet." } }
                    p.hint { "Run this on the machine that is to use the gateway, then open the link that it prints:" }
                    pre { code { "ollama-auth signin --host " (context.public) } }
                }
            }
            div.actions { a.button.primary #manage href=(context.link("/settings/keys")) { "Keys and devices" } }
            p.hint {
                "You are signed out when you close the browser, an hour after the last page, or 12 hours after the sign-in."
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Your account", Some(&session), content))
}
