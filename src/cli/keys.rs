//! What can be typed after `keys`.

use clap::{Args, Subcommand};

use crate::keyspec::{Lifetime, ModelPattern, Scope};

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an API key and print it, this once
    Create(KeysCreate),
    /// List the account's API keys
    List,
    /// Revoke an API key
    Revoke(KeysRevoke),
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
