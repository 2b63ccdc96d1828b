//! `profile`, `store` and `doctor`: what is on this machine.

use clap::{Args, Subcommand};

use super::StoreArg;

/// Manage profiles: one for each host you sign in to
///
/// A profile remembers a host, its credential and where the credential is stored. `signin` creates it. Commands use the
/// current profile unless --profile or --host names another.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# See the profiles and which one is current
ollama-auth profile list

# Make another one current
ollama-auth profile use gpu.example.com")]
pub enum ProfileCommand {
    /// List profiles and mark the current one
    ///
    /// Shows each profile's host and credential. No host is contacted and no secret is read.
    #[command(after_help = "\
# List the profiles
ollama-auth profile list

# The same for a script
ollama-auth profile list --json")]
    List,
    Use(ProfileUse),
    /// Show a profile
    ///
    /// Prints the host, the account, the device key's fingerprint and the API key's name, but no secret.
    #[command(after_help = "\
# Show the current profile
ollama-auth profile show

# Show another one
ollama-auth profile show gpu.example.com")]
    Show {
        /// The profile [default: the current one]
        #[arg(value_name = "PROFILE")]
        name: Option<String>,
    },
    Remove(ProfileRemove),
}

/// Make a profile the current one
///
/// Commands then use its host and credential unless --profile, --host or a variable names another.
#[derive(Debug, Args)]
#[command(after_help = "\
# Work with a gateway
ollama-auth profile use gpu.example.com

# Return to ollama.com
ollama-auth profile use ollama.com")]
pub struct ProfileUse {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub name: String,
}

/// Delete a profile and its secrets from this machine
///
/// The host still accepts the deleted device key or API key. To disconnect them too, use `signout` or `keys revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
# Delete a profile
ollama-auth profile remove gpu.example.com

# Delete it without a question
ollama-auth profile remove gpu.example.com --yes")]
pub struct ProfileRemove {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Delete it even if a rotation of its key is unfinished
    #[arg(long)]
    pub force: bool,
}

/// Show and change where secrets are stored
///
/// Secrets are stored in the operating system's keyring, in a file encrypted with a passphrase, or in a plaintext file
/// (only if you ask for it). Each profile remembers its store.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# See where each secret is stored
ollama-auth store show

# Move the current profile's secrets to the encrypted file
ollama-auth store move --to file")]
pub enum StoreCommand {
    /// Show where each secret is stored and whether it can be read
    ///
    /// Reads every secret once to check it, so a locked keyring may ask to be unlocked. No secret is printed.
    #[command(after_help = "\
# Check the stored secrets
ollama-auth store show

# The same for a script
ollama-auth store show --json")]
    Show,
    Move(StoreMove),
    /// Ask for the passphrase again
    ///
    /// With OLLAMA_AUTH_KEEP_UNLOCKED=1, the key of the encrypted file stays in the Linux kernel's keyring for 15 minutes after you
    /// typed the passphrase. This command removes it.
    #[command(after_help = "\
# Before you leave the machine
ollama-auth store lock")]
    Lock,
}

/// Move a profile's secrets to another store
///
/// Cron jobs and services cannot reach the keyring: move their profile's secrets to the encrypted file and pass the
/// passphrase with --passphrase-file or a variable.
#[derive(Debug, Args)]
#[command(after_help = "\
# Prepare a cron job: use the encrypted file
ollama-auth store move --to file --passphrase-file passphrase.txt

# Move every profile's secrets to the keyring
ollama-auth store move --to keyring --all")]
pub struct StoreMove {
    /// The new store
    #[arg(long, value_enum, value_name = "STORE")]
    pub to: StoreArg,
    /// Move the secrets of every profile
    #[arg(long)]
    pub all: bool,
}

/// Find problems with this installation and say how to fix them
///
/// Checks settings, variables, stored secrets, the network, certificates, the clock and your sign-in. Exits with code 8 if
/// it finds a problem.
#[derive(Debug, Args)]
#[command(after_help = "\
# Check everything
ollama-auth doctor

# Check this machine only, as JSON for a bug report
ollama-auth doctor --offline --json")]
pub struct DoctorArgs {
    /// Check this machine only; contact no host
    #[arg(long)]
    pub offline: bool,
}
