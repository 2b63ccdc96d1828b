//! `gateway` and `quickstart`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::administration::{GatewayDeviceCommand, GatewayKeyCommand, UserCommand};
use super::audit::AuditArgs;
use super::database::{DatabaseArgs, DbCommand};
use super::gateway_usage::GatewayUsageArgs;
use super::maintenance::MaintenanceCommand;
use super::policy::PolicyCommand;
use super::workload::WorkloadCommand;

/// Put authentication in front of an Ollama server
///
/// The gateway accepts ollama.com's device keys and API keys, so unmodified Ollama clients and libraries can sign in to it.
/// It forwards accepted requests to the upstream Ollama server.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Add an administrator, then protect the Ollama on this machine
ollama-auth gateway user add ada --role admin
ollama-auth gateway serve

# Sign in to it
ollama-auth signin --host http://127.0.0.1:11435")]
pub enum GatewayCommand {
    Serve(Box<ServeArgs>),
    Init(InitArgs),
    #[command(subcommand)]
    User(UserCommand),
    #[command(subcommand)]
    Device(GatewayDeviceCommand),
    #[command(subcommand)]
    Key(GatewayKeyCommand),
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    #[command(subcommand)]
    Policy(PolicyCommand),
    #[command(subcommand)]
    Workload(WorkloadCommand),
    #[command(subcommand)]
    Db(DbCommand),
    Approve(ApproveArgs),
    Audit(Box<AuditArgs>),
    Usage(Box<GatewayUsageArgs>),
    Status(GatewayStatusArgs),
    Top(TopArgs),
}

/// Run the gateway
///
/// Settings come from options, then from variables, then from the configuration file, then from the defaults. `gateway init`
/// writes a file that explains them all.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
# Protect the Ollama on this machine, for this machine
ollama-auth gateway serve

# Serve other machines with TLS
ollama-auth gateway serve --public-url https://gpu.example.com \\
    --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem

# Use a configuration file, and change one setting
ollama-auth gateway serve --config gateway.toml --set max-connections=500")]
pub struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:11435]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Addresses")]
    pub listen: Option<String>,
    /// Upstream Ollama server [default: http://127.0.0.1:11434]
    #[arg(long, value_name = "URL", help_heading = "Addresses")]
    pub upstream: Option<String>,
    /// URL that clients use, as in https://gpu.example.com
    #[arg(long, value_name = "URL", help_heading = "Addresses")]
    pub public_url: Option<String>,
    /// Serve https with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,
    /// A reverse proxy in front terminates TLS
    #[arg(long, help_heading = "TLS")]
    pub behind_tls_proxy: bool,
    /// Which database and file
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Change a setting of the file (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE", help_heading = "Configuration")]
    pub set: Vec<String>,
}

/// Write a configuration file that explains every setting
///
/// Every setting is commented out and shows its default, so the file changes nothing until you edit it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Write gateway.toml, then use it
ollama-auth gateway init
ollama-auth gateway serve --config gateway.toml")]
pub struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "gateway.toml")]
    pub file: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// Show whether the gateway is well
///
/// Says on one screen how the gateway of this machine is: its upstream server, database, certificate, limits, event log and latest refusals.
/// Exits with 8 if something is wrong, and says what to do about it.
#[derive(Debug, Args)]
#[command(after_help = "\
# Look whether all is well
ollama-auth gateway status

# Have a monitoring system look: 0 is well, 8 is not
ollama-auth gateway status --json")]
pub struct GatewayStatusArgs {
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Show who streams what, and end a response
///
/// Shows the responses under way at the gateways of this machine: since when, for whom, from where, and about how many tokens so far. On
/// a terminal it is renewed every two seconds until you press Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "\
# Watch
ollama-auth gateway top

# End one of them: the first digits of its id are enough
ollama-auth gateway top --end 3f9a1c --reason 'runs since yesterday'

# The same list for a script
ollama-auth gateway top --json")]
pub struct TopArgs {
    /// Show it once
    #[arg(long)]
    pub once: bool,
    /// End the response to the request whose id begins so
    #[arg(long, value_name = "ID", conflicts_with = "once")]
    pub end: Option<String>,
    /// Why, for the event log
    #[arg(long, value_name = "TEXT", requires = "end")]
    pub reason: Option<String>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Approve a device without a browser
///
/// Use it on the gateway's machine. The device shows its link and its fingerprint when it signs in.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Approve a device for an account
ollama-auth gateway approve --user ada \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4

# Give it a name that you recognise
ollama-auth gateway approve --user ada --device-name build-server \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4")]
pub struct ApproveArgs {
    /// The device's connect link, its fingerprint (spaces allowed), or its public key
    #[arg(value_name = "DEVICE", required = true)]
    pub device: Vec<String>,
    /// What to call the device [default: the name in the link]
    #[arg(long, value_name = "TEXT")]
    pub device_name: Option<String>,
    /// The account that the device belongs to
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Try everything on this machine, with nothing to install
///
/// Starts a gateway in a temporary folder, signs in to it, runs a model, creates and revokes an API key, and deletes
/// everything again. Your own files stay untouched. Without Ollama, a built-in demonstration model answers.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# See the whole flow, and approve the device in the browser
ollama-auth quickstart

# See it without a browser, with a prompt of your own
ollama-auth quickstart --yes \"Why is the sea salty?\"")]
pub struct QuickstartArgs {
    /// The prompt for the model
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Approve the device automatically, without a browser
    #[arg(short, long)]
    pub yes: bool,
}
