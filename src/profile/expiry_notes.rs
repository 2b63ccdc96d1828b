//! When a person was told last that an API key ends soon: once a day is enough. Losing the file does no harm.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::BaseUrl;
use crate::disk::{DiskError, Document};

/// The file's name in the folder for state, and its version.
const FILE: &str = "key-expiry.json";
const VERSION: u64 = 1;
const DAY: i64 = 86_400;
/// No key is told of for longer than this.
const KEPT: i64 = 30 * DAY;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// By host and key, in Unix seconds.
    #[serde(default)]
    told: BTreeMap<String, i64>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct ExpiryNotes(Document);

impl ExpiryNotes {
    /// The file in the folder for state.
    pub fn new(state: &Path) -> Self {
        // A command does not wait for another one.
        Self(Document::new(state.join(FILE), VERSION).without_waiting())
    }

    /// Whether the person is to be told now of that key, named by what tells it apart. Notes that it was told; if that fails, it is told
    /// again.
    pub fn is_due(&self, host: &BaseUrl, key: &str, now: i64) -> bool {
        let name = format!("{} {key}", host.origin());
        let content: Content = self.0.peek().unwrap_or_default();
        if content.told.get(&name).is_some_and(|at| (*at..at.saturating_add(DAY)).contains(&now)) {
            return false;
        }
        let noted = self.0.update::<Content, _, DiskError>(|content| {
            content.told.retain(|_, at| (now.saturating_sub(KEPT)..=now).contains(at));
            content.told.insert(name, now);
            Ok(())
        });
        if let Err(error) = noted {
            tracing::debug!(%error, "it could not be noted that a key's end was told");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_of_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let notes = ExpiryNotes::new(folder.path());
        let [one, two] = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|url| BaseUrl::parse(url).unwrap().url);
        let due = |host, key, now| notes.is_due(host, key, now);
        assert_eq!([due(&one, "a", 100), due(&one, "a", 100), due(&one, "a", 99 + DAY)], [true, false, false]);
        assert_eq!([due(&two, "a", 100), due(&one, "b", 100)], [true, true]);
        assert_eq!([due(&one, "a", 100 + DAY), due(&one, "a", 101 + DAY)], [true, false]);
        // The clock was set back.
        assert_eq!([due(&one, "a", 50), due(&one, "a", 51)], [true, false]);
    }

    #[test]
    fn what_cannot_be_noted_is_told_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let notes = ExpiryNotes::new(&folder.path().join("file"));
        let host = BaseUrl::local();
        assert_eq!([notes.is_due(&host, "a", 1), notes.is_due(&host, "a", 1)], [true, true]);
    }
}
