//! What is put on record of sign-ins, sparingly: whoever tries passwords must not be able to fill the disk.
//!
//! At most one entry a minute for each known name and action. All unknown names share one, and are not written down: people type
//! passwords there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::page_context::PageContext;
use crate::gateway::store::{Change, Event};

/// In seconds.
const EVERY: i64 = 60;
/// From so many on, those that are over are dropped.
const TIDY: usize = 1024;

/// When what was put on record last.
#[derive(Default)]
pub struct Notes(Mutex<HashMap<(&'static str, String), i64>>);

impl Notes {
    fn is_due(&self, action: &'static str, subject: &str, now: i64) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: i64| (now - at).abs() < EVERY;
        if all.len() >= TIDY {
            all.retain(|_, at| recent(*at));
        }
        let last = all.entry((action, subject.to_owned()));
        match last {
            std::collections::hash_map::Entry::Occupied(entry) if recent(*entry.get()) => false,
            entry => {
                entry.insert_entry(now);
                true
            }
        }
    }
}

/// Puts on record that a sign-in failed.
pub fn failed_sign_in(context: &PageContext, name: &str, action: &'static str, detail: &str) {
    let known = context.gateway.directory.user_by_name(name).is_some();
    let subject = if known { name } else { "(an unknown name)" };
    if !context.gateway.pages.notes.is_due(action, subject, context.now) {
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
    let gateway = context.gateway.clone();
    async move {
        if let Err(error) = gateway.directory.commit(Change::Note, event).await {
            tracing::warn!(%error, action, "an event could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_for_each() {
        let notes = Notes::default();
        assert!(notes.is_due("a", "ada", 0) && !notes.is_due("a", "ada", 59));
        assert!(notes.is_due("b", "ada", 1) && notes.is_due("a", "bob", 1));
        assert!(notes.is_due("a", "ada", 60) && !notes.is_due("a", "ada", 61));
        for n in 0..5000 {
            notes.is_due("a", &n.to_string(), 1000 + n * 60);
        }
        assert!(notes.0.lock().unwrap().len() <= TIDY);
    }
}
