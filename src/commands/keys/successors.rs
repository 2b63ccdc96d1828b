//! The keys that took the place of another one. They stay valid when that one is revoked, and whoever got hold of it may have asked for
//! them.

use std::collections::HashMap;

use super::revoke_command;
use super::time::state;
use crate::address::BaseUrl;
use crate::api::KeyEntry;
use crate::app::App;
use crate::keyspec::KeyId;

/// The valid ones of a list: those that replace the key of that id, those that replace these, and so on. The list should hold revoked ones
/// too: one of them may have been replaced before.
pub(super) fn valid_successors(entries: &[KeyEntry], id: &KeyId, now: i64) -> Vec<KeyEntry> {
    let mut after: HashMap<&str, Vec<&KeyEntry>> = HashMap::new();
    for entry in entries {
        if let Some(old) = &entry.replaces {
            after.entry(old).or_default().push(entry);
        }
    }
    let (mut waiting, mut found) = (vec![id.as_str()], Vec::new());
    // Taken out, so that a list that goes round in circles ends.
    while let Some(old) = waiting.pop() {
        let next = after.remove(old).unwrap_or_default();
        waiting.extend(next.iter().map(|entry| entry.id.as_str()));
        found.extend(next.into_iter().filter(|entry| state(entry, now) == "valid" && entry.id != id.as_str()).cloned());
    }
    found
}

/// Says that they stay valid, and how to end them.
pub(super) fn warn_of_successors(app: &App, successors: &[KeyEntry], host: &BaseUrl) {
    for entry in successors {
        let which = format!("the API key {:?} ({})", entry.name, entry.id);
        app.printer.warn(&format!("{which} was made to replace it and stays valid at {host}"));
        if let Ok(id) = entry.id.parse() {
            app.printer.hint(&format!("if nobody should have it, revoke it too: {}", revoke_command(&id, host)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_branch_end_and_go_round_in_circles() {
        let entry = |(id, replaces, revoked): &(&str, &str, bool)| -> KeyEntry {
            let at = revoked.then_some("2026-01-01T00:00:00Z");
            serde_json::from_value(json!({ "id": id, "replaces": replaces, "revoked_at": at })).unwrap()
        };
        let list = [
            ("key_aaaaaaaa", "key_dddddddd", false),
            ("key_bbbbbbbb", "key_aaaaaaaa", true),
            ("key_cccccccc", "key_aaaaaaaa", false),
            ("key_dddddddd", "key_bbbbbbbb", false),
            ("key_eeeeeeee", "key_ffffffff", false),
        ];
        let found = valid_successors(&list.each_ref().map(entry), &"key_aaaaaaaa".parse().unwrap(), 0);
        let found: Vec<&str> = found.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(found, ["key_cccccccc", "key_dddddddd"]);
    }
}
