//! The answer with the new key: the only place where it is ever shown. And what stands there when the same form comes again.

use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::script::{self, Scripted};
use super::state::moment;
use super::{KEYS, NEW, REVOKE, models};
use crate::gateway::pages::layout::{self, Tone};
use crate::gateway::pages::page_context::{PageContext, SignedIn};
use crate::gateway::pages::text;
use crate::gateway::store::KeyRecord;
use crate::keyspec::ApiKey;

/// The key.
pub fn page(context: &PageContext, session: &SignedIn, record: &KeyRecord, key: &ApiKey) -> Response {
    let content = html! {
        section.card.form {
            div.done {
                p.badge.good aria-hidden="true" { "✓" }
                div {
                    h1 { "Your new API key" }
                    p.hint { "Copy it now: it is shown this once, and nobody can show it again." }
                }
            }
            div.secret {
                p.label #key-label { "Key" }
                p { code #key aria-labelledby="key-label" translate="no" spellcheck="false" { (key.expose()) } }
                div.copying {
                    button.primary #copy type="button" hidden { "Copy" }
                    span #copied .hint role="status" {}
                }
            }
            div.warning {
                p { "Whoever has it can do what it may do. Keep it in a password manager or a secret store, not in a file that is shared." }
            }
            dl.facts {
                dt { "Name" } dd { bdi dir="ltr" { (text::visible_long(&record.name)) } }
                dt { "Id" } dd.print { (record.id) }
                dt { "May" } dd { span.tags { @for scope in record.rights.scopes.iter() { code { (scope) } } } }
                dt { "Models" } dd {
                    @if record.rights.models.patterns().is_empty() { "all" } @else { (models::line(&record.rights.models)) }
                }
                dt { "Ends" } dd { @match record.rights.expires_at { Some(end) => (moment(end)), None => "never" } }
                @if let Some(environment) = &record.environment {
                    dt { "Environment" } dd { bdi dir="ltr" { (text::visible_long(environment)) } }
                }
            }
            div.actions { a.button.quiet #done href=(context.link(KEYS)) { "I have copied it" } }
        }
        (script::tag(context))
    };
    let mut response = layout::page(context, StatusCode::CREATED, "Your new API key", Some(session), content);
    response.extensions_mut().insert(Scripted);
    response
}

/// The form came again, by a reload or a second press: no second key, and the first is not shown again.
pub fn again(context: &PageContext, key: &KeyRecord) -> Response {
    let revoke = context.link(&format!("{REVOKE}?id={}", key.id));
    let text = html! {
        p { "This form has made the key " bdi.device dir="ltr" { (text::visible_long(&key.name)) } " and makes no second one. A key is shown once." }
        p.detail { span.print { (key.id) } ", made " (text::date(key.created_at)) }
        p {
            "If you did not copy it: " a href=(revoke) { "revoke it" } " and "
            a href=(context.link(NEW)) { "create another" } ". Else go to " a href=(context.link(KEYS)) { "your keys" } "."
        }
    };
    layout::notice(context, StatusCode::CONFLICT, Tone::Plain, "This key has been made", text)
}
