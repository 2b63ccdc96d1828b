//! What can be typed after `keys`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::values::{AgeArg, SpanArg};
use crate::keyspec::{Lifetime, ModelPattern, Scope};

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an API key and print it, this once
    Create(KeysCreate),
    /// List the account's API keys, and what is wrong with each
    List(KeysList),
    /// Revoke an API key
    Revoke(KeysRevoke),
    /// Replace an API key by a new one with the same rights; made for cron
    Rotate(KeysRotate),
    /// Find keys that are too old, unused, too broad, exposed or kept twice; exit 8 if there are any
    Audit(KeysAudit),
    /// Keep an API key that was made elsewhere, read from standard input or a hidden prompt
    Import(KeysImport),
    /// Remove this profile's copy of its API key; the key stays valid at the host
    Forget(KeysForget),
}

/// `keys create`.
#[derive(Debug, Clone, Args)]
pub struct KeysCreate {
    /// What to call it
    pub name: String,
    /// What it may do (can be repeated): inference, models:read, models:write, usage:read, keys [default: inference and models:read]
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<Scope>,
    /// Only models whose name fits, with * for any characters (can be repeated) [default: all]
    #[arg(long = "model", value_name = "GLOB", value_delimiter = ',')]
    pub models: Vec<ModelPattern>,
    /// How long it lives: 90d, 12h, never
    #[arg(long, value_name = "SPAN", default_value = "90d")]
    pub expires: Lifetime,
    /// Where it is used, such as ci
    #[arg(long = "env", value_name = "NAME")]
    pub environment: Option<String>,
    /// Do not let the key ask for a replacement of itself
    #[arg(long)]
    pub no_replace: bool,
    /// Keep it in this profile's store instead of printing it
    #[arg(long)]
    pub save: bool,
    /// Open the page where keys are made, if the host makes none for programs (ollama.com)
    #[arg(long)]
    pub open: bool,
}

/// `keys list`.
#[derive(Debug, Clone, Args)]
pub struct KeysList {
    /// Only keys of which this holds (can be repeated; all must hold): name, id, env, scope, model, state or problem, with * for any
    /// characters, such as env=ci or problem=stale
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    pub filters: Vec<KeyFilter>,
    /// In which order [default: attention; with --json the host's]
    #[arg(long, value_enum, value_name = "BY")]
    pub sort: Option<KeySort>,
    /// Include keys that were revoked
    #[arg(long)]
    pub revoked: bool,
    /// Call a key stale that is older than this
    #[arg(long, value_name = "SPAN", default_value = "90d")]
    pub max_age: Lifetime,
}

/// The order of a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeySort {
    /// What needs attention first
    Attention,
    /// By name
    Name,
    /// The oldest first
    Age,
    /// What was used longest ago first
    LastUsed,
    /// What ends soonest first
    Expires,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyField {
    /// The name.
    Name,
    /// The public id.
    Id,
    /// The environment.
    Environment,
    /// Any of the scopes.
    Scope,
    /// Any of the model patterns.
    Model,
    /// `valid`, `expired` or `revoked`.
    State,
    /// Any of the problems.
    Problem,
}

/// `NAME=VALUE`: a member of a key, and what it is to be; `*` stands for any characters, an empty value for none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFilter {
    /// What is looked at.
    pub field: KeyField,
    /// The pattern.
    pub pattern: String,
}

impl FromStr for KeyFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pattern) = text.split_once('=').ok_or("it is NAME=VALUE, such as env=ci")?;
        let field = match name.trim() {
            "name" => KeyField::Name,
            "id" => KeyField::Id,
            "env" | "environment" => KeyField::Environment,
            "scope" => KeyField::Scope,
            "model" => KeyField::Model,
            "state" => KeyField::State,
            "problem" => KeyField::Problem,
            other => return Err(format!("{other:?} is no name: it is name, id, env, scope, model, state or problem")),
        };
        let known = |values: &[&str]| values.contains(&pattern) || pattern.contains('*') || pattern.is_empty();
        if field == KeyField::State && !known(&["valid", "expired", "revoked"]) {
            return Err("a state is valid, expired or revoked".to_owned());
        }
        if field == KeyField::Problem && !known(&KEY_PROBLEMS) {
            return Err(format!("a problem is one of: {}", KEY_PROBLEMS.join(", ")));
        }
        Ok(Self { field, pattern: pattern.to_owned() })
    }
}

/// What can be wrong with a key at its host.
pub const KEY_PROBLEMS: [&str; 6] = ["expired", "stale", "unused", "expiring", "over-broad", "no-expiry"];

/// What `--fail-on` knows: findings, `all` of them, or `none`.
pub const FAIL_ON: [&str; 12] = [
    "stale",
    "unused",
    "expired",
    "exposed",
    "duplicate",
    "expiring",
    "no-expiry",
    "over-broad",
    "shadowed",
    "unlisted",
    "all",
    "none",
];

/// `keys audit`.
#[derive(Debug, Clone, Args)]
pub struct KeysAudit {
    /// Call a key stale that is older than this
    #[arg(long, value_name = "SPAN", default_value = "90d")]
    pub max_age: Lifetime,
    /// The findings that end it with exit code 8 (can be repeated)
    #[arg(long, value_name = "FINDING", value_delimiter = ',', value_parser = FAIL_ON,
          default_values = ["stale", "unused", "expired", "exposed", "duplicate"])]
    pub fail_on: Vec<String>,
    /// How to write the findings; --json is the same as json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: AuditFormat,
    /// How long each host may take
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub timeout: SpanArg,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// For people
    Text,
    /// For scripts
    Json,
    /// For code scanning services: SARIF 2.1.0
    Sarif,
}

/// `keys import`.
#[derive(Debug, Clone, Args)]
pub struct KeysImport {
    /// What to call it here [default: as the host does, if it says]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where it is used, such as ci
    #[arg(long = "env", value_name = "NAME")]
    pub environment: Option<String>,
    /// Do not ask the host whether it accepts the key
    #[arg(long)]
    pub no_verify: bool,
    /// Let it take the place of another key that is kept here
    #[arg(long)]
    pub replace: bool,
    /// Takes what somebody typed behind it, so that a key is not repeated in an error.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub stray: Vec<OsString>,
}

/// `keys forget`.
#[derive(Debug, Clone, Args)]
pub struct KeysForget {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Even if a rotation of the key is under way
    #[arg(long)]
    pub force: bool,
}

/// `keys revoke`.
#[derive(Debug, Clone, Args)]
pub struct KeysRevoke {
    /// Its id, or its name
    #[arg(value_name = "ID|NAME", required_unless_present = "key_stdin", conflicts_with = "key_stdin")]
    pub key: Option<String>,
    /// Read the key itself from standard input
    #[arg(long)]
    pub key_stdin: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `keys rotate`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["key", "all"]))]
pub struct KeysRotate {
    /// The key: its name or its id
    #[arg(value_name = "NAME|ID")]
    pub key: Option<String>,
    /// Every API key that a profile here keeps
    #[arg(long)]
    pub all: bool,
    /// Only if it is that old, or ends soon: 90d, 12h
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<AgeArg>,
    /// How long the old key lives on: 24h, 30m, 0s to revoke it at once
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub grace: AgeArg,
    /// A shell command that takes the new key to where it is used; it gets it on standard input and in OLLAMA_API_KEY
    #[arg(long, value_name = "CMD")]
    pub deploy: Option<String>,
    /// How long the command may take
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub deploy_timeout: SpanArg,
    /// A file of NAME=value lines to put the new key into
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub env_file: Option<PathBuf>,
    /// The variable in that file
    #[arg(long, value_name = "NAME", default_value = "OLLAMA_API_KEY")]
    pub env_var: String,
    /// Say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Wait for another rotation that is at work, instead of leaving the work to it
    #[arg(long)]
    pub wait: bool,
    /// Read the new key from standard input, where only a person can make one (ollama.com)
    #[arg(long, conflicts_with = "all")]
    pub key_stdin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_as_they_are_read() {
        let read = |text: &str| text.parse::<KeyFilter>();
        assert_eq!(read("env=ci"), Ok(KeyFilter { field: KeyField::Environment, pattern: "ci".into() }));
        assert_eq!(read("name=a=b*").unwrap().pattern, "a=b*");
        assert!(read("env=").is_ok() && read("problem=*").is_ok() && read("problem=stale").is_ok());
        for bad in ["ci", "age=3", "problem=old", "state=dead", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
