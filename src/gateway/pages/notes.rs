//! What is put on record of sign-ins, sparingly: whoever tries passwords must not be able to fill the disk.
//!
//! At most one entry a minute for each known name and action. All unknown names share one, and are not written down: people type
//! passwords there.

use super::page_context::PageContext;
use crate::gateway::store::{Change, Event};

/// Puts on record that a sign-in failed.
pub fn failed_sign_in(context: &PageContext, name: &str, action: &'static str, detail: &str) {
    let known = context.pages.directory.user_by_name(name).is_some();
    let subject = if known { name } else { "(an unknown name)" };
    if !context.pages.sign_in_notes.allow(&format!("{action} {subject}"), context.now) {
        return;
    }
    let recorded = record(context, "gateway".to_owned(), action, subject.to_owned(), detail.to_owned());
    // Not waited for: the time that the disk takes would tell whether the name is known.
    tokio::spawn(recorded);
}

/// Puts something on record that changes nothing. That it cannot be written stops nobody; the log says so.
pub async fn note(context: &PageContext, actor: String, action: &'static str, subject: String, detail: String) {
    record(context, actor, action, subject, detail).await;
}

fn record(
    context: &PageContext,
    actor: String,
    action: &'static str,
    subject: String,
    detail: String,
) -> impl Future<Output = ()> + use<> {
    let event = Event { at: context.now, actor, action, subject, detail, address: context.address.to_string() };
    let pages = context.pages.clone();
    async move {
        if let Err(error) = pages.directory.commit(Change::Note, event).await {
            tracing::warn!(%error, action, "an event could not be recorded");
        }
    }
}
