//! What can be typed: clap types only, no logic and no I/O.

mod device;
mod doctor;
#[cfg(feature = "gateway")]
mod gateway;
mod keys;
mod models;
mod profile;
#[cfg(feature = "gateway")]
mod proxy;
mod run;
mod session;
mod store;
mod use_credential;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use device::{DeviceCommand, DeviceExport, DeviceImport, DeviceRevoke, DeviceRotate};
pub use doctor::DoctorArgs;
#[cfg(feature = "gateway")]
pub use gateway::{
    ApproveArgs, AuditArgs, DatabaseArgs, GatewayCommand, InitArgs, QuickstartArgs, RoleArg, ServeArgs, UserCommand,
};
pub use keys::{
    AuditFormat, KeyField, KeyFilter, KeySort, KeysAudit, KeysCommand, KeysCreate, KeysForget, KeysImport, KeysList,
    KeysRevoke, KeysRotate,
};
#[cfg(test)]
pub use keys::{FAIL_ON, KEY_PROBLEMS};
pub use models::{CpArgs, ListArgs, RmArgs, ShowArgs, ShowPart, StopArgs, TransferArgs};
pub use profile::{ProfileCommand, ProfileRemove, ProfileUse};
#[cfg(feature = "gateway")]
pub use proxy::ProxyArgs;
pub use run::{OutputFormat, RunArgs, ThinkArg};
pub use session::{SigninArgs, SignoutArgs, StatusArgs};
pub use store::{StoreCommand, StoreMove};
pub use use_credential::{ApiArgs, ExecArgs, TokenArgs, UsageArgs};
pub use values::SpanArg;

/// Sign in to Ollama, keep its credentials safe, run models with them.
#[derive(Debug, Parser)]
#[command(
    name = "ollama-auth",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such model, key, device or profile, 4 sign-in needed or \
                  credential refused, 5 not allowed, 6 host unreachable, 7 try again later, 8 the check found something, \
                  126 program cannot be run, 127 no such program, 130 interrupted.",
    max_term_width = 100
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArgs {
    /// The host to talk to, as in OLLAMA_HOST
    #[arg(long, global = true, value_name = "URL")]
    pub host: Option<String>,
    /// The profile to use
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Use the host and key in this JSON file, which only you can read
    #[arg(long, global = true, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Where secrets rest: the system's keyring, an encrypted file, or (never by default) plaintext
    #[arg(long, global = true, value_enum, value_name = "STORE")]
    pub store: Option<StoreArg>,
    /// Write the result, and errors, as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what goes wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more (`run`: show timings, `show`: show all; twice: show requests)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: ColorArg,
    /// Never ask anything
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Send credentials over plain http, to a host that is not this machine
    #[arg(long, global = true)]
    pub allow_insecure_http: bool,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// Read the passphrase of the encrypted file from this file
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Where secrets rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreArg {
    /// The operating system's keyring
    Keyring,
    /// A file encrypted with a passphrase
    File,
    /// A readable file, only you can read it
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

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign this device in to a host, through the browser or with an API key
    #[command(alias = "login")]
    Signin(SigninArgs),
    /// Disconnect this device from a host and remove its credential here
    #[command(alias = "logout")]
    Signout(SignoutArgs),
    /// Show who you are, where, with what credential, and what `run` would use
    #[command(visible_alias = "whoami")]
    Status(StatusArgs),
    /// Run a model: once, or in a conversation on the terminal
    Run(Box<RunArgs>),
    /// Let the server fetch a model from a registry
    Pull(TransferArgs),
    /// Let the server publish a model
    Push(TransferArgs),
    /// List the models of the server
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Describe a model
    Show(ShowArgs),
    /// List the models that the server has loaded
    Ps(ListArgs),
    /// Take a model out of the server's memory
    Stop(StopArgs),
    /// Remove models from the server
    Rm(RmArgs),
    /// Copy a model to another name
    Cp(CpArgs),
    /// Make, list, check, rotate and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Manage this device's keys
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Manage profiles: one for each host you sign in to
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Print the credential for another program: an API key, or one signed header
    Token(TokenArgs),
    /// Run a program with OLLAMA_API_KEY and OLLAMA_HOST in its environment only
    Exec(ExecArgs),
    /// Make one authenticated request and print the answer as it comes
    Api(ApiArgs),
    /// Show what ollama.com says is used and left
    Usage(UsageArgs),
    /// See and change where secrets rest
    #[command(subcommand)]
    Store(StoreCommand),
    /// Serve a port on this machine that adds the credential, for programs that cannot
    #[cfg(feature = "gateway")]
    Proxy(ProxyArgs),
    /// Say what is wrong with this installation and how to mend it
    Doctor(DoctorArgs),
    /// Put authentication in front of an Ollama server
    #[cfg(feature = "gateway")]
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Show the whole flow on this machine, with nothing to install
    #[cfg(feature = "gateway")]
    Quickstart(QuickstartArgs),
    /// Print the completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them into a folder
    Man {
        /// The folder to write all pages into
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// The whole command line, for completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn stock_names_work() {
        for name in ["login", "logout", "whoami", "ls"] {
            Cli::try_parse_from(["ollama-auth", name]).unwrap();
        }
    }
}
