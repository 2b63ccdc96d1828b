//! What a check has to say: how bad it is, what was found, why it matters, and what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something may go wrong, or is less safe than it could be.
    Warning,
    /// Something does not work, or a secret lies open.
    Error,
}

/// What it is about, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Key files of stock Ollama.
    KeyFiles,
    /// The Ollama server on this machine.
    LocalServer,
    /// Our folders and stores.
    Stores,
    /// The profiles and their records.
    Profiles,
    /// Variables that decide which credential is used.
    Environment,
    /// Proxies and certificate authorities.
    Network,
    /// Hosts, their clocks, and what they think of the credentials.
    Hosts,
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::KeyFiles => "Key files of Ollama",
            Self::LocalServer => "The Ollama server on this machine",
            Self::Stores => "Where secrets rest",
            Self::Profiles => "Profiles",
            Self::Environment => "Environment",
            Self::Network => "Proxies and certificates",
            Self::Hosts => "Hosts and credentials",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A name for scripts, such as `key-file-exposed`.
    pub check: &'static str,
    /// What it is about.
    pub group: Group,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: Option<String>,
    /// What to do: commands that can be pasted, or a sentence.
    pub remedies: Vec<String>,
}

impl Finding {
    /// A finding without a reason and without a remedy.
    pub fn new(level: Level, group: Group, check: &'static str, what: impl Into<String>) -> Self {
        Self { check, group, level, what: what.into(), why: None, remedies: Vec::new() }
    }

    /// Says why it matters.
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }

    /// The same, where there is something to do.
    pub fn remedies(mut self, remedies: impl IntoIterator<Item = String>) -> Self {
        self.remedies.extend(remedies);
        self
    }
}
