//! The stores and the secrets in them: which stores can be opened, and whether each secret on record is there and is the right
//! one. A store that failed once is not asked again: a frozen keyring costs one time limit, and one passphrase prompt is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::report::{Finding, Group, Level};
use super::{Snapshot, shell_word};
use crate::address::BaseUrl;
use crate::app::App;
use crate::commands::store::stored_secrets;
use crate::identity::DeviceKey;
use crate::profile::{Profile, Profiles, entry_id};
use crate::vault::{EntryId, EntryKind, PassphraseError, StoreKind, VaultError, read_passphrase_file};

/// How long the keyring may take, prompt included: a diagnosis should not take a minute.
const KEYRING_LIMIT: Duration = Duration::from_secs(10);

/// Stores and secrets.
#[derive(Debug, Default)]
pub struct StoredSecrets {
    /// What is on record, by profile.
    pub records: Vec<SecretRecord>,
    /// The stores that were asked, and why one could not answer.
    pub stores: BTreeMap<StoreKind, Option<StoreProblem>>,
    /// Copies in another store than the one on record: profile, what it is, store.
    pub copies: Vec<(String, &'static str, StoreKind)>,
}

/// A secret on record.
#[derive(Debug)]
pub struct SecretRecord {
    /// The profile.
    pub profile: String,
    /// What it is.
    pub kind: EntryKind,
    /// The store on record.
    pub store: StoreKind,
    /// Whether it is there.
    pub found: SecretState,
}

/// Whether a secret is in its store.
#[derive(Debug)]
pub enum SecretState {
    /// It is.
    Present(SecretString),
    /// It is not.
    Missing,
    /// Its store cannot be asked: see there.
    Unknown,
    /// This entry alone cannot be read.
    StoreProblem(StoreProblem),
}

/// Why a store or an entry cannot be read, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreProblem {
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl StoredSecrets {
    /// How many secrets on record are in a store.
    pub fn count_in(&self, store: StoreKind) -> usize {
        self.records.iter().filter(|record| record.store == store).count()
    }

    /// A profile's secret of that kind, where it is there.
    pub fn get(&self, profile: &str, kind: EntryKind) -> Option<&SecretString> {
        self.records.iter().find_map(|record| match &record.found {
            SecretState::Present(secret) if record.profile == profile && record.kind == kind => Some(secret),
            _ => None,
        })
    }
}

/// Asks for everything on record.
///
/// # Errors
/// Only when the passphrase prompt is interrupted.
pub async fn gather_secrets(app: &App, profiles: &Profiles) -> Result<StoredSecrets, VaultError> {
    let mut probe = StoreProbe { app, stores: BTreeMap::new() };
    let mut records = Vec::new();
    for (name, profile) in &profiles.profiles {
        for (kind, _, store) in stored_secrets(profile) {
            let found = probe.query(store, &entry_id(kind, name, profile)).await?;
            records.push(SecretRecord { profile: name.clone(), kind, store, found });
        }
    }
    // A new secret would go there unless another store is asked for.
    let wants_other = app.wanted_store().ok().flatten().is_some_and(|store| store != StoreKind::Keyring);
    let nobody = EntryId::new(EntryKind::ApiKey, "doctor", BaseUrl::local().origin());
    if !probe.stores.contains_key(&StoreKind::Keyring) && !wants_other {
        probe.query(StoreKind::Keyring, &nobody).await?;
    }
    // Reading it needs no passphrase.
    if !probe.stores.contains_key(&StoreKind::Plaintext) && exists(app, StoreKind::Plaintext) {
        probe.query(StoreKind::Plaintext, &nobody).await?;
    }
    let copies = find_copies(&mut probe, profiles).await?;
    Ok(StoredSecrets { records, stores: probe.stores, copies })
}

fn exists(app: &App, store: StoreKind) -> bool {
    app.vault.file(store).is_some_and(|file| file.symlink_metadata().is_ok())
}

/// Copies in stores that are open already: finding them never prompts for a passphrase.
async fn find_copies(
    probe: &mut StoreProbe<'_>,
    profiles: &Profiles,
) -> Result<Vec<(String, &'static str, StoreKind)>, VaultError> {
    let mut copies = Vec::new();
    for (name, profile) in &profiles.profiles {
        for (kind, what, store) in stored_secrets(profile) {
            for other in StoreKind::ALL.into_iter().filter(|other| *other != store) {
                let open = matches!(probe.stores.get(&other), Some(None));
                if open && matches!(probe.query(other, &entry_id(kind, name, profile)).await?, SecretState::Present(_))
                {
                    copies.push((name.clone(), what, other));
                }
            }
        }
    }
    Ok(copies)
}

struct StoreProbe<'a> {
    app: &'a App,
    stores: BTreeMap<StoreKind, Option<StoreProblem>>,
}

impl StoreProbe<'_> {
    async fn query(&mut self, store: StoreKind, id: &EntryId) -> Result<SecretState, VaultError> {
        if let Some(Some(_)) = self.stores.get(&store) {
            return Ok(SecretState::Unknown);
        }
        let asked = self.app.vault.peek(store, id);
        let answer = if store == StoreKind::Keyring {
            let late = Err(VaultError::KeyringTimeout(KEYRING_LIMIT));
            tokio::time::timeout(KEYRING_LIMIT, asked).await.unwrap_or(late)
        } else {
            asked.await
        };
        let error = match answer {
            Ok(found) => {
                self.stores.insert(store, None);
                return Ok(found.map_or(SecretState::Missing, SecretState::Present));
            }
            Err(error @ VaultError::Passphrase(PassphraseError::Interrupted)) => return Err(error),
            Err(error) => error,
        };
        let problem = StoreProblem { message: error.to_string(), hint: error.hint() };
        // Other entries of the keyring may be fine.
        if matches!(error, VaultError::Keyring(_)) {
            self.stores.entry(store).or_insert(None);
            return Ok(SecretState::StoreProblem(problem));
        }
        self.stores.insert(store, Some(problem));
        Ok(SecretState::Unknown)
    }
}

/// Checks which stores can be opened.
pub fn check_stores(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for store in StoreKind::ALL {
        let used = snapshot.secrets.count_in(store);
        match snapshot.secrets.stores.get(&store) {
            Some(None) => found.extend(open_finding(store, used)),
            Some(Some(problem)) => found.push(closed_finding(snapshot, store, used, problem)),
            None => found.extend(unopened_finding(snapshot, store)),
        }
    }
    found.extend(passphrase_file_finding(snapshot));
    found
}

fn open_finding(store: StoreKind, used: usize) -> Option<Finding> {
    let secrets = if used == 1 { "1 secret".to_owned() } else { format!("{used} secrets") };
    Some(match store {
        StoreKind::Keyring if used == 0 => Finding::new(Level::Ok, Group::Stores, "keyring", "the keyring answers"),
        StoreKind::Keyring => {
            Finding::new(Level::Ok, Group::Stores, "keyring", format!("the keyring answers and holds {secrets}"))
        }
        StoreKind::File => {
            let what = format!("the encrypted file opens and holds {secrets}");
            Finding::new(Level::Ok, Group::Stores, "encrypted-file", what)
        }
        StoreKind::Plaintext if used == 0 => return None,
        StoreKind::Plaintext => {
            Finding::new(Level::Warning, Group::Stores, "plaintext", format!("the plaintext file holds {secrets}"))
                .why("every program that you run can read it, and so can anyone who has a backup of it")
                .remedy("ollama-auth store move --all --to keyring")
                .remedy("or, without a keyring: ollama-auth store move --all --to file")
        }
    })
}

fn closed_finding(snapshot: &Snapshot<'_>, store: StoreKind, used: usize, problem: &StoreProblem) -> Finding {
    let check = match store {
        StoreKind::Keyring => "keyring",
        StoreKind::File => "encrypted-file",
        StoreKind::Plaintext => "plaintext",
    };
    let hint = problem.hint.clone();
    if used > 0 || store == StoreKind::Plaintext {
        let why = "the secrets stored there cannot be used";
        return Finding::new(Level::Error, Group::Stores, check, &problem.message).why(why).remedies(hint);
    }
    if snapshot.secrets.records.is_empty()
        && !snapshot.app.vault.file(StoreKind::File).is_some_and(|file| file.exists())
    {
        return Finding::new(Level::Note, Group::Stores, check, &problem.message)
            .why("without a keyring, signing in stores its secret in an encrypted file, which needs a passphrase")
            .remedy("to avoid the prompt: --passphrase-file FILE or OLLAMA_AUTH_PASSPHRASE_FILE");
    }
    let why = "none of your secrets is stored in it";
    Finding::new(Level::Note, Group::Stores, check, &problem.message).why(why)
}

/// It exists, but no profile uses it: not worth a passphrase prompt.
fn unopened_finding(snapshot: &Snapshot<'_>, store: StoreKind) -> Option<Finding> {
    let file = snapshot.app.vault.file(store).filter(|file| store == StoreKind::File && file.exists())?;
    let what = format!("no profile uses {}, so it was not opened", file.display());
    Some(Finding::new(Level::Note, Group::Stores, "encrypted-file", what))
}

/// A passphrase file that was named and cannot be used.
fn passphrase_file_finding(snapshot: &Snapshot<'_>) -> Option<Finding> {
    let app = snapshot.app;
    let path = app.global.passphrase_file.as_ref().or(app.env.passphrase_file.as_ref())?;
    let error: PassphraseError = read_passphrase_file(path).err()?;
    // The store may have reported the same error already.
    let said = matches!(snapshot.secrets.stores.get(&StoreKind::File), Some(Some(problem)) if problem.message == error.to_string());
    (!said).then(|| {
        Finding::new(Level::Error, Group::Stores, "passphrase-file", error.to_string())
            .why("the encrypted file cannot be opened or created without it")
            .remedies(error.hint())
    })
}

/// Checks that each secret on record is in its store and is the right one.
pub fn check_secrets(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let of = |record: &SecretRecord| {
        snapshot.profile_entries().find(|(name, _)| *name == record.profile).map(|(_, profile)| profile)
    };
    snapshot.secrets.records.iter().filter_map(|record| secret_finding(record, of(record)?)).collect()
}

fn secret_finding(record: &SecretRecord, profile: &Profile) -> Option<Finding> {
    let SecretRecord { profile: name, kind, store, .. } = record;
    let what = if *kind == EntryKind::ApiKey { "API key" } else { "device key" };
    let again = if *kind == EntryKind::ApiKey { " --with-api-key" } else { "" };
    let again = format!("ollama-auth signin{again} --host {} --profile {}", profile.url, shell_word(name));
    match &record.found {
        SecretState::Present(secret) if *kind == EntryKind::DeviceKey => {
            device_key_finding(name, profile, secret, again)
        }
        SecretState::Present(_) | SecretState::Unknown => None,
        SecretState::Missing => {
            let text = format!("the {what} of the profile {name:?} is not in the {store} store any more");
            let why = "commands that use this profile fail";
            let finding = Finding::new(Level::Error, Group::Profiles, "secret-gone", text).why(why).remedy(again);
            Some(finding.remedy(format!("or: ollama-auth profile remove {}", shell_word(name))))
        }
        SecretState::StoreProblem(problem) => {
            let text = format!("the {what} of the profile {name:?}: {}", problem.message);
            Some(Finding::new(Level::Error, Group::Profiles, "secret-unreadable", text).remedies(problem.hint.clone()))
        }
    }
}

fn device_key_finding(name: &str, profile: &Profile, secret: &SecretString, again: String) -> Option<Finding> {
    let record = profile.device.as_ref()?;
    let key = match DeviceKey::from_openssh(secret.expose_secret(), None) {
        Ok(key) => key,
        Err(error) => {
            let text = format!("the device key of {name:?} in the {} store is damaged: {error}", record.store);
            return Some(Finding::new(Level::Error, Group::Profiles, "secret-damaged", text).remedy(again));
        }
    };
    if *key.public() == record.public_key || record.next.as_ref() == Some(key.public()) {
        return None;
    }
    let text = format!(
        "the {} store holds another device key for {name:?} ({}) than the one on record ({})",
        record.store,
        key.public().fingerprint(),
        record.public_key.fingerprint()
    );
    let why = "another program or a restored backup has changed one of the two";
    Some(Finding::new(Level::Error, Group::Profiles, "secret-foreign", text).why(why).remedy(again))
}
