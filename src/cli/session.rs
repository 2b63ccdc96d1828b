//! `signin`, `signout`, `status`.

use clap::Args;

use super::values::SpanArg;

/// `ollama-auth signin`
#[derive(Debug, Args)]
pub struct SigninArgs {
    /// The name under which the host shows this device [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    pub device_name: Option<String>,
    /// Do not open a browser
    #[arg(long)]
    pub no_browser: bool,
    /// Print the link and end with exit code 4; run signin again once it is approved
    #[arg(long, conflicts_with_all = ["qr", "timeout"])]
    pub no_wait: bool,
    /// How long to wait for the approval
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub timeout: SpanArg,
    /// Show the link as a QR code, for a phone
    #[arg(long)]
    pub qr: bool,
    /// Store an API key, read from standard input or a hidden prompt, instead of using the browser
    #[arg(long, conflicts_with_all = ["server", "no_browser", "no_wait", "qr", "device_name"])]
    pub with_api_key: bool,
    /// Sign in the Ollama server's own key instead of this device
    #[arg(long, conflicts_with = "device_name")]
    pub server: bool,
    /// Takes what somebody typed behind `--with-api-key`, so that it is not repeated in an error.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub stray: Vec<std::ffi::OsString>,
}

/// `ollama-auth signout`
#[derive(Debug, Args)]
pub struct SignoutArgs {
    /// Sign out of every profile
    #[arg(long, conflicts_with = "server")]
    pub all: bool,
    /// Sign out the Ollama server's own key instead of this device
    #[arg(long)]
    pub server: bool,
    /// Disconnect the key at the host, but keep it here
    #[arg(long, conflicts_with = "server")]
    pub keep_key: bool,
    /// Remove the key here even if the host cannot be reached, or a rotation is under way
    #[arg(long, conflicts_with = "server")]
    pub force: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// `ollama-auth status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Do not ask the host whether the credential is accepted
    #[arg(long)]
    pub offline: bool,
}
