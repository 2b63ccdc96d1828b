//! The stores: which of them can be reached, whether the passphrase opens the encrypted file, and where a new secret would go.

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::secrets::Trouble;
use crate::vault::{PassphraseError, StoreKind, passphrase_in};

const GROUP: Group = Group::Stores;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for store in StoreKind::ALL {
        let used = view.secrets.count_in(store);
        match view.secrets.stores.get(&store) {
            Some(None) => found.extend(open(store, used)),
            Some(Some(trouble)) => found.push(closed(view, store, used, trouble)),
            None => found.extend(unasked(view, store)),
        }
    }
    found.extend(passphrase_file(view));
    found
}

fn open(store: StoreKind, used: usize) -> Option<Finding> {
    let secrets = if used == 1 { "1 secret rests".to_owned() } else { format!("{used} secrets rest") };
    Some(match store {
        StoreKind::Keyring if used == 0 => Finding::new(Level::Ok, GROUP, "keyring", "the keyring answers"),
        StoreKind::Keyring => {
            Finding::new(Level::Ok, GROUP, "keyring", format!("the keyring answers; {secrets} in it"))
        }
        StoreKind::File => {
            let what = format!("the encrypted file opens; {secrets} in it");
            Finding::new(Level::Ok, GROUP, "encrypted-file", what)
        }
        StoreKind::Plaintext if used == 0 => return None,
        StoreKind::Plaintext => {
            Finding::new(Level::Warning, GROUP, "plaintext", format!("{secrets} in the plaintext file"))
                .why("every program that runs as you can read it, and so can whoever gets a backup of it")
                .remedy("ollama-auth store move --all --to keyring")
                .remedy("or, where there is no keyring: ollama-auth store move --all --to file")
        }
    })
}

fn closed(view: &View<'_>, store: StoreKind, used: usize, trouble: &Trouble) -> Finding {
    let check = match store {
        StoreKind::Keyring => "keyring",
        StoreKind::File => "encrypted-file",
        StoreKind::Plaintext => "plaintext",
    };
    let hint = trouble.hint.clone();
    if used > 0 || store == StoreKind::Plaintext {
        let why = "the secrets on record there cannot be used";
        return Finding::new(Level::Error, GROUP, check, &trouble.message).why(why).remedies(hint);
    }
    if view.secrets.held.is_empty() && !view.app.vault.file(StoreKind::File).is_some_and(|file| file.exists()) {
        return Finding::new(Level::Note, GROUP, check, &trouble.message)
            .why("a sign-in would keep its secret in the encrypted file, which needs a passphrase")
            .remedy("give one with --passphrase-file or OLLAMA_AUTH_PASSPHRASE_FILE, or at the prompt");
    }
    let why = "nothing of yours rests in it";
    Finding::new(Level::Note, GROUP, check, &trouble.message).why(why)
}

/// It is there, but opening it takes a passphrase that nobody needs to give.
fn unasked(view: &View<'_>, store: StoreKind) -> Option<Finding> {
    let file = view.app.vault.file(store).filter(|file| store == StoreKind::File && file.exists())?;
    let what = format!("no profile uses {}; it was not opened", file.display());
    Some(Finding::new(Level::Note, GROUP, "encrypted-file", what))
}

/// A file of a passphrase that is named and cannot be used.
fn passphrase_file(view: &View<'_>) -> Option<Finding> {
    let app = view.app;
    let path = app.global.passphrase_file.as_ref().or(app.env.passphrase_file.as_ref())?;
    let error: PassphraseError = passphrase_in(path).err()?;
    // Where the store was opened with it, that has been said.
    let said = matches!(view.secrets.stores.get(&StoreKind::File), Some(Some(trouble)) if trouble.message == error.to_string());
    (!said).then(|| {
        Finding::new(Level::Error, GROUP, "passphrase-file", error.to_string())
            .why("the encrypted file cannot be opened or made with it")
            .remedies(error.hint())
    })
}
