//! `gateway policy`: what callers may do, and why.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::database::DatabaseArgs;

/// Check, show and explain what callers may do
///
/// The policy is the part of the configuration that decides what accepted callers may do: limits, roles and the rest of the tables.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Check a file before the gateway reads it
ollama-auth gateway policy check gateway.toml

# Show what is defined
ollama-auth gateway policy show

# See why a request is refused
ollama-auth gateway policy explain --user ada \\
    --route 'POST /api/chat' --model llama3.2")]
pub enum PolicyCommand {
    Check(PolicyCheckArgs),
    Show(PolicyShowArgs),
    Explain(Box<PolicyExplainArgs>),
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

/// Explain what becomes of a request
///
/// Lists each rule that applies to a request, what it says, and which one decides. The request is not made, and uses up nothing. A rule
/// about something that you leave out is not checked. Exit code 5 means that the request would be refused.
#[derive(Debug, Args)]
#[command(after_help = "\
# A request with an API key
ollama-auth gateway policy explain --key key_4ZtT5kQGzNcGqYtVdYfG \\
    --route 'POST /api/chat' --model llama3.2 --from 10.0.0.7

# A request of a person's devices, for a script
ollama-auth gateway policy explain --user ada --route 'GET /api/tags' --json")]
pub struct PolicyExplainArgs {
    /// The id of the API key that makes the request
    #[arg(long, value_name = "ID", help_heading = "Request")]
    pub key: Option<String>,
    /// The person whose device makes the request
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Request",
        conflicts_with = "key",
        required_unless_present = "key"
    )]
    pub user: Option<String>,
    /// Its method and path, as in 'POST /api/chat'
    #[arg(long, value_name = "ROUTE", help_heading = "Request")]
    pub route: String,
    /// The model that it names
    #[arg(long, value_name = "MODEL", help_heading = "Request")]
    pub model: Option<String>,
    /// The address that it comes from
    #[arg(long, value_name = "ADDRESS", help_heading = "Request")]
    pub from: Option<IpAddr>,
    /// The host name that it is sent to, which can mean an environment
    #[arg(long, value_name = "HOST", help_heading = "Request")]
    pub to_host: Option<String>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}
