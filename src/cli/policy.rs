//! `gateway policy`: what callers may do, and why.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::database::DatabaseArgs;

/// Check and show what callers may do
///
/// The policy is the part of the configuration that decides what accepted callers may do: limits, roles and the rest of the tables.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Check a file before the gateway reads it
ollama-auth gateway policy check gateway.toml

# Show what is defined
ollama-auth gateway policy show")]
pub enum PolicyCommand {
    Check(PolicyCheckArgs),
    Show(PolicyShowArgs),
}

/// Check a configuration file, and show who would lose rights
///
/// Checks the whole file as the gateway does when it reads it, and compares it with the people and API keys in the database. Nothing
/// changes. Fails if the file is not valid or would leave no administrator.
#[derive(Debug, Args)]
#[command(after_help = "\
# See who would lose rights
ollama-auth gateway policy check gateway.toml

# List what would be lost, for a script
ollama-auth gateway policy check gateway.toml --json")]
pub struct PolicyCheckArgs {
    /// The file to check [default: the one that `gateway serve` reads]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Show the policy that the configuration file defines
///
/// Shows the tables as they take effect: built-in roles are included, and each table has its defaults. A running gateway has the same
/// policy once it has read the file (SIGHUP).
#[derive(Debug, Args)]
#[command(after_help = "\
# Show the policy
ollama-auth gateway policy show

# The same for a script
ollama-auth gateway policy show --json")]
pub struct PolicyShowArgs {
    /// Which file
    #[command(flatten)]
    pub database: DatabaseArgs,
}
