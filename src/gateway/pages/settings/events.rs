//! `GET /settings/events`: what happened to the account of the person who is signed in, and what the person did, twenty events at a time.
//!
//! Nothing is shown of others: an administrator has no name and no address here, and of the details only those of the person's own things.

use http::StatusCode;
use maud::{Markup, html};

use crate::gateway::pages::display::EVENTS;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::{display, layout};
use crate::gateway::store::{EventFilter, OwnEvents, RecordedEvent, User};
use crate::keyspec::Scope;

/// Events on one page.
const EVENTS_PER_PAGE: u32 = 20;
/// Keys with the scope `admin` whose events on other accounts are looked for.
const MOST_KEYS: usize = 50;
/// The details that are shown: those of the account, its keys and its devices.
const SHOWN: [&str; 12] = [
    "name",
    "scopes",
    "models",
    "expires_at",
    "environment",
    "role",
    "from",
    "to",
    "limits",
    "groups",
    "addresses",
    "provider",
];
/// Another detail, in the words of the gateway or of the person: what an administrator wrote is for other administrators.
const REASON: &str = "reason";

/// `GET /settings/events?before=NUMBER`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let before = context.parameter("before").parse().ok();
    let filter = EventFilter { before, own: Some(own(&context, session.user())), ..EventFilter::default() };
    let found = context.pages.directory.event_page(EVENTS_PER_PAGE, filter).await;
    let found = found.map_err(|error| context.internal_error(&error.to_string()))?;
    let older = found.next.map(|next| format!("{EVENTS}?before={next}"));
    let content = html! {
        section.card.wide aria-labelledby="events" {
            div {
                h1 #events { "Your events" }
                p.hint { "What happened to your account, and what you did. If something here was not you, change your password and revoke the key or device." }
            }
            @if found.events.is_empty() {
                div.empty { p { strong { @if before.is_some() || found.next.is_some() { "No events here." } @else { "There are no events yet." } } } }
            } @else {
                (table(&session, &found.events))
            }
            div.below {
                @if before.is_some() { a href=(context.link(EVENTS)) { "Newest events" } }
                @if let Some(older) = &older { a #older rel="next" href=(context.link(older)) { "Older events" } }
            }
        }
    };
    Ok(layout::page(&context, StatusCode::OK, "Your events", Some(&session), content))
}

/// What is asked of the store. Who did something is compared by the account: a name can be given to another person later.
fn own(context: &PageContext, user: &User) -> OwnEvents {
    let keys = context.pages.directory.keys_of(user.id);
    let administrating = keys.iter().filter(|key| key.rights.scopes.contains(Scope::Admin)).take(MOST_KEYS);
    let person = ["user:", &user.name].concat();
    let actors = administrating.map(|key| format!("key:{}", key.id)).chain([person]).collect();
    OwnEvents { account: user.id, actors }
}

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
fn table(session: &BrowserSession, events: &[RecordedEvent]) -> Markup {
    html! {
        table.keys.events role="table" aria-labelledby="events" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Event", "By", "About", "Details"] { th scope="col" role="columnheader" { (title) } }
                }
            }
            tbody role="rowgroup" { @for event in events { (row(session.user(), event)) } }
        }
    }
}

fn row(user: &User, event: &RecordedEvent) -> Markup {
    let by = By::of(user, event);
    let shown =
        event.details.as_ref().map(|details| details.only(|name| by.shows(name))).unwrap_or_default().to_string();
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                span.name { (display::visible_text(&event.action)) }
                span.hint { (display::moment(event.at)) }
            }
            td role="cell" data-label="By" {
                span { (by.words()) }
                @if by == By::Own && !event.actor.starts_with("user:") { span.print { (display::visible_text(&event.actor)) } }
                @if by != By::Other && !event.address.is_empty() { span.hint { "from " bdi dir="ltr" { (display::visible_text(&event.address)) } } }
            }
            td role="cell" data-label="About" { span.print { bdi dir="ltr" { (display::visible_text(&event.subject)) } } }
            td role="cell" data-label="Details" {
                @if let Some(code) = &event.code { span.state.warn { (display::visible_text(code)) } }
                @if event.first.is_some() { span.hint { (event.count) " more" } }
                @if !shown.is_empty() { span.print { bdi dir="ltr" { (display::visible_text(&shown)) } } }
            }
        }
    }
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The person, or a device or key of theirs.
    Own,
    /// The gateway itself; also for a caller that it does not know, such as one with a wrong password.
    Gateway,
    /// An administrator, or somebody else.
    Other,
}

impl By {
    fn of(user: &User, event: &RecordedEvent) -> Self {
        match event.actor.as_str() {
            _ if event.actor_account == Some(user.id) => Self::Own,
            "gateway" => Self::Gateway,
            _ => Self::Other,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Own => "you",
            Self::Gateway => "the gateway",
            Self::Other => "an administrator",
        }
    }

    fn shows(self, detail: &str) -> bool {
        SHOWN.contains(&detail) || (detail == REASON && self != Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::gateway::authn::Caller;

    #[test]
    fn nothing_is_shown_of_others() {
        let caller = Caller::for_tests("ada");
        let ada = caller.user();
        let event = |actor: &str, account: Option<Uuid>| -> RecordedEvent {
            serde_json::from_value(json!({
                "at": 1, "actor": actor, "actor_account": account, "action": "device.approved", "subject": "SHA256:x",
                "account_id": ada.id, "detail": "", "address": "192.0.2.99",
                "details": { "name": "<b>\u{202e}", "reason": "gossip", "previous_account": "eve", "asked_from": "192.0.2.98" },
            }))
            .unwrap()
        };
        let shown = |event: &RecordedEvent| row(ada, event).into_string();
        for other in [event("user:root", Some(Uuid::from_u128(7))), event("admin", None), event("user:ada", None)] {
            let shown = shown(&other);
            assert!(shown.contains("an administrator") && shown.contains("name="), "{shown}");
            for hidden in ["root", "192.0.2", "gossip", "eve", "user:"] {
                assert!(!shown.contains(hidden), "{hidden}: {shown}");
            }
        }
        let own = shown(&event("key:key_a", Some(ada.id)));
        assert!(own.contains(">you<") && own.contains("key:key_a") && own.contains("192.0.2.99"), "{own}");
        assert!(own.contains("gossip") && !own.contains("eve") && !own.contains("192.0.2.98"), "{own}");
        assert!(!own.contains("<b>") && !own.contains('\u{202e}'), "{own}");
        let failed = shown(&event("gateway", None));
        assert!(failed.contains("the gateway") && failed.contains("192.0.2.99"), "{failed}");
    }
}
