//! What can be wrong with a key, decided from what its host says of it. Pure: the clock is handed in. `keys list` names the
//! problems, `keys audit` reports them with what it finds on this machine.
//!
//! A host tells when a key was last used, not for what. So "broader than what it was used for" is known only of a key that was
//! not used at all, and otherwise only which keys could do great harm: that is what over-broad means here.

use std::collections::HashMap;

use serde::Serialize;

use super::list::span;
use crate::api::KeyEntry;
use crate::keyspec::{Scope, expires_soon};

const DAY: i64 = 86_400;
/// A key that was never used may be this old.
const MAX_AGE_UNUSED: i64 = 7 * DAY;
/// A key that is not used for longer than this may not be needed any more.
const MAX_IDLE: i64 = 30 * DAY;
/// A key that ends within this time needs a successor.
const EXPIRY_WARNING: i64 = 14 * DAY;

/// A kind of finding. The order is that of their urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FindingKind {
    /// Other accounts of this machine can read a file that holds a secret.
    Exposed,
    /// A profile could not be checked.
    Unchecked,
    /// The key has expired.
    Expired,
    /// The key that is stored here was replaced, and ends.
    Replaced,
    /// The same key is stored in two places.
    Duplicate,
    /// Older than the limit.
    Stale,
    /// Never used, or not for long.
    Unused,
    /// It expires soon.
    Expiring,
    /// It has rights that do great harm if it leaks.
    OverBroad,
    /// It never expires.
    NoExpiry,
    /// `OLLAMA_API_KEY` is set and hides a stored key.
    Shadowed,
    /// The host does not list its keys, so they cannot be checked.
    Unlisted,
}

/// How bad it is, in SARIF's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// To be fixed now.
    Error,
    /// To be looked at.
    Warning,
    /// Good to know.
    Note,
}

impl FindingKind {
    /// All, the most urgent first.
    pub(super) const ALL: [Self; 12] = [
        Self::Exposed,
        Self::Unchecked,
        Self::Expired,
        Self::Replaced,
        Self::Duplicate,
        Self::Stale,
        Self::Unused,
        Self::Expiring,
        Self::OverBroad,
        Self::NoExpiry,
        Self::Shadowed,
        Self::Unlisted,
    ];

    /// Its name on the command line and in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exposed => "exposed",
            Self::Unchecked => "unchecked",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Unused => "unused",
            Self::Expiring => "expiring",
            Self::OverBroad => "over-broad",
            Self::NoExpiry => "no-expiry",
            Self::Shadowed => "shadowed",
            Self::Unlisted => "unlisted",
        }
    }

    /// What it means, in one sentence without a full stop.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Exposed => "A file with a secret can be read by other accounts of this machine",
            Self::Unchecked => "A profile could not be checked",
            Self::Expired => "A key has expired and was not replaced",
            Self::Replaced => "The stored key was replaced elsewhere and expires, but the new key is not stored here",
            Self::Duplicate => "One key is stored in several places, so it cannot be revoked for one of them alone",
            Self::Stale => "A key is older than the limit",
            Self::Unused => "A key was never used, or not for a long time",
            Self::Expiring => "A key expires soon and was not replaced",
            Self::OverBroad => "A key has rights that do great harm if it leaks",
            Self::NoExpiry => "A key never expires",
            Self::Shadowed => "OLLAMA_API_KEY is set and hides a stored key",
            Self::Unlisted => "The host has no API that lists its keys, so they cannot be checked",
        }
    }

    /// How bad it is.
    pub(super) fn level(self) -> Severity {
        match self {
            Self::Exposed | Self::Unchecked | Self::Expired | Self::Replaced | Self::Duplicate => Severity::Error,
            Self::Stale | Self::Unused | Self::Expiring | Self::OverBroad => Severity::Warning,
            Self::NoExpiry | Self::Shadowed | Self::Unlisted => Severity::Note,
        }
    }
}

/// One problem of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyProblem {
    pub kind: FindingKind,
    /// What is wrong, as the end of a sentence that begins with the key.
    pub text: String,
}

/// By what keys are assessed.
#[derive(Debug)]
pub(super) struct KeyAssessor {
    /// The Unix time, in seconds.
    now: i64,
    /// The age in seconds from which on a key is stale; `None`: none is.
    max_age: Option<i64>,
    /// The keys that have a successor, and its id.
    replaced: HashMap<String, String>,
    /// The key that is stored here.
    stored: Option<String>,
}

impl KeyAssessor {
    /// For the keys of one host, of which `stored` is the id of the one that is stored here. A key that has a replacement ends
    /// soon and needs no action, unless it is that one.
    pub(super) fn new(now: i64, max_age: Option<u64>, entries: &[KeyEntry], stored: Option<&str>) -> Self {
        let alive = entries.iter().filter(|entry| entry.revoked_at.is_none());
        let replaced = alive.filter_map(|entry| Some((entry.replaces.clone()?, entry.id.clone()))).collect();
        let max_age = max_age.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        Self { now, max_age, replaced, stored: stored.map(str::to_owned) }
    }

    /// What is wrong with a key, the most urgent first. Nothing is wrong with one that is revoked.
    pub(super) fn problems(&self, entry: &KeyEntry) -> Vec<KeyProblem> {
        let left = entry.expires_at.map(|end| end.as_second().saturating_sub(self.now));
        if entry.revoked_at.is_some() {
            return Vec::new();
        }
        let problem = |kind, text: String| KeyProblem { kind, text };
        if let (Some(successor), Some(left)) =
            (self.replaced.get(&entry.id), left.filter(|left| *left <= EXPIRY_WARNING))
        {
            if self.stored.as_ref() != Some(&entry.id) {
                return Vec::new();
            }
            let end = if left > 0 { format!("expires in {}", span(left)) } else { "has expired".to_owned() };
            return vec![problem(FindingKind::Replaced, format!("was replaced by {successor} and {end}"))];
        }
        if let Some(left) = left.filter(|left| *left <= 0) {
            return vec![problem(FindingKind::Expired, format!("expired {} ago", span(left.saturating_neg())))];
        }
        let mut problems = Vec::new();
        // A clock that is behind makes keys of the future: they are new.
        let age = entry.created_at.map(|made| self.now.saturating_sub(made.as_second()).max(0));
        if let (Some(age), Some(limit)) = (age, self.max_age)
            && age > limit
        {
            problems
                .push(problem(FindingKind::Stale, format!("is {} old, and the limit is {}", span(age), span(limit))));
        }
        if let Some(text) = self.unused(entry, age) {
            problems.push(problem(FindingKind::Unused, text));
        }
        let created_at = entry.created_at.map(jiff::Timestamp::as_second);
        if let Some(left) = left.filter(|left| expires_soon(created_at, self.now.saturating_add(*left), self.now)) {
            problems.push(problem(FindingKind::Expiring, format!("expires in {}", span(left))));
        }
        if let Some(text) = excessive_rights(entry) {
            problems.push(problem(FindingKind::OverBroad, text));
        }
        if entry.expires_at.is_none() {
            problems.push(problem(FindingKind::NoExpiry, "never expires".to_owned()));
        }
        problems
    }

    fn unused(&self, entry: &KeyEntry, age: Option<i64>) -> Option<String> {
        match (entry.last_used_at, age) {
            (None, Some(age)) if age > MAX_AGE_UNUSED => Some(format!("is {} old and was never used", span(age))),
            (Some(used), _) => {
                let ago = self.now.saturating_sub(used.as_second());
                (ago > MAX_IDLE).then(|| format!("was last used {} ago", span(ago)))
            }
            _ => None,
        }
    }
}

/// Managing keys and passing on rights have effects that outlive the key; changing models affects all their users.
fn excessive_rights(entry: &KeyEntry) -> Option<String> {
    let has = |scope: Scope| entry.scopes.iter().any(|name| name == scope.name());
    let harm = if has(Scope::Admin) {
        "may manage other accounts (admin)"
    } else if has(Scope::Keys) {
        "may create and revoke keys (keys)"
    } else if has(Scope::ModelsWrite) && entry.models.is_empty() {
        "may change and delete every model (models:write)"
    } else {
        return None;
    };
    let used = if entry.last_used_at.is_none() { ", and was never used" } else { "" };
    Some(format!("{harm}{used}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::{FAIL_ON, KEY_PROBLEMS};

    const NOW: i64 = 1_795_211_572;

    fn entry(members: Value) -> KeyEntry {
        let at = |days: i64| jiff::Timestamp::from_second(NOW + days * DAY).unwrap().to_string();
        let mut all = json!({
            "id": "key_12345678", "scopes": ["inference"], "created_at": at(-1), "last_used_at": at(-1), "expires_at": at(80),
        });
        for (name, value) in members.as_object().unwrap() {
            all[name] = if name.ends_with("_at") {
                value.as_i64().map_or(Value::Null, |d| at(d).into())
            } else {
                value.clone()
            };
        }
        serde_json::from_value(all).unwrap()
    }

    fn kinds(members: Value) -> Vec<&'static str> {
        let entries = [entry(members)];
        let assessor = KeyAssessor::new(NOW, Some(90 * 86_400), &entries, None);
        assessor.problems(&entries[0]).iter().map(|problem| problem.kind.name()).collect()
    }

    #[test]
    fn each_problem_is_seen_and_nothing_else() {
        let none: [&str; 0] = [];
        for (members, expected) in [
            (json!({}), &none[..]),
            (json!({ "created_at": -91, "expires_at": 80 }), &["stale"]),
            (json!({ "created_at": -90 }), &none),
            (json!({ "created_at": -8, "last_used_at": null }), &["unused"]),
            (json!({ "created_at": -6, "last_used_at": null }), &none),
            (json!({ "created_at": -60, "last_used_at": -31 }), &["unused"]),
            (json!({ "created_at": -60, "last_used_at": -30 }), &none),
            (json!({ "created_at": -60, "expires_at": 14 }), &["expiring"]),
            (json!({ "created_at": -60, "expires_at": 15 }), &none),
            (json!({ "expires_at": null }), &["no-expiry"]),
            (json!({ "expires_at": -1, "created_at": -500, "last_used_at": null }), &["expired"]),
            (json!({ "expires_at": 0 }), &["expired"]),
            (json!({ "scopes": ["admin"] }), &["over-broad"]),
            (json!({ "scopes": ["keys", "of:tomorrow"] }), &["over-broad"]),
            (json!({ "scopes": ["models:write"] }), &["over-broad"]),
            (json!({ "scopes": ["models:write"], "models": ["tiny"] }), &none),
            (json!({ "scopes": ["of:tomorrow"] }), &none),
            (json!({ "revoked_at": -1, "expires_at": null, "created_at": -900, "scopes": ["admin"] }), &none),
            (
                json!({ "created_at": -400, "last_used_at": null, "expires_at": null, "scopes": ["keys"] }),
                &["stale", "unused", "over-broad", "no-expiry"],
            ),
        ] {
            assert_eq!(kinds(members.clone()), expected, "{members}");
        }
    }

    #[test]
    fn what_the_host_does_not_say_is_not_held_against_a_key() {
        assert!(kinds(json!({ "created_at": null, "last_used_at": null })).is_empty());
        assert_eq!(kinds(json!({ "created_at": null, "expires_at": 3 })), ["expiring"]);
        // A clock that was set back.
        assert!(kinds(json!({ "created_at": 4000, "last_used_at": 4000, "expires_at": 5000 })).is_empty());
    }

    #[test]
    fn a_short_life_is_not_all_of_it_an_end() {
        assert!(kinds(json!({ "created_at": 0, "expires_at": 7 })).is_empty());
        assert_eq!(kinds(json!({ "created_at": -4, "expires_at": 3 })), ["expiring"]);
    }

    #[test]
    fn the_ends_of_time_are_times_too() {
        for created in [jiff::Timestamp::MIN, jiff::Timestamp::MAX] {
            for now in [i64::MIN, 0, i64::MAX] {
                let mut all = entry(json!({}));
                (all.created_at, all.last_used_at, all.expires_at) = (Some(created), Some(created), Some(created));
                for max_age in [None, Some(0), Some(u64::MAX)] {
                    let _ = KeyAssessor::new(now, max_age, &[], None).problems(&all);
                }
            }
        }
    }

    #[test]
    fn a_key_that_was_replaced_may_end_in_peace() {
        let old = entry(json!({ "created_at": -200, "expires_at": 1 }));
        let done = entry(json!({ "created_at": -200, "expires_at": -1 }));
        let new = entry(json!({ "id": "key_87654321", "replaces": "key_12345678" }));
        let assessor = KeyAssessor::new(NOW, Some(90 * 86_400), &[old.clone(), new.clone()], None);
        assert!(assessor.problems(&old).is_empty() && assessor.problems(&done).is_empty());
        // Not where it is the key that is still in use.
        let here = KeyAssessor::new(NOW, None, &[old.clone(), new], Some("key_12345678"));
        for (key, end) in [(&old, "expires in 24 hours"), (&done, "has expired")] {
            let problems = here.problems(key);
            assert_eq!((problems.len(), problems[0].kind), (1, FindingKind::Replaced));
            assert_eq!(problems[0].text, format!("was replaced by key_87654321 and {end}"));
        }
        // A key whose expiry was not brought forward is still in use.
        let lasting = entry(json!({ "created_at": -200 }));
        assert_eq!(assessor.problems(&lasting)[0].kind, FindingKind::Stale);
        // A revoked successor does not count.
        let gone = entry(json!({ "id": "key_87654321", "replaces": "key_12345678", "revoked_at": -1 }));
        assert_eq!(KeyAssessor::new(NOW, None, &[gone], None).problems(&done)[0].kind, FindingKind::Expired);
    }

    #[test]
    fn the_command_line_knows_the_same_names() {
        let known = |name: &&str| FindingKind::ALL.iter().any(|kind| kind.name() == *name);
        assert!(KEY_PROBLEMS.iter().all(known));
        let findings: Vec<_> = FAIL_ON.iter().filter(|name| !["all", "none"].contains(name)).collect();
        // What could not be checked has an exit code of its own.
        assert!(findings.iter().all(|name| known(name)) && findings.len() == FindingKind::ALL.len() - 1);
        for kind in FindingKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), json!(kind.name()));
        }
    }
}
