//! What `gateway policy explain` asks, and what it is told.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::gateway::refusal_code::RefusalCode;
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
    /// Adds a rule that lets the request pass or refuses it, with the reason in words.
    pub(super) fn add(&mut self, rule: &str, of: &str, outcome: Result<String, (RefusalCode, String)>) {
        let (verdict, detail, code) = match outcome {
            Ok(detail) => (Verdict::Allows, detail, None),
            Err((code, detail)) => (Verdict::Refuses, detail, Some(code.name().to_owned())),
        };
        self.steps.push(Step { rule: rule.to_owned(), of: of.to_owned(), verdict, detail, code });
    }

    /// Adds a rule that lets the request pass.
    pub(super) fn allows(&mut self, rule: &str, of: &str, detail: &str) {
        self.add(rule, of, Ok(detail.to_owned()));
    }

    /// Adds a rule of which it cannot be said.
    pub(super) fn unknown(&mut self, rule: &str, of: &str, detail: &str) {
        let (rule, of, detail) = (rule.to_owned(), of.to_owned(), detail.to_owned());
        self.steps.push(Step { rule, of, verdict: Verdict::Unknown, detail, code: None });
    }

    /// The rule that decides: the first that refuses.
    pub fn refusing(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.verdict == Verdict::Refuses)
    }
}
