//! `/settings/keys/revoke`: asks whether it is to be this key, and revokes it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::state::{self, State as KeyState, moment};
use super::{KEYS, NEW, REVOKE, signed_in};
use crate::gateway::account;
use crate::gateway::pages::layout::{self, Tone, hidden};
use crate::gateway::pages::text;
use crate::gateway::pages::visit::{Answer, SignedIn, Stop, Visit};
use crate::gateway::state::Gateway;
use crate::gateway::store::KeyRecord;
use crate::keyspec::KeyId;

/// The question. Nothing is changed by following a link.
pub async fn ask(visit: Visit) -> Answer {
    let session = signed_in(&visit)?;
    let key = find(&visit, &session, &visit.parameter("id"))?;
    let state = state::of(&key, &visit.gateway.directory, visit.now);
    if let KeyState::Revoked(_) = state {
        return Ok(done(&visit, &key));
    }
    let owner = visit.gateway.directory.user(key.user).filter(|owner| owner.id != session.user().id);
    let content = html! {
        section.card.form {
            div {
                h1 { "Revoke this key?" }
                p.hint { "Programs that use it are refused at once. This cannot be undone." }
            }
            @if let Some(owner) = &owner {
                p.alert { "It is a key of " strong { (owner.name) } ", not one of yours." }
            }
            dl.facts {
                dt { "Name" } dd { bdi.device dir="ltr" { (text::visible_long(&key.name)) } }
                dt { "Id" } dd.print { (key.id) }
                dt { "Key" } dd { "ends in " code { "…" (key.hint) } }
                @if let Some(environment) = &key.environment {
                    dt { "Environment" } dd { bdi dir="ltr" { (text::visible_long(environment)) } }
                }
                dt { "Last used" } dd {
                    @match key.last_used_at { Some(at) => (text::ago(at, visit.now)), None => "never" }
                    ", made " (moment(key.created_at))
                }
                dt { "State" } dd { (state.badge()) " " (state::end(&key, &state, visit.now)) }
            }
            @if let KeyState::Replaced(by) = &state {
                p.hint { "The key that replaces it, " span.print { (by) } ", stays valid." }
            }
            form #revoke-key method="post" action=(visit.link(REVOKE)) {
                (hidden("csrf", &visit.token(&session)))
                (hidden("id", key.id.as_str()))
                div.actions {
                    button.destroy type="submit" { "Revoke the key" }
                    a.button.quiet href=(visit.link(KEYS)) { "Keep it" }
                }
            }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, "Revoke this key?", Some(&session), content))
}

/// The answer.
pub async fn submit(State(gateway): State<Arc<Gateway>>, visit: Visit, body: Body) -> Answer {
    let form = visit.form(body).await?;
    let session = signed_in(&visit)?;
    visit.check_session(&session, &form)?;
    let key = find(&visit, &session, form.get("id"))?;
    let revoked = account::revoke(&gateway, &session.caller, &key.id, visit.address).await;
    revoked.map_err(|refusal| visit.refused(&refusal))?;
    Ok(done(&visit, &key))
}

fn find(visit: &Visit, session: &SignedIn, id: &str) -> Result<Arc<KeyRecord>, Stop> {
    let id: KeyId = id.parse().map_err(|_| {
        let text = html! { p { "It names no key. Go to " a href=(visit.link(KEYS)) { "your keys" } " and choose one there." } };
        visit.stop(StatusCode::BAD_REQUEST, "This link is not complete", text)
    })?;
    account::find_key(&visit.gateway, &session.caller, &id).map_err(|refusal| visit.refused(&refusal))
}

fn done(visit: &Visit, key: &KeyRecord) -> Response {
    let text = html! {
        p { bdi.device dir="ltr" { (text::visible_long(&key.name)) } " is not accepted any more." }
        p.detail { span.print { (key.id) } }
        p { a href=(visit.link(KEYS)) { "Your keys and devices" } " · " a href=(visit.link(NEW)) { "Create a key" } }
    };
    layout::notice(visit, StatusCode::OK, Tone::Good, "Key revoked", text)
}
