//! `device …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::SpanArg;

/// `ollama-auth device`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List the device keys kept here, and stock Ollama's
    List,
    /// Show this device's public key, its fingerprint and the link that connects it
    Show,
    /// Take over a private key, such as stock Ollama's
    Import(DeviceImport),
    /// Write this device's private key to a file that ssh-keygen and stock Ollama read
    Export(DeviceExport),
    /// Replace this device's key by a new one, and disconnect the old one
    Rotate(DeviceRotate),
    /// Disconnect a device from the host
    Revoke(DeviceRevoke),
}

/// `ollama-auth device import`
#[derive(Debug, Args)]
pub struct DeviceImport {
    /// The private key, in OpenSSH format [default: ~/.ollama/id_ed25519]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The name under which the host shows this device
    #[arg(long, value_name = "NAME")]
    pub device_name: Option<String>,
    /// Read the key file's own passphrase from this file
    #[arg(long, value_name = "FILE")]
    pub key_passphrase_file: Option<PathBuf>,
    /// Replace a device key that is already here
    #[arg(long)]
    pub replace: bool,
}

/// `ollama-auth device export`
#[derive(Debug, Args)]
pub struct DeviceExport {
    /// The file to write; the public key goes beside it, with `.pub` added
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Protect the file with a passphrase read from this file
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub key_passphrase_file: Option<PathBuf>,
    /// Write it without a passphrase, as stock Ollama needs it
    #[arg(long)]
    pub no_passphrase: bool,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub replace: bool,
}

/// `ollama-auth device rotate`
#[derive(Debug, Args)]
pub struct DeviceRotate {
    /// Do not open a browser
    #[arg(long)]
    pub no_browser: bool,
    /// How long to wait for the approval
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub timeout: SpanArg,
    /// Show the link as a QR code, for a phone
    #[arg(long)]
    pub qr: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// `ollama-auth device revoke`
#[derive(Debug, Args)]
pub struct DeviceRevoke {
    /// The device: a public key line, an encoded key, or the fingerprint of a key kept here [default: this device]
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}
