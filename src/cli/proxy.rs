//! What can be typed after `proxy`.

use std::path::PathBuf;

use clap::Args;

/// `proxy`.
#[derive(Debug, Clone, Args)]
pub struct ProxyArgs {
    /// Where to listen, on this machine; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:11436")]
    pub listen: String,
    /// Want a token from programs, as API key; it is read from standard input
    #[arg(long, conflicts_with = "token_file")]
    pub token_stdin: bool,
    /// The same, read from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Let pages of this origin use it, such as http://localhost:3000 (can be repeated)
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<String>,
}
