//! Names of models and keys that hosts have listed, so that Tab can complete them without a request. Losing the file does no harm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::BaseUrl;
use crate::disk::{DiskError, Document};
use crate::paths::Paths;

/// The file's name in the folder for state, and its version.
const FILE: &str = "names.json";
const VERSION: u64 = 1;
/// How many names of a kind are stored for a host.
const MAX_NAMES: usize = 1000;

/// What is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Models.
    Models,
    /// API keys.
    Keys,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// By origin.
    #[serde(default)]
    hosts: BTreeMap<String, Listed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
}

impl Listed {
    fn of(&mut self, kind: Kind) -> &mut Vec<String> {
        match kind {
            Kind::Models => &mut self.models,
            Kind::Keys => &mut self.keys,
        }
    }
}

/// The file.
pub struct Names(Document);

impl Names {
    /// The file in the folder for state.
    pub fn new(paths: &Paths) -> Self {
        // A command does not wait for another one that stores names.
        Self(Document::new(paths.state.join(FILE), VERSION).without_waiting())
    }

    /// The names that the host listed last. Empty when the file cannot be read.
    pub fn of(&self, kind: Kind, host: &BaseUrl) -> Vec<String> {
        let content: Content = self.0.peek().unwrap_or_default();
        content.hosts.get(&host.origin().to_string()).cloned().unwrap_or_default().of(kind).clone()
    }

    /// Removes the names of a host, whose credential is gone. A failure is ignored: only Tab would offer them.
    pub fn remove(&self, host: &BaseUrl) {
        let origin = host.origin().to_string();
        let content: Content = self.0.peek().unwrap_or_default();
        if content.hosts.contains_key(&origin) {
            let _ = self.0.update::<Content, _, DiskError>(|content| {
                content.hosts.remove(&origin);
                Ok(())
            });
        }
    }

    /// Stores the names that a host has listed. A failure is ignored: only Tab misses them.
    pub fn store<'a>(&self, kind: Kind, host: &BaseUrl, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<String> = names.into_iter().take(MAX_NAMES).map(str::to_owned).collect();
        if self.of(kind, host) != names {
            let _ = self.0.update::<Content, _, DiskError>(|content| {
                *content.hosts.entry(host.origin().to_string()).or_default().of(kind) = names;
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_host_are_stored_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names(Document::new(folder.path().join(FILE), VERSION).without_waiting());
        let [one, two] = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|url| BaseUrl::parse(url).unwrap().url);
        names.store(Kind::Models, &one, ["a", "b"]);
        names.store(Kind::Keys, &two, ["ci"]);
        assert_eq!(
            (names.of(Kind::Models, &one), names.of(Kind::Keys, &two)),
            (vec!["a".into(), "b".into()], vec!["ci".into()])
        );
        names.remove(&one);
        assert!(names.of(Kind::Models, &one).is_empty() && !names.of(Kind::Keys, &two).is_empty());
    }

    #[test]
    fn storing_does_not_wait_for_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names(Document::new(folder.path().join(FILE), VERSION).without_waiting());
        let _held =
            crate::disk::Lock::acquire(&folder.path().join(format!("{FILE}.lock")), std::time::Duration::ZERO).unwrap();
        let host = BaseUrl::local();
        names.store(Kind::Models, &host, ["a"]);
        assert!(names.of(Kind::Models, &host).is_empty());
    }
}
