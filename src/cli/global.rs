//! The options that every command has. They are listed once: by `ollama-auth --help` and `ollama-auth help options`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

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
