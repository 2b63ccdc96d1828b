//! What `gateway policy explain` asks, and what it is told.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::keyspec::KeyId;

/// A request that nobody makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// The API key that makes it; `None`: a device of `user`.
    pub key: Option<KeyId>,
    /// The account's name, without `key`.
    pub user: Option<String>,
    /// Its method, in capitals.
    pub method: String,
    /// Its path, without the base path.
    pub path: String,
    /// The model that it names.
    pub model: Option<String>,
    /// The address that it comes from.
    pub from: Option<IpAddr>,
    /// The host name that it is sent to, as in a `Host` header.
    #[serde(default)]
    pub to_host: Option<String>,
    /// The configuration file, for where no gateway runs: TOML.
    pub configuration: Option<String>,
}

/// What a rule says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It lets it pass.
    Allows,
    /// It refuses it.
    Refuses,
    /// It cannot be said: something is not given, or only a running gateway knows it.
    Unknown,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about, in a word or two.
    pub rule: String,
    /// Where it is defined: a table of the configuration, the account or the key.
    pub of: String,
    /// What it says.
    pub verdict: Verdict,
    /// Why, in words.
    pub detail: String,
    /// The code of the refusal.
    pub code: Option<String>,
}

/// Every rule that applies, in the order in which a gateway evaluates them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The rules.
    pub steps: Vec<Step>,
}

impl Explanation {
    /// The rule that decides: the first that refuses.
    pub fn refusing(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.verdict == Verdict::Refuses)
    }
}
