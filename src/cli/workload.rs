//! `gateway workload`: which programs are accepted with a token of an issuer.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::database::DatabaseArgs;

/// Show which programs are accepted without a stored secret, and why a token is not
///
/// A workload rule accepts programs, such as the jobs of a CI system, with a token that their system issues. The rules are the tables
/// [[workload]] of the configuration file.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# List the rules
ollama-auth gateway workload list

# See why a token is refused
ollama-auth gateway workload explain token.jwt")]
pub enum WorkloadCommand {
    List(WorkloadListArgs),
    Explain(WorkloadExplainArgs),
}

/// List the workload rules of the configuration file
///
/// The first rule that matches a token decides. A running gateway has the same rules once it has read the file (SIGHUP).
#[derive(Debug, Args)]
#[command(after_help = "\
# List the rules
ollama-auth gateway workload list

# The same for a script
ollama-auth gateway workload list --json")]
pub struct WorkloadListArgs {
    /// Which file
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Explain which rule accepts a token, or what each rule does not accept
///
/// Verifies the token with the keys of its issuer, as the gateway does, and compares its claims with every rule. The token is used for
/// nothing else. Exit code 4 means that the gateway would refuse it.
#[derive(Debug, Args)]
#[command(after_help = "\
# A token in a file
ollama-auth gateway workload explain token.jwt

# The same for a script
ollama-auth gateway workload explain token.jwt --json")]
pub struct WorkloadExplainArgs {
    /// The file with the token; `-` or none: standard input
    #[arg(value_name = "TOKEN-FILE")]
    pub file: Option<PathBuf>,
    /// Which configuration file
    #[command(flatten)]
    pub database: DatabaseArgs,
}
