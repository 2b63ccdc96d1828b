//! `keys`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::values::{AgeArg, KeyFilter, SpanArg};
use crate::keyspec::{Lifetime, LimitValue, ModelPattern, Network, Scope};

/// Create, list, check, rotate and revoke API keys
///
/// API keys are for scripts and libraries, which cannot sign in. A key has scopes, models and an expiry date. A gateway
/// manages keys through these commands; ollama.com only on its website.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Create a key for CI that runs one model
ollama-auth keys create ci --model llama3.2

# See which keys need attention
ollama-auth keys list

# Replace a key, as a cron job does
ollama-auth keys rotate ci --deploy ./deploy-key.sh")]
pub enum KeysCommand {
    Create(KeysCreate),
    List(KeysList),
    Revoke(KeysRevoke),
    Rotate(KeysRotate),
    Audit(KeysAudit),
    Import(KeysImport),
    Forget(KeysForget),
}

/// Create an API key and print it
///
/// Prints the key on standard output, once: it cannot be shown again. Everything else goes to standard error, so a script
/// can capture the key. By default it may run models and list them: most programs list the models before they run one.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Create a key for CI: one model, at most a million tokens a day
ollama-auth keys create ci --model llama3.2 --limit tokens-per-day=1M

# Put a key that may only run models into a variable
KEY=$(ollama-auth keys create laptop --scope inference)

# In a CI job, make a key for a few minutes from the job's own token
ollama-auth keys create build --from-oidc --host https://gpu.example.com")]
pub struct KeysCreate {
    /// Name of the key
    pub name: String,
    /// inference, models:read, models:write, usage:read or keys (repeatable) [default: inference,models:read]
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', help_heading = "Rights")]
    pub scopes: Vec<Scope>,
    /// Allow these models only, as in llama* (repeatable)
    #[arg(long = "model", value_name = "MODEL", value_delimiter = ',', help_heading = "Rights")]
    pub models: Vec<ModelPattern>,
    /// Allow this much only: rpm=60, burst=10, streams=2, size=1MiB or tokens-per-day=1M (-hour, -month; repeatable)
    #[arg(long = "limit", value_name = "NAME=VALUE", value_delimiter = ',', help_heading = "Rights")]
    pub limits: Vec<LimitValue>,
    /// Accept it from these addresses only: 10.0.0.0/8 or 2001:db8::1 (repeatable)
    #[arg(long = "from", value_name = "NETWORK", value_delimiter = ',', help_heading = "Rights")]
    pub from: Vec<Network>,
    /// Expire after 90d, 12h, …, or never [default: 90d; with a key or token: less if it ends sooner]
    #[arg(long, value_name = "DURATION", help_heading = "Rights")]
    pub expires: Option<Lifetime>,
    /// Do not let the key create its own replacement
    #[arg(long, help_heading = "Rights")]
    pub no_replace: bool,
    /// Label: where the key is used, as in ci
    #[arg(long = "env", value_name = "LABEL")]
    pub environment: Option<String>,
    /// Store it in this profile instead of printing it
    #[arg(long)]
    pub save: bool,
    /// Create it with this job's OIDC token, which can be exchanged once
    #[arg(long)]
    pub from_oidc: bool,
    /// Open the web page for keys if the host needs it (ollama.com)
    #[arg(long)]
    pub open: bool,
}

/// List API keys and their problems
///
/// Lists your account's keys at the host, those that need attention first: expired, expiring soon, old, unused or too
/// powerful. Never shows a key itself.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# List the keys
ollama-auth keys list

# List CI's keys that have a problem
ollama-auth keys list --filter env=ci --filter 'problem=*'

# Give a script every key, revoked ones too
ollama-auth keys list --revoked --json")]
pub struct KeysList {
    /// Only keys that match (repeatable): name, id, env, scope, model, state or problem, as in env=ci or name=web-*
    #[arg(long = "filter", value_name = "NAME=PATTERN")]
    pub filters: Vec<KeyFilter>,
    /// Sort order [default: attention; --json: the host's]
    #[arg(long, value_enum, value_name = "ORDER")]
    pub sort: Option<KeySort>,
    /// Include revoked keys
    #[arg(long)]
    pub revoked: bool,
    /// Keys older than this are stale
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub max_age: Lifetime,
}

/// The order of a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeySort {
    /// What needs attention first
    Attention,
    /// By name
    Name,
    /// Oldest first
    Age,
    /// Least recently used first
    LastUsed,
    /// First to expire first
    Expires,
}

/// The values of `--fail-on`: findings, `all` of them, or `none`.
pub const FAIL_ON: [&str; 13] = [
    "stale",
    "unused",
    "expired",
    "replaced",
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

/// Find old, unused, too powerful, exposed and duplicate keys
///
/// Checks the keys at each host that you are signed in to, and the copies on this machine. Exits with code 8 if there is a
/// finding of --fail-on.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Check all keys
ollama-auth keys audit

# Fail a CI job only for expired or exposed keys
ollama-auth keys audit --fail-on expired,exposed

# Write a report for a code scanning service
ollama-auth keys audit --format sarif")]
pub struct KeysAudit {
    /// Keys older than this are stale
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub max_age: Lifetime,
    /// Findings that cause exit code 8 (repeatable)
    #[arg(long, value_name = "FINDING", value_delimiter = ',', value_parser = FAIL_ON,
          default_values = ["stale", "unused", "expired", "replaced", "exposed", "duplicate"])]
    pub fail_on: Vec<String>,
    /// Output format; --json is the same as json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: AuditFormat,
    /// How long to wait for each host
    #[arg(long, value_name = "DURATION", default_value = "60s")]
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

/// Store an API key that was created elsewhere
///
/// Reads the key from standard input or a hidden prompt, checks that the host accepts it, and stores it in this profile.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Store a key from ollama.com/settings/keys
ollama-auth keys import --name laptop

# Store a key from a file, without asking the host
ollama-auth keys import --no-verify <key.txt")]
pub struct KeysImport {
    /// Name of the key here [default: the host's name for it]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Label: where the key is used, as in ci
    #[arg(long = "env", value_name = "LABEL")]
    pub environment: Option<String>,
    /// Do not check the key with the host
    #[arg(long)]
    pub no_verify: bool,
    /// Replace the stored API key
    #[arg(long)]
    pub replace: bool,
    /// Takes what was typed behind it, so that no error repeats a key.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub stray: Vec<OsString>,
}

/// Delete the local copy of an API key
///
/// The host still accepts the key: programs that have it keep working. To disable it, use `keys revoke`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Delete the current profile's copy
ollama-auth keys forget

# Delete another profile's copy, without a question
ollama-auth keys forget --profile gpu.example.com --yes")]
pub struct KeysForget {
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Delete it even if a rotation of the key is unfinished
    #[arg(long)]
    pub force: bool,
}

/// Revoke an API key
///
/// The host refuses the key at once, and a local copy is deleted. Revoking a revoked key succeeds.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Revoke a key by its name
ollama-auth keys revoke ci

# Revoke a leaked key whose name you do not know
ollama-auth keys revoke --key-stdin --yes <leaked.txt")]
pub struct KeysRevoke {
    /// The key's id or name
    #[arg(value_name = "KEY", required_unless_present = "key_stdin", conflicts_with = "key_stdin")]
    pub key: Option<String>,
    /// Read the key itself from standard input
    #[arg(long)]
    pub key_stdin: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// Replace an API key by a new one with the same rights
///
/// Creates the new key, takes it to where it is used, and lets the old one expire after a grace period. Made for cron: an
/// interrupted rotation is continued by the next run.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["key", "all"]))]
#[command(after_help = "\
# Replace the key \"ci\" once it is 30 days old, and put it into a file
ollama-auth keys rotate ci --max-age 30d --env-file app.env

# Replace it and run a script that distributes it
ollama-auth keys rotate ci --deploy ./deploy-key.sh

# See what a rotation of all local keys would do
ollama-auth keys rotate --all --dry-run")]
pub struct KeysRotate {
    /// The key's id or name
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// Rotate every API key that is stored in a profile
    #[arg(long, help_heading = "When and which")]
    pub all: bool,
    /// Only if it is this old, or expires soon: 90d, 12h
    #[arg(long, value_name = "DURATION", help_heading = "When and which")]
    pub max_age: Option<AgeArg>,
    /// Keep the old key valid for this long; 0s: revoke at once
    #[arg(long, value_name = "DURATION", default_value = "24h", help_heading = "When and which")]
    pub grace: AgeArg,
    /// Show what would be done
    #[arg(long, help_heading = "When and which")]
    pub dry_run: bool,
    /// Wait for another rotation instead of exiting
    #[arg(long, help_heading = "When and which")]
    pub wait: bool,
    /// Read the new key from standard input (for ollama.com)
    #[arg(long, conflicts_with = "all", help_heading = "When and which")]
    pub key_stdin: bool,
    /// Shell command that gets the new key on standard input and in OLLAMA_API_KEY
    #[arg(long, value_name = "COMMAND", help_heading = "Where the new key goes")]
    pub deploy: Option<String>,
    /// How long the command may take
    #[arg(long, value_name = "DURATION", default_value = "5m", help_heading = "Where the new key goes")]
    pub deploy_timeout: SpanArg,
    /// Write it into this file of NAME=value lines
    #[arg(long, value_name = "FILE", conflicts_with = "all", help_heading = "Where the new key goes")]
    pub env_file: Option<PathBuf>,
    /// The variable in that file
    #[arg(long, value_name = "NAME", default_value = "OLLAMA_API_KEY", help_heading = "Where the new key goes")]
    pub env_var: String,
}
