//! `signin`, `signout`, `status` and `device`: who this machine is to a host.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::SpanArg;

/// Sign in to a host, in the browser or with an API key
///
/// Creates a device key for the host, stores it in the operating system's keyring and opens the page on which you
/// approve it. The host becomes the current profile. Without --host you sign in to ollama.com.
#[derive(Debug, Args)]
#[command(after_help = "\
# Sign in to ollama.com in the browser
ollama-auth signin

# Sign in to a gateway, on a machine without a browser
ollama-auth signin --host https://gpu.example.com --qr

# Store an API key instead, as a CI job does
printenv OLLAMA_API_KEY | ollama-auth signin --with-api-key")]
pub struct SigninArgs {
    /// Read an API key from standard input or a hidden prompt
    #[arg(long, conflicts_with_all = ["server", "no_browser", "no_wait", "qr", "device_name"], help_heading = "What to sign in")]
    pub with_api_key: bool,
    /// Sign in the local Ollama server instead of this device
    #[arg(long, conflicts_with = "device_name", help_heading = "What to sign in")]
    pub server: bool,
    /// Name of this device at the host [default: host name]
    #[arg(long, value_name = "NAME", help_heading = "What to sign in")]
    pub device_name: Option<String>,
    /// Do not open a browser
    #[arg(long, help_heading = "Approval")]
    pub no_browser: bool,
    /// Show the link as a QR code, for a phone
    #[arg(long, help_heading = "Approval")]
    pub qr: bool,
    /// Print the link and exit with code 4; sign in again later
    #[arg(long, conflicts_with_all = ["qr", "timeout"], help_heading = "Approval")]
    pub no_wait: bool,
    /// How long to wait for the approval
    #[arg(long, value_name = "DURATION", default_value = "10m", help_heading = "Approval")]
    pub timeout: SpanArg,
    /// Takes what was typed behind `--with-api-key`, so that no error repeats a key.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub stray: Vec<OsString>,
}

/// Sign out of a host and delete its credential from this machine
///
/// Disconnects this device at the host, then deletes its key. Signing out when you are not signed in succeeds.
#[derive(Debug, Args)]
#[command(after_help = "\
# Sign out of the current profile's host
ollama-auth signout

# Sign out everywhere, without questions
ollama-auth signout --all --yes")]
pub struct SignoutArgs {
    /// Sign out of every profile
    #[arg(long, conflicts_with = "server")]
    pub all: bool,
    /// Sign out the local Ollama server instead of this device
    #[arg(long)]
    pub server: bool,
    /// Disconnect the device at the host, but keep its key here
    #[arg(long, conflicts_with = "server")]
    pub keep_key: bool,
    /// Delete the key even if the host is unreachable or a rotation is unfinished
    #[arg(long, conflicts_with = "server")]
    pub force: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// Show who you are signed in as, where, and what `run` would use
///
/// Prints the host, the account and the credential with its source, and checks that the host accepts the credential. Exits
/// with code 4 if you are not signed in.
#[derive(Debug, Args)]
#[command(after_help = "\
# Show the current sign-in
ollama-auth status

# Let a script test whether the credential works
ollama-auth status --quiet

# Read the account's name in a script
ollama-auth status --json")]
pub struct StatusArgs {
    /// Do not contact the host
    #[arg(long)]
    pub offline: bool,
}

/// Manage this device's key and the devices of your account
///
/// A device key proves who you are: it signs each request. Every host gets a key of its own. The files are compatible with
/// ssh-keygen and with stock Ollama.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Show this device's fingerprint
ollama-auth device show

# Replace this device's key
ollama-auth device rotate")]
pub enum DeviceCommand {
    /// List the device keys on this machine
    ///
    /// Lists the device key of each profile, and the key of the local Ollama server.
    #[command(after_help = "\
# List the device keys
ollama-auth device list

# The same for a script
ollama-auth device list --json")]
    List,
    /// Show this device's public key, fingerprint and connect link
    ///
    /// The private key is never shown. Compare the fingerprint with the one on the approval page.
    #[command(after_help = "\
# Show the device key of the current profile
ollama-auth device show

# Show the device key for a gateway
ollama-auth device show --host https://gpu.example.com")]
    Show,
    Import(DeviceImport),
    Export(DeviceExport),
    Rotate(DeviceRotate),
    Revoke(DeviceRevoke),
}

/// Use an existing private key as this device's key
///
/// Reads an Ed25519 key in OpenSSH format, for example the one of stock Ollama, and stores it for the host.
#[derive(Debug, Args)]
#[command(after_help = "\
# Use stock Ollama's key
ollama-auth device import

# Use another key, and name the device
ollama-auth device import id_ed25519 --device-name build-server")]
pub struct DeviceImport {
    /// The private key, in OpenSSH format [default: ~/.ollama/id_ed25519]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name of this device at the host
    #[arg(long, value_name = "NAME")]
    pub device_name: Option<String>,
    /// Read the key file's passphrase from a file
    #[arg(long, value_name = "FILE")]
    pub key_passphrase_file: Option<PathBuf>,
    /// Replace the stored device key
    #[arg(long)]
    pub replace: bool,
}

/// Write this device's private key to a file
///
/// Writes it in OpenSSH format, for ssh-keygen or stock Ollama, and the public key beside it. A prompt asks for the
/// file's passphrase unless an option says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
# Write the key, protected by a passphrase that you type
ollama-auth device export backup_ed25519

# Write it in the form that stock Ollama needs
ollama-auth device export id_ed25519 --no-passphrase")]
pub struct DeviceExport {
    /// The file to write; the public key goes to FILE.pub
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read the file's new passphrase from a file
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub key_passphrase_file: Option<PathBuf>,
    /// Write it without a passphrase
    #[arg(long)]
    pub no_passphrase: bool,
    /// Overwrite existing files
    #[arg(long)]
    pub replace: bool,
}

/// Replace this device's key
///
/// Creates a new key, lets you approve it in the browser, then disconnects the old one. The old key works until the new
/// one does.
#[derive(Debug, Args)]
#[command(after_help = "\
# Replace the key for the current profile's host
ollama-auth device rotate

# The same on a machine without a browser
ollama-auth device rotate --qr --yes")]
pub struct DeviceRotate {
    /// Do not open a browser
    #[arg(long)]
    pub no_browser: bool,
    /// Show the link as a QR code, for a phone
    #[arg(long)]
    pub qr: bool,
    /// How long to wait for the approval
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub timeout: SpanArg,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// Disconnect a device from the host
///
/// The host no longer accepts the device's key. Use it for a lost machine; for this one, `signout` also deletes the key.
#[derive(Debug, Args)]
#[command(after_help = "\
# Disconnect this device
ollama-auth device revoke

# Disconnect another device by its public key
ollama-auth device revoke \"$(cat lost_device.pub)\" --yes")]
pub struct DeviceRevoke {
    /// Public key, encoded key, or fingerprint of a key on this machine [default: this device]
    #[arg(value_name = "DEVICE")]
    pub key: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}
