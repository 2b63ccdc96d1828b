//! `GET /account`: who is signed in, and with which devices.

use http::StatusCode;
use maud::html;

use super::visit::{Answer, Visit};
use super::{layout, text};

/// The page. Who is not signed in is sent to do so.
pub async fn show(visit: Visit) -> Answer {
    let Some(session) = visit.signed_in() else { return Ok(visit.redirect("/login")) };
    let user = session.user();
    let devices = visit.gateway.directory.devices_of(user.id);
    let content = html! {
        section.card {
            h1 { "Your account" }
            dl.facts {
                dt { "Name" } dd { (user.name) }
                @if !user.email.is_empty() { dt { "E-mail" } dd { bdi { (text::visible_long(&user.email)) } } }
                dt { "Role" } dd { (user.role.name()) }
            }
        }
        section.card {
            h2 { "Devices" }
            @if devices.is_empty() {
                p { "None is signed in yet. Run this on the machine that is to use the gateway, then open the link that it prints:" }
                pre { code { "ollama-auth signin --host " (visit.public) } }
            } @else {
                ul.devices {
                    @for device in &devices {
                        li {
                            p.device {
                                @match text::visible(&device.name).as_str() {
                                    "" => { em { "without a name" } }
                                    name => { bdi { (name) } }
                                }
                            }
                            p.print { (device.key.fingerprint()) }
                            p.hint {
                                "Approved " (text::date(device.created_at)) " · "
                                @match device.last_used_at {
                                    Some(at) => { "last used " (text::ago(at, visit.now)) }
                                    None => { "not used yet" }
                                }
                            }
                        }
                    }
                }
                p.hint { "A device signs itself out with " code { "ollama-auth signout" } "." }
            }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, "Your account", Some(&session), content))
}
