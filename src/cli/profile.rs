//! `profile …`

use clap::{Args, Subcommand};

/// `ollama-auth profile`
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List profiles; the current one is marked
    List,
    /// Make a profile the current one
    Use(ProfileUse),
    /// Show a profile [default: the current one]
    Show {
        /// The profile
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove a profile and its secrets from this machine; nothing changes at the host
    Remove(ProfileRemove),
}

/// `ollama-auth profile use`
#[derive(Debug, Args)]
pub struct ProfileUse {
    /// The profile
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `ollama-auth profile remove`
#[derive(Debug, Args)]
pub struct ProfileRemove {
    /// The profile
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Even if a rotation of its key is under way
    #[arg(long)]
    pub force: bool,
}
