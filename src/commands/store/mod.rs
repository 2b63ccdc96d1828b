//! `store`: where secrets rest; and the choice of a store for a new secret.

mod relocate;
mod show;

pub use show::{delete_all_copies, delete_secret, stored_secrets};

use crate::app::App;
use crate::cli::StoreCommand;
use crate::exit::{Exit, Problem};
use crate::profile::Profile;
use crate::vault::{StoreKind, VaultError};

/// Runs it.
pub async fn run(app: &App, command: StoreCommand) -> anyhow::Result<Exit> {
    match command {
        StoreCommand::Show => show::run(app).await,
        StoreCommand::Move(args) => relocate::run(app, args).await,
    }
}

/// The store for a new secret, probed so that it will not fail later: what this call asks for, what the profile used
/// before, else the keyring, else (where there is none) the encrypted file.
///
/// # Errors
/// When the store cannot be used; never falls back to plaintext.
pub async fn choose_store(app: &App, profile: Option<&Profile>) -> anyhow::Result<StoreKind> {
    if let Some(store) = app.wanted_store()?.or_else(|| profile.and_then(|profile| profile.store)) {
        app.vault.probe(store).await?;
        return Ok(store);
    }
    let unavailable = match app.vault.probe(StoreKind::Keyring).await {
        Ok(()) => return Ok(StoreKind::Keyring),
        Err(error @ VaultError::KeyringUnavailable { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    match app.vault.probe(StoreKind::File).await {
        Ok(()) => {
            app.printer.note("There is no keyring here; using the encrypted file.");
            Ok(StoreKind::File)
        }
        Err(VaultError::NoPassphrase { .. }) => {
            let hint = "for an encrypted file give a passphrase (OLLAMA_AUTH_PASSPHRASE or --passphrase-file); \
                        to keep the key readable on disk, say so with --store plaintext";
            Err(Problem::new(Exit::Failed, format!("there is no place to keep a secret: {unavailable}"))
                .hint(hint)
                .into())
        }
        Err(error) => Err(error.into()),
    }
}
