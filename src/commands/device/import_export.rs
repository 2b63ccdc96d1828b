//! `device import` and `device export`: private keys in OpenSSH format, taken over from a file and written to one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::with_device;
use crate::app::App;
use crate::cli::{DeviceExport, DeviceImport};
use crate::commands::context::{Context, device_key, require_unchanged};
use crate::commands::signin::device::machine_name;
use crate::commands::store::{choose_store, delete_secret};
use crate::disk;
use crate::disk::{DiskError, Exposure};
use crate::exit::{Exit, Problem};
use crate::identity::{DeviceKey, IdentityError, PublicKey};
use crate::profile::{Audience, DeviceRecord, Profile, Profiles, entry_id};
use crate::vault::{EntryKind, StoreKind, read_passphrase_file};

/// `device import`
pub async fn import(app: &App, args: DeviceImport) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let name = &context.target.profile;
    let file = args.file.clone().unwrap_or_else(|| app.paths.stock_key.clone());
    let key = read_key(app, &args, &file).await?;
    if let Some(old) = context.profile.as_ref().and_then(|profile| profile.device.as_ref()) {
        if old.public_key == *key.public() {
            let fingerprint = old.public_key.grouped_fingerprint();
            app.printer.note(&format!("The profile {name:?} already has this device key ({fingerprint})."));
            return report(app, &context, key.public(), old.store);
        }
        if !args.replace {
            let message =
                format!("the profile {name:?} has another device key ({})", old.public_key.grouped_fingerprint());
            let hint =
                "sign out first, or pass --replace: the old key then stays connected at the host until you revoke it";
            return Err(Problem::new(Exit::Usage, message).hint(hint).into());
        }
    }
    warn_of_sharing(app, &app.profiles.load()?, &context, &key);
    let store = choose_store(app, context.profile.as_ref()).await?;
    let fallback = Profile::new(context.url().clone());
    let profile = context.profile.as_ref().unwrap_or(&fallback);
    let _lock = app.lock_keys()?;
    require_unchanged(app, name, context.profile.as_ref())?;
    app.vault.put(store, &entry_id(EntryKind::DeviceKey, name, profile), &key.to_openssh(None)?).await?;
    let record = DeviceRecord {
        store,
        public_key: key.public().clone(),
        name: args.device_name.unwrap_or_else(machine_name),
        created_at: (app.now)(),
        connected: false,
        // Only a file has a path worth recording, not a pipe.
        imported_from: file.is_file().then(|| std::path::absolute(&file).unwrap_or(file.clone())),
        imported: true,
        retired: Vec::new(),
        next: None,
    };
    let old = app.profiles.update(|profiles| {
        let profile = profiles.entry(name, context.url());
        profile.store = Some(store);
        let old = profile.device.replace(record);
        if profiles.current.is_none() {
            profiles.current = Some(name.clone());
        }
        old
    })?;
    // Copies of the key that was replaced would outlive every sign-out.
    if let Some(old) = old {
        let next = entry_id(EntryKind::NextDeviceKey, name, profile);
        app.vault.delete(old.store, &next).await?;
        if old.store != store {
            delete_secret(app, old.store, EntryKind::DeviceKey, name, profile).await?;
        }
    }
    app.printer.success(&format!(
        "Imported {} into the {store} store ({})",
        file.display(),
        key.public().grouped_fingerprint()
    ));
    app.printer.hint(&format!("to connect it: ollama-auth signin --host {}", context.url()));
    report(app, &context, key.public(), store)
}

fn report(app: &App, context: &Context, key: &PublicKey, store: StoreKind) -> anyhow::Result<Exit> {
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "profile": context.target.profile,
            "host": context.url(),
            "fingerprint": key.fingerprint(),
            "store": store,
        }))?;
    }
    Ok(Exit::Done)
}

async fn read_key(app: &App, args: &DeviceImport, file: &Path) -> anyhow::Result<DeviceKey> {
    let named = || format!("the key file {}", file.display());
    let Some(pem) = disk::read_input(file, Exposure::Anyone)?.map(Zeroizing::new) else {
        let message = format!("the key file {} does not exist", file.display());
        let hint = "pass the path of the file; a systemd installation of Ollama stores its key in /usr/share/ollama/.ollama/id_ed25519";
        return Err(Problem::new(Exit::NotFound, message).hint(hint).into());
    };
    if matches!(disk::read_input(file, Exposure::Owner), Err(DiskError::Exposed { .. })) {
        app.printer.warn(&format!(
            "{} can be read by other accounts: treat the key as known to others and rotate it",
            file.display()
        ));
    }
    let text =
        std::str::from_utf8(&pem).map_err(|_| IdentityError::NotOpenSsh("it is not text")).with_context(named)?;
    match DeviceKey::from_openssh(text, None) {
        Err(IdentityError::Encrypted) => {
            let passphrase = key_passphrase(app, args, file).await?;
            DeviceKey::from_openssh(text, Some(&passphrase)).with_context(named)
        }
        other => other.with_context(named),
    }
}

async fn key_passphrase(app: &App, args: &DeviceImport, file: &Path) -> anyhow::Result<SecretString> {
    if let Some(path) = &args.key_passphrase_file {
        return Ok(read_passphrase_file(path)?);
    }
    if app.printer.is_interactive() {
        let question = format!("Passphrase of {}", file.display());
        return Ok(app.ask(move |p| p.hidden(&question)).await??);
    }
    let message = format!("{} is protected by a passphrase", file.display());
    Err(Problem::new(Exit::Usage, message).hint("pass --key-passphrase-file FILE").into())
}

/// A signature names no host: the operator of one host where a key is used can replay it at the other
/// (`docs/explanation/protocol.md`, "Signed requests").
fn warn_of_sharing(app: &App, profiles: &Profiles, context: &Context, key: &DeviceKey) {
    let elsewhere = profiles.profiles.iter().find(|(_, profile)| {
        profile.url.origin() != context.url().origin()
            && profile.device.as_ref().is_some_and(|device| device.public_key == *key.public())
    });
    if let Some((name, profile)) = elsewhere {
        app.printer.warn(&format!(
            "this key is also used at {} (profile {name:?}): the operator of either host can act as you at the other; \
             `ollama-auth signin` creates a separate key for each host",
            profile.url
        ));
    } else if !context.url().is_ollama_com() {
        app.printer.warn(&format!(
            "if this key is also connected at ollama.com, the operator of {} can act as you there; \
             `ollama-auth signin` creates a separate key",
            context.url()
        ));
    }
}

/// `device export`
pub async fn export(app: &App, args: DeviceExport) -> anyhow::Result<Exit> {
    let (name, profile, _) = with_device(app)?;
    let mut public = args.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let exists = |file: &Path| {
        let message = format!("{} already exists", file.display());
        Problem::new(Exit::Usage, message).hint("choose another file, or pass --replace")
    };
    for file in [&args.file, &public] {
        if !args.replace && file.symlink_metadata().is_ok() {
            return Err(exists(file).into());
        }
        // Both or none: half an export would leave a private key in an unexpected place.
        disk::probe_given(file)?;
    }
    let passphrase = export_passphrase(app, &args).await?;
    let key = device_key(app, &name, &profile).await?;
    let pem = key.to_openssh(passphrase.as_ref())?;
    let line = format!("{}\n", key.public().line());
    for (file, content) in [(&args.file, pem.expose_secret().as_bytes()), (&public, line.as_bytes())] {
        if !disk::write_given(file, content, args.replace)? {
            return Err(exists(file).into());
        }
    }
    app.printer.success(&format!("Wrote {} ({})", args.file.display(), key.public().grouped_fingerprint()));
    if passphrase.is_none() {
        app.printer.warn(&format!(
            "{} is not protected by a passphrase: everyone who can read it can act as you",
            args.file.display()
        ));
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

/// An unprotected file is written only on explicit request.
async fn export_passphrase(app: &App, args: &DeviceExport) -> anyhow::Result<Option<SecretString>> {
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
    let message = "refusing to write a private key without a passphrase";
    let hint = "pass --key-passphrase-file FILE, or --no-passphrase (stock Ollama needs a key without one)";
    Err(Problem::new(Exit::Usage, message).hint(hint).into())
}
