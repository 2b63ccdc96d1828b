//! `device export`: writes the private key where `ssh-keygen` and stock Ollama can read it.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::with_device;
use crate::app::App;
use crate::cli::DeviceExport;
use crate::commands::context::device_key;
use crate::disk;
use crate::exit::{Exit, Problem};
use crate::vault::read_passphrase_file;

/// Runs it.
pub async fn run(app: &App, args: DeviceExport) -> anyhow::Result<Exit> {
    let (name, profile, _) = with_device(app)?;
    let mut public = args.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    for file in [&args.file, &public] {
        if !args.replace && file.symlink_metadata().is_ok() {
            let message = format!("{} exists", file.display());
            return Err(Problem::new(Exit::Usage, message).hint("name another file, or pass --replace").into());
        }
        // Both or none: half an export would leave a private key where nobody expects it.
        disk::probe_writable(file)?;
    }
    let passphrase = wanted_passphrase(app, &args).await?;
    let key = device_key(app, &name, &profile).await?;
    let pem = key.to_openssh(passphrase.as_ref())?;
    disk::write_atomic(&args.file, pem.expose_secret().as_bytes())?;
    disk::write_atomic(&public, format!("{}\n", key.public().line()).as_bytes())?;
    app.printer.success(&format!("Wrote {} ({})", args.file.display(), key.public().fingerprint()));
    if passphrase.is_none() {
        app.printer.warn(&format!("{} is not protected by a passphrase: whoever reads it is you", args.file.display()));
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "file": args.file,
            "fingerprint": key.public().fingerprint(),
            "encrypted": passphrase.is_some(),
        }))?;
    }
    Ok(Exit::Done)
}

/// An unprotected file is written only when that is said.
async fn wanted_passphrase(app: &App, args: &DeviceExport) -> anyhow::Result<Option<SecretString>> {
    if args.no_passphrase {
        return Ok(None);
    }
    if let Some(path) = &args.key_passphrase_file {
        return Ok(Some(read_passphrase_file(path)?));
    }
    if app.printer.is_interactive() {
        let typed = app.ask(|p| p.hidden_twice("Passphrase for the file", "The same passphrase again")).await??;
        return Ok(Some(typed));
    }
    let message = "a private key would be written without protection";
    let hint = "give a passphrase with --key-passphrase-file, or say --no-passphrase (stock Ollama needs it so)";
    Err(Problem::new(Exit::Usage, message).hint(hint).into())
}
