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
const MOST: usize = 1000;

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
        Self(Document::new(paths.state.join(FILE), VERSION))
    }

    /// The names that the host listed last. Empty when the file cannot be read.
    pub fn of(&self, kind: Kind, host: &BaseUrl) -> Vec<String> {
        let content: Content = self.0.peek().unwrap_or_default();
        content.hosts.get(&host.origin().to_string()).cloned().unwrap_or_default().of(kind).clone()
    }

    /// Stores the names that a host has listed. A failure is ignored: only Tab misses them.
    pub fn store<'a>(&self, kind: Kind, host: &BaseUrl, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<String> = names.into_iter().take(MOST).map(str::to_owned).collect();
        if self.of(kind, host) != names {
            let _ = self.0.update::<Content, _, DiskError>(|content| {
                *content.hosts.entry(host.origin().to_string()).or_default().of(kind) = names;
                Ok(())
            });
        }
    }
}
