//! `store …`

use clap::{Args, Subcommand};

use super::StoreArg;

/// `ollama-auth store`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Show where each secret rests and whether it can be reached
    Show,
    /// Move a profile's secrets to another store
    Move(StoreMove),
}

/// `ollama-auth store move`
#[derive(Debug, Args)]
pub struct StoreMove {
    /// Where to
    #[arg(long, value_enum, value_name = "STORE")]
    pub to: StoreArg,
    /// Move every profile's secrets
    #[arg(long)]
    pub all: bool,
}
