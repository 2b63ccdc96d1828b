//! Values that need parsing (durations, model parameters, key filters), and the options that every command has. The latter are listed
//! once: by `ollama-auth --help` and `ollama-auth help options`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use jiff::SignedDuration;
use serde_json::Value;

use crate::keyspec::Lifetime;

/// A positive span of time: `30s`, `10m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanArg(pub Duration);

impl FromStr for SpanArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "expected a duration such as 30s, 10m or 1h30m".to_owned();
        let span: SignedDuration = text.parse().map_err(|_| problem())?;
        let span = Duration::try_from(span).map_err(|_| problem())?;
        if span.is_zero() { Err(problem()) } else { Ok(Self(span)) }
    }
}

/// A span of time in seconds, in which days and weeks count too: `90d`, `1w`, `12h`, `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeArg(pub u64);

impl FromStr for AgeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "expected a duration such as 90d, 12h, 30m or 0s".to_owned();
        let number = text.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(text);
        if !number.is_empty() && number.bytes().all(|byte| byte == b'0') {
            return Ok(Self(0));
        }
        match text.parse() {
            Ok(Lifetime::Seconds(seconds)) => Ok(Self(seconds)),
            Ok(Lifetime::Never) | Err(_) => Err(problem()),
        }
    }
}

/// How long a model stays loaded, in the form that the server reads: seconds with the unit `s`; negative means forever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive(pub String);

impl FromStr for KeepAlive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Self(format!("{seconds}s")));
        }
        let span: SignedDuration =
            text.parse().map_err(|_| "expected a duration such as 30s, 5m or 1h30m, or -1 for no limit".to_owned())?;
        Ok(Self(format!("{}s", span.as_secs_f64())))
    }
}

/// A model parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOption {
    /// Its name, such as `temperature`.
    pub name: String,
    /// Its value: JSON where it is valid JSON, else the text.
    pub value: Value,
}

impl FromStr for ModelOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as temperature=0.5")?;
        let name = name.trim();
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { name: name.to_owned(), value })
    }
}

/// The member of a key that a filter compares.
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

/// `NAME=VALUE`: a member of a key and the pattern it must match. `*` stands for any characters, an empty value for an empty member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFilter {
    /// The member.
    pub field: KeyField,
    /// The pattern.
    pub pattern: String,
}

impl FromStr for KeyFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pattern) = text.split_once('=').ok_or("expected NAME=VALUE, such as env=ci")?;
        let field = match name.trim() {
            "name" => KeyField::Name,
            "id" => KeyField::Id,
            "env" | "environment" => KeyField::Environment,
            "scope" => KeyField::Scope,
            "model" => KeyField::Model,
            "state" => KeyField::State,
            "problem" => KeyField::Problem,
            other => return Err(format!("unknown name {other:?}: use name, id, env, scope, model, state or problem")),
        };
        let known = |values: &[&str]| values.contains(&pattern) || pattern.contains('*') || pattern.is_empty();
        if field == KeyField::State && !known(&["valid", "suspended", "expired", "revoked"]) {
            return Err("state must be valid, suspended, expired or revoked".to_owned());
        }
        if field == KeyField::Problem && !known(&KEY_PROBLEMS) {
            return Err(format!("problem must be one of: {}", KEY_PROBLEMS.join(", ")));
        }
        Ok(Self { field, pattern: pattern.to_owned() })
    }
}

/// The problems that `keys list` reports.
pub const KEY_PROBLEMS: [&str; 7] = ["expired", "replaced", "stale", "unused", "expiring", "over-broad", "no-expiry"];

/// The options that every command has.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Use this host [default: `status` tells which]
    #[arg(long, global = true, value_name = "URL", help_heading = "Host and credential")]
    pub host: Option<String>,
    /// Use this profile's host and credential
    #[arg(long, global = true, value_name = "PROFILE", help_heading = "Host and credential")]
    pub profile: Option<String>,
    /// Read host and credential from a JSON file
    #[arg(long, global = true, value_name = "FILE", help_heading = "Host and credential")]
    pub credentials: Option<PathBuf>,
    /// Authenticate with the token in this file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "credentials",
        help_heading = "Host and credential"
    )]
    pub oidc_token_file: Option<PathBuf>,
    /// Store secrets here [default: keyring]
    #[arg(long, global = true, value_enum, value_name = "STORE", help_heading = "Host and credential")]
    pub store: Option<StoreArg>,
    /// Read the encrypted file's passphrase from a file
    #[arg(long, global = true, value_name = "FILE", help_heading = "Host and credential")]
    pub passphrase_file: Option<PathBuf>,
    /// Also trust the authorities in this PEM file
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub ca_cert: Option<PathBuf>,
    /// Send credentials over plain http to other machines
    #[arg(long, global = true, help_heading = "Connection")]
    pub allow_insecure_http: bool,
    /// Write results and errors as JSON
    #[arg(long, global = true, help_heading = "Output and prompts")]
    pub json: bool,
    /// Show warnings and errors only
    #[arg(short, long, global = true, help_heading = "Output and prompts")]
    pub quiet: bool,
    /// Show more; twice: also log requests
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output and prompts")]
    pub verbose: u8,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output and prompts"
    )]
    pub color: ColorArg,
    /// Never prompt; fail instead
    #[arg(long, global = true, help_heading = "Output and prompts")]
    pub no_input: bool,
}

/// Where secrets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreArg {
    /// The operating system's keyring
    Keyring,
    /// A file encrypted with a passphrase
    File,
    /// An unencrypted file that only you can read
    Plaintext,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        let span = |text: &str| text.parse::<SpanArg>().map(|span| span.0.as_secs());
        assert_eq!(span("10m"), Ok(600));
        assert_eq!(span("1h30m"), Ok(5400));
        for bad in ["", "10", "-5s", "0s", "soon"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_have_days_and_may_be_nothing() {
        let age = |text: &str| text.parse::<AgeArg>().map(|age| age.0);
        assert_eq!((age("90d"), age("1w"), age("12h"), age("30m")), (Ok(7_776_000), Ok(604_800), Ok(43_200), Ok(1800)));
        assert_eq!((age("0"), age("0s"), age("0d")), (Ok(0), Ok(0), Ok(0)));
        for bad in ["", "s", "never", "-1d", "90", "1y", "d0"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keepalive_is_sent_in_a_form_the_server_reads() {
        let sent = |text: &str| text.parse::<KeepAlive>().map(|value| value.0);
        assert_eq!(sent("5m"), Ok("300s".into()));
        assert_eq!(sent("-1"), Ok("-1s".into()));
        assert_eq!(sent("0"), Ok("0s".into()));
        assert_eq!(sent("1.5s"), Ok("1.5s".into()));
        assert!(sent("soon").is_err());
    }

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
