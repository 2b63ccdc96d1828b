//! Which database the commands of a gateway's administrator work on.

use std::path::PathBuf;

use clap::Args;

/// Which database a command works on.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite:PATH, a path, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "URL", help_heading = "Configuration")]
    pub database: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
}
