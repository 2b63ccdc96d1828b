//! The stores, and which of the secrets on record are really there. A store that failed once is not asked again, so that a
//! frozen keyring costs one time limit and a person is asked for a passphrase once.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use crate::address::BaseUrl;
use crate::app::App;
use crate::commands::store::secrets;
use crate::profile::{Profiles, entry_id};
use crate::vault::{EntryId, EntryKind, PassphraseError, StoreKind, VaultError};

/// How long the keyring may take, prompt included: whoever asks what is wrong should not wait a minute for it.
const KEYRING_LIMIT: Duration = Duration::from_secs(10);

/// Stores and secrets.
#[derive(Debug, Default)]
pub struct Secrets {
    /// What is on record, by profile.
    pub held: Vec<Held>,
    /// The stores that were asked, and what hindered the answer.
    pub stores: BTreeMap<StoreKind, Option<Trouble>>,
    /// Copies in another store than the one on record: profile, what it is, store.
    pub copies: Vec<(String, &'static str, StoreKind)>,
}

/// A secret on record.
#[derive(Debug)]
pub struct Held {
    /// The profile.
    pub profile: String,
    /// What it is.
    pub kind: EntryKind,
    /// The store on record.
    pub store: StoreKind,
    /// Whether it is there.
    pub found: Found,
}

/// Whether a secret is where it should be.
#[derive(Debug)]
pub enum Found {
    /// It is.
    Here(SecretString),
    /// It is not.
    Gone,
    /// Its store cannot be asked: see there.
    Unknown,
    /// This entry alone makes trouble.
    Trouble(Trouble),
}

/// What hinders, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Secrets {
    /// How many secrets on record rest in a store.
    pub fn count_in(&self, store: StoreKind) -> usize {
        self.held.iter().filter(|held| held.store == store).count()
    }

    /// A profile's secret of that kind, where it is there.
    pub fn get(&self, profile: &str, kind: EntryKind) -> Option<&SecretString> {
        self.held.iter().find_map(|held| match &held.found {
            Found::Here(secret) if held.profile == profile && held.kind == kind => Some(secret),
            _ => None,
        })
    }
}

/// Asks for everything on record.
///
/// # Errors
/// Only when the person who was asked for a passphrase breaks off.
pub async fn gather(app: &App, profiles: &Profiles) -> Result<Secrets, VaultError> {
    let mut asker = Asker { app, stores: BTreeMap::new() };
    let mut held = Vec::new();
    for (name, profile) in &profiles.profiles {
        for (kind, _, store) in secrets(profile) {
            let found = asker.look(store, &entry_id(kind, name, profile)).await?;
            held.push(Held { profile: name.clone(), kind, store, found });
        }
    }
    // A new secret would go there unless another store is asked for.
    let wants_other = app.wanted_store().ok().flatten().is_some_and(|store| store != StoreKind::Keyring);
    let nobody = EntryId::new(EntryKind::ApiKey, "doctor", BaseUrl::local().origin());
    if !asker.stores.contains_key(&StoreKind::Keyring) && !wants_other {
        asker.look(StoreKind::Keyring, &nobody).await?;
    }
    // It can be looked into without being asked for anything.
    if !asker.stores.contains_key(&StoreKind::Plaintext) && exists(app, StoreKind::Plaintext) {
        asker.look(StoreKind::Plaintext, &nobody).await?;
    }
    let copies = copies(&mut asker, profiles).await?;
    Ok(Secrets { held, stores: asker.stores, copies })
}

fn exists(app: &App, store: StoreKind) -> bool {
    app.vault.file(store).is_some_and(|file| file.symlink_metadata().is_ok())
}

/// Copies in stores that are open anyway: nobody is asked for a passphrase for their sake.
async fn copies(
    asker: &mut Asker<'_>,
    profiles: &Profiles,
) -> Result<Vec<(String, &'static str, StoreKind)>, VaultError> {
    let mut copies = Vec::new();
    for (name, profile) in &profiles.profiles {
        for (kind, what, store) in secrets(profile) {
            for other in StoreKind::ALL.into_iter().filter(|other| *other != store) {
                let open = matches!(asker.stores.get(&other), Some(None));
                if open && matches!(asker.look(other, &entry_id(kind, name, profile)).await?, Found::Here(_)) {
                    copies.push((name.clone(), what, other));
                }
            }
        }
    }
    Ok(copies)
}

struct Asker<'a> {
    app: &'a App,
    stores: BTreeMap<StoreKind, Option<Trouble>>,
}

impl Asker<'_> {
    async fn look(&mut self, store: StoreKind, id: &EntryId) -> Result<Found, VaultError> {
        if let Some(Some(_)) = self.stores.get(&store) {
            return Ok(Found::Unknown);
        }
        let asked = self.app.vault.look(store, id);
        let answer = if store == StoreKind::Keyring {
            let late = Err(VaultError::KeyringTimeout(KEYRING_LIMIT));
            tokio::time::timeout(KEYRING_LIMIT, asked).await.unwrap_or(late)
        } else {
            asked.await
        };
        let error = match answer {
            Ok(found) => {
                self.stores.insert(store, None);
                return Ok(found.map_or(Found::Gone, Found::Here));
            }
            Err(error @ VaultError::Passphrase(PassphraseError::Interrupted)) => return Err(error),
            Err(error) => error,
        };
        let trouble = Trouble { message: error.to_string(), hint: error.hint() };
        // Other entries of the keyring may be fine.
        if matches!(error, VaultError::Keyring(_)) {
            self.stores.entry(store).or_insert(None);
            return Ok(Found::Trouble(trouble));
        }
        self.stores.insert(store, Some(trouble));
        Ok(Found::Unknown)
    }
}
