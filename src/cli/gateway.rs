//! What can be typed after `gateway`, and `quickstart`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The gateway's commands.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Put authentication in front of an Ollama server
    Serve(Box<ServeArgs>),
    /// Write a configuration file with every setting explained
    Init(InitArgs),
    /// Manage the people who may sign in
    #[command(subcommand)]
    User(UserCommand),
    /// Approve a device without a browser
    Approve(ApproveArgs),
    /// Show what happened: approvals, keys, accounts, refused replays
    Audit(AuditArgs),
}

/// Where the gateway's accounts are.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite:PATH, or a path
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `gateway serve`. What is not given comes from the environment, the configuration file, the defaults.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:11435]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The upstream Ollama server [default: http://127.0.0.1:11434]
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Where accounts, devices and keys are
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Serve https with this certificate chain (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A proxy in front ends TLS
    #[arg(long)]
    pub behind_tls_proxy: bool,
    /// What callers call the gateway, such as https://gpu.example.com
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Another setting, as in the configuration file (can be repeated)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// `gateway init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "gateway.toml")]
    pub file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// The accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person; the password is asked for, or read from standard input
    Add {
        /// The name to sign in with
        name: String,
        /// What the person may do
        #[arg(long, value_enum, default_value = "member")]
        role: RoleArg,
        /// The e-mail address
        #[arg(long, default_value = "")]
        email: String,
        /// Where accounts are
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List the people
    List(DatabaseArgs),
    /// Refuse a person, with all devices and keys, at once
    Disable {
        /// The name
        name: String,
        /// Where accounts are
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Let a disabled person in again
    Enable {
        /// The name
        name: String,
        /// Where accounts are
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set a password; it is asked for, or read from standard input
    Passwd {
        /// The name
        name: String,
        /// Where accounts are
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change what a person may do
    Role {
        /// The name
        name: String,
        /// The new role
        #[arg(value_enum)]
        role: RoleArg,
        /// Where accounts are
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Run models, and have devices and keys
    Member,
    /// And pull, create and delete models
    Maintainer,
    /// And manage the people
    Admin,
}

/// `gateway approve`.
#[derive(Debug, Clone, Args)]
pub struct ApproveArgs {
    /// The link that the device printed, or its fingerprint (SHA256:…), with or without the blanks between its groups
    #[arg(value_name = "URL_OR_FINGERPRINT", required = true)]
    pub device: Vec<String>,
    /// The person whose device it is
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// Where accounts are
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// How many events
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Where accounts are
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `quickstart`.
#[derive(Debug, Clone, Args)]
pub struct QuickstartArgs {
    /// What to say to the model
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Approve the device by itself, without a browser
    #[arg(short, long)]
    pub yes: bool,
}
