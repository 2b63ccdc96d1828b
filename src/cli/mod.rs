//! The command line: clap types and their help texts, no logic and no I/O. The first sentence of a type's documentation is
//! the command's line in a list, the rest its paragraph, and `after_help` its examples; a test runs every example.

mod account;
#[cfg(feature = "gateway")]
mod administration;
#[cfg(feature = "gateway")]
mod audit;
mod credential;
#[cfg(feature = "gateway")]
mod database;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "gateway")]
mod gateway_usage;
#[cfg(feature = "gateway")]
mod invitation;
mod keys;
#[cfg(feature = "gateway")]
mod maintenance;
mod models;
#[cfg(feature = "gateway")]
mod policy;
mod profile;
mod run;
mod values;
#[cfg(feature = "gateway")]
mod workload;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use account::{
    DeviceCommand, DeviceExport, DeviceImport, DeviceRevoke, DeviceRotate, SigninArgs, SignoutArgs, StatusArgs,
};
#[cfg(feature = "gateway")]
pub use administration::{GatewayDeviceCommand, GatewayKeyCommand, UserCommand};
#[cfg(feature = "gateway")]
pub use audit::{
    AuditArgs, AuditCheckpointArgs, AuditCommand, AuditExportArgs, AuditKeyArgs, AuditNewLogArgs, AuditProveArgs,
    AuditRotateKeyArgs, AuditVerifyArgs, EventFilterArgs, TimeArg,
};
#[cfg(feature = "gateway")]
pub use credential::ProxyArgs;
pub use credential::{ApiArg, ApiArgs, ExecArgs, PrintFormat, TokenArgs, UsageArgs};
#[cfg(feature = "gateway")]
pub use database::{BackupArgs, CopyArgs, DatabaseArgs, DbCommand};
#[cfg(feature = "gateway")]
pub use gateway::{ApproveArgs, GatewayCommand, GatewayStatusArgs, InitArgs, QuickstartArgs, ServeArgs, TopArgs};
#[cfg(feature = "gateway")]
pub use gateway_usage::{GatewayUsageArgs, UsageByArg, UsageTimeArg};
#[cfg(feature = "gateway")]
pub use invitation::InviteArgs;
#[cfg(test)]
pub use keys::FAIL_ON;
pub use keys::{
    AuditFormat, KeySort, KeysAudit, KeysCommand, KeysCreate, KeysForget, KeysImport, KeysList, KeysRevoke, KeysRotate,
};
#[cfg(feature = "gateway")]
pub use maintenance::MaintenanceCommand;
pub use models::{CpArgs, ListArgs, RmArgs, ShowArgs, ShowPart, StopArgs, TransferArgs};
#[cfg(feature = "gateway")]
pub use policy::{PolicyCheckArgs, PolicyCommand, PolicyExplainArgs, PolicyShowArgs};
pub use profile::{DoctorArgs, ProfileCommand, ProfileRemove, ProfileUse, StoreCommand, StoreMove};
pub use run::{OutputFormat, RunArgs, ThinkArg};
#[cfg(test)]
pub use values::KEY_PROBLEMS;
pub use values::{ColorArg, GlobalArgs, StoreArg};
pub use values::{KeyField, KeyFilter, SpanArg};
#[cfg(feature = "gateway")]
pub use workload::{WorkloadCommand, WorkloadExplainArgs, WorkloadListArgs};

/// A command line.
#[derive(Debug)]
pub struct Cli {
    /// Options of every command.
    pub global: GlobalArgs,
    /// The command.
    pub command: Command,
}

impl Cli {
    /// Reads a command line, the name of the program first.
    ///
    /// clap copies the options that every command has into each command, which takes longer than many commands do. So only the commands that
    /// the line names are defined, and all of them where the line cannot be read, for the message.
    ///
    /// # Errors
    /// What clap says about a line that it does not accept.
    pub fn try_parse_from<T: Into<OsString>>(line: impl IntoIterator<Item = T>) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = line.into_iter().map(Into::into).collect();
        let is_named = |name: &str| words.iter().any(|word| word == name);
        let named = with_commands(|command| is_named(command.get_name()) || command.get_all_aliases().any(is_named));
        Self::read(named, &words).or_else(|_| Self::read(command(), &words))
    }

    fn read(mut command: clap::Command, words: &[OsString]) -> Result<Self, clap::Error> {
        let mut matches = command.try_get_matches_from_mut(words)?;
        let mut read = || {
            let global = GlobalArgs::from_arg_matches_mut(&mut matches)?;
            Ok(Self { global, command: Command::from_arg_matches_mut(&mut matches)? })
        };
        read().map_err(|error: clap::Error| error.format(&mut command))
    }
}

/// Sign in to Ollama, run models, manage API keys, protect a server
///
/// The client signs you in to ollama.com or to a gateway and keeps the credential in your system's keyring. The gateway puts
/// the same authentication in front of any Ollama server.
#[derive(Debug, Parser)]
#[command(
    name = "ollama-auth",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    arg_required_else_help = true,
    arg = help_flag(),
    arg = version_flag(),
    max_term_width = 80,
    after_help = "\
# Try everything on this machine, with nothing to install
ollama-auth quickstart

# Sign in to ollama.com and run a model there
ollama-auth signin
ollama-auth run gpt-oss:120b-cloud \"Why is the sky blue?\""
)]
struct Root {
    #[command(flatten)]
    global: GlobalArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(alias = "login")]
    Signin(SigninArgs),
    #[command(alias = "logout")]
    Signout(SignoutArgs),
    #[command(visible_alias = "whoami")]
    Status(StatusArgs),
    Run(Box<RunArgs>),
    /// List the models on the server
    ///
    /// Prints name, id, size and age of each model. With --json it prints them as the server sends them.
    #[command(
        visible_alias = "ls",
        after_help = "\
# List all models
ollama-auth list

# List the models whose names begin with llama
ollama-auth list llama"
    )]
    List(ListArgs),
    Show(ShowArgs),
    /// List the models that are loaded in the server's memory
    ///
    /// Prints how much memory each one uses, and when the server unloads it.
    #[command(after_help = "\
# See which models are loaded
ollama-auth ps

# The same for a script
ollama-auth ps --json")]
    Ps(ListArgs),
    /// Download a model to the server
    ///
    /// The server fetches the model from its registry. Progress is shown on standard error.
    #[command(after_help = "\
# Download a model
ollama-auth pull llama3.2

# Give up if nothing arrives for a minute
ollama-auth pull llama3.2 --timeout 1m")]
    Pull(TransferArgs),
    /// Upload a model from the server to its registry
    ///
    /// The model's name begins with your account, as in ada/tiny. If the server is not signed in, `push` signs it in first.
    #[command(after_help = "\
# Name a model after your account, then publish it
ollama-auth cp llama3.2 ada/tiny
ollama-auth push ada/tiny")]
    Push(TransferArgs),
    Cp(CpArgs),
    Rm(RmArgs),
    Stop(StopArgs),
    #[command(subcommand)]
    Keys(KeysCommand),
    #[command(subcommand)]
    Device(DeviceCommand),
    #[command(subcommand)]
    Profile(ProfileCommand),
    #[command(subcommand)]
    Store(StoreCommand),
    Token(TokenArgs),
    Exec(ExecArgs),
    Api(ApiArgs),
    #[cfg(feature = "gateway")]
    Proxy(ProxyArgs),
    Usage(UsageArgs),
    #[cfg(feature = "gateway")]
    #[command(subcommand)]
    Gateway(GatewayCommand),
    #[cfg(feature = "gateway")]
    Quickstart(QuickstartArgs),
    Doctor(DoctorArgs),
    /// Print a completion script for your shell
    ///
    /// The script completes commands, options, models, profiles, keys and scopes. It reads no secret and contacts no host
    /// except an Ollama server on this machine.
    #[command(after_help = "\
# Bash: add this line to ~/.bashrc
source <(ollama-auth completions bash)

# Zsh: write the script to a folder of $fpath
ollama-auth completions zsh >_ollama-auth

# Fish
ollama-auth completions fish >ollama-auth.fish")]
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them to a folder
    ///
    /// The pages have the same text as --help.
    #[command(after_help = "\
# Read the main page
ollama-auth man | man -l -

# Write all pages to a folder
ollama-auth man man1")]
    Man {
        /// Write all pages to this folder
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// Show help for a command or a topic
    ///
    /// Topics: `options` are the options of every command, `environment` the variables, `exit-codes` the exit codes.
    #[command(after_help = "\
# Show a command's help
ollama-auth help keys create

# Show the variables that ollama-auth reads
ollama-auth help environment")]
    Help {
        /// A command, or options, environment or exit-codes
        #[arg(value_name = "TOPIC")]
        topic: Vec<String>,
    },
    /// Print the version
    ///
    /// Prints one line: the program's name and its version.
    #[command(after_help = "\
# Print the version
ollama-auth version")]
    Version,
}

/// What `version` and `--version` print.
pub const VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The order and the headings in which the main help lists the commands.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("Sign in", &["signin", "signout", "status"]),
    ("Models", &["run", "list", "show", "ps", "pull", "push", "cp", "rm", "stop"]),
    ("API keys, devices and settings", &["keys", "device", "profile", "store"]),
    ("Use the credential elsewhere", &["token", "exec", "api", "proxy", "usage"]),
    ("Protect an Ollama server", &["gateway", "quickstart"]),
    ("Help", &["doctor", "help", "version", "completions", "man"]),
];

// clap's own flags have no heading and are not listed with the options that every command has.
fn help_flag() -> Arg {
    Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpShort)
        .global(true)
        .help("Show help")
        .help_heading(HELP)
}

fn version_flag() -> Arg {
    Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .global(true)
        .help("Show the version")
        .help_heading(HELP)
}

/// The heading of the flags for help.
const HELP: &str = "Output and prompts";

/// The whole command line, as it is parsed.
pub fn command() -> clap::Command {
    with_commands(|_| true)
}

fn with_commands(is_wanted: impl Fn(&clap::Command) -> bool) -> clap::Command {
    let mut all = Command::augment_subcommands(clap::Command::new(""));
    let wanted = all.get_subcommands_mut().filter(|command| is_wanted(command)).map(std::mem::take);
    Root::command().subcommand_required(true).subcommands(wanted)
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

    #[test]
    fn a_line_means_the_same_whichever_commands_are_defined() {
        for line in [
            "run llama3.2 hi",
            "run keys status",
            "--profile status run m -v",
            "--host keys list",
            "--store=file -qv keys create status --scope inference",
            "gateway user add run",
            "profile use keys",
            "exec -- run status",
            "whoami --json",
            "run",
            "run m --no-such-option",
            "--profile run",
            "no-such-command",
            "keys no-such-command",
            "run --help",
            "--color sometimes run m",
            "",
        ] {
            let words: Vec<OsString> =
                ["ollama-auth"].into_iter().chain(line.split_whitespace()).map(Into::into).collect();
            let (read, whole) = (Cli::try_parse_from(&words), Cli::read(command(), &words));
            let shown = |read: Result<Cli, clap::Error>| match read {
                Ok(cli) => format!("{cli:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown(read), shown(whole), "{line}");
        }
    }
}
