//! `/settings/keys/revoke`: asks whether it is to be this key, and revokes it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::state::{self, moment};
use super::{KEYS, NEW, REVOKE, signed_in};
use crate::gateway::pages::layout::{self, Tone, hidden};
use crate::gateway::pages::page_context::{Answer, ErrorPage, PageContext, SignedIn};
use crate::gateway::pages::state::Pages;
use crate::gateway::pages::text;
use crate::gateway::store::KeyRecord;
use crate::keyspec::{KeyId, KeyState};
use crate::relative_time;

/// The question. Nothing is changed by following a link.
pub async fn ask(context: PageContext) -> Answer {
    let session = signed_in(&context)?;
    let key = find(&context, &session, &context.parameter("id"))?;
    let state = state::of(&key, &context.pages.directory, context.now);
    if state.state == KeyState::Revoked {
        return Ok(done(&context, &key));
    }
    let owner = context.pages.directory.user(key.user).filter(|owner| owner.id != session.user().id);
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
                    @match key.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" }
                    ", made " (moment(key.created_at))
                }
                dt { "State" } dd { (state.badge()) " " (state::end(&key, state.state, context.now)) }
            }
            @if let Some(by) = &state.replaced_by {
                p.hint { "The key that replaces it, " span.print { (by) } ", stays valid." }
            }
            form #revoke-key method="post" action=(context.link(REVOKE)) {
                (hidden("csrf", &context.token(&session)))
                (hidden("id", key.id.as_str()))
                div.actions {
                    button.destroy type="submit" { "Revoke the key" }
                    a.button.quiet href=(context.link(KEYS)) { "Keep it" }
                }
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Revoke this key?", Some(&session), content))
}

/// The answer.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let form = context.form(body).await?;
    let session = signed_in(&context)?;
    context.check_session(&session, &form)?;
    let key = find(&context, &session, form.get("id"))?;
    let revoked = pages.accounts.revoke(&session.caller, &key.id, context.address).await;
    revoked.map_err(|rejection| context.refused(&rejection))?;
    Ok(done(&context, &key))
}

fn find(context: &PageContext, session: &SignedIn, id: &str) -> Result<Arc<KeyRecord>, ErrorPage> {
    let id: KeyId = id.parse().map_err(|_| {
        let text = html! { p { "It names no key. Go to " a href=(context.link(KEYS)) { "your keys" } " and choose one there." } };
        context.error_page(StatusCode::BAD_REQUEST, "This link is not complete", text)
    })?;
    context.pages.accounts.find_key(&session.caller, &id).map_err(|rejection| context.refused(&rejection))
}

fn done(context: &PageContext, key: &KeyRecord) -> Response {
    let text = html! {
        p { bdi.device dir="ltr" { (text::visible_long(&key.name)) } " is not accepted any more." }
        p.detail { span.print { (key.id) } }
        p { a href=(context.link(KEYS)) { "Your keys and devices" } " · " a href=(context.link(NEW)) { "Create a key" } }
    };
    layout::notice(context, StatusCode::OK, Tone::Good, "Key revoked", text)
}
