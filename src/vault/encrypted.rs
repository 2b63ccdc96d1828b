//! `secrets.enc.json`: secrets encrypted with a passphrase, for machines without a keyring. The file shows
//! neither the names nor the number of its entries.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::cipher::{CipherError, EncryptedDocument, FileKey, Kdf, VERSION};
use super::kept_key::{KeepWarning, KeptKey};
use super::passphrase::{Passphrase, PassphraseOrigin, PassphrasePurpose, PassphraseSource};
use super::secrets_file::{Entries, Secret, Unreadable, check_version, json_bound, json_error, lock_file};
use super::{EntryId, Store, VaultError};
use crate::disk;

/// How often a person may type the passphrase.
const MAX_ATTEMPTS: u32 = 3;

pub(super) const FILE: &str = "secrets.enc.json";

/// The encrypted file of a data folder.
pub(super) struct EncryptedFile {
    path: PathBuf,
    passphrase: Box<dyn PassphraseSource>,
    /// Derived once per process: it takes a noticeable time, and a person types the passphrase once.
    key: Mutex<Option<FileKey>>,
    /// Outlives this process.
    kept: KeptKey,
    /// A person has typed the passphrase of a file that is not written yet.
    keep_when_saved: AtomicBool,
}

impl EncryptedFile {
    pub(super) fn new(data_dir: &Path, passphrase: Box<dyn PassphraseSource>, warning: Option<KeepWarning>) -> Self {
        let path = data_dir.join(FILE);
        let kept = KeptKey::new(&path, warning);
        Self { path, passphrase, key: Mutex::new(None), kept, keep_when_saved: AtomicBool::new(false) }
    }

    /// Removes a kept key, and says whether there was one.
    pub(super) fn remove_kept_key(&self) -> Result<bool, VaultError> {
        self.kept.remove()
    }

    fn cached(&self) -> MutexGuard<'_, Option<FileKey>> {
        // Each change of the cache is one assignment: a panic elsewhere cannot leave it half done.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, purpose: PassphrasePurpose) -> Result<Passphrase, VaultError> {
        self.passphrase.passphrase(purpose)?.ok_or_else(|| VaultError::NoPassphrase { path: self.path.clone() })
    }

    /// The file as it is written; `None` when there is none.
    fn read(&self) -> Result<Option<EncryptedDocument>, Unreadable> {
        let Some(bytes) = disk::read_private(&self.path)? else {
            return Ok(None);
        };
        check_version(&self.path, &bytes, VERSION)?;
        Ok(Some(serde_json::from_slice(&bytes).map_err(json_error)?))
    }

    /// The key of a file with these parameters. Asks for the passphrase when the key is not in the cache.
    fn unlock<'a>(&self, cache: &'a mut Option<FileKey>, kdf: &Kdf) -> Result<&'a FileKey, Unreadable> {
        let key = match cache.take() {
            Some(key) if key.kdf == *kdf => key,
            // A passphrase that is given decides: a wrong one must fail.
            _ => match self.kept.get(kdf).filter(|_| !self.passphrase.is_given()) {
                Some(key) => key,
                None => self.ask_and_unlock(kdf)?,
            },
        };
        Ok(cache.insert(key))
    }

    /// Asks for the passphrase. A person may mistype it twice; another source gives the same each time.
    fn ask_and_unlock(&self, kdf: &Kdf) -> Result<FileKey, Unreadable> {
        let mut purpose = PassphrasePurpose::Unlock;
        for attempts_left in (0..MAX_ATTEMPTS).rev() {
            let Passphrase { secret, origin } = self.ask(purpose)?;
            match FileKey::unlock(kdf, &secret) {
                Err(CipherError::WrongPassphrase) if attempts_left == 0 || origin != PassphraseOrigin::Prompt => {
                    return Err(Unreadable::Other(VaultError::WrongPassphrase { path: self.path.clone(), origin }));
                }
                Err(CipherError::WrongPassphrase) => purpose = PassphrasePurpose::Retry,
                unlocked => {
                    let key = unlocked.map_err(|error| self.explain(error))?;
                    if origin == PassphraseOrigin::Prompt {
                        self.kept.keep(&key);
                    }
                    return Ok(key);
                }
            }
        }
        Err(Unreadable::Other(VaultError::NoPassphrase { path: self.path.clone() }))
    }

    fn load(&self) -> Result<Option<Entries>, Unreadable> {
        let Some(document) = self.read()? else {
            return Ok(None);
        };
        let mut cache = self.cached();
        let key = self.unlock(&mut cache, document.kdf())?;
        let content = key.decrypt(&document).map_err(|error| self.explain(error))?;
        Ok(Some(serde_json::from_slice(&content).map_err(json_error)?))
    }

    /// To be called under the lock: what is moved aside must be what was found broken.
    fn load_or_set_aside(&self) -> Result<Option<Entries>, VaultError> {
        self.load().map_err(|error| error.move_aside(&self.path))
    }

    /// Reads without the lock, so that a reader never waits for a person who types a passphrase elsewhere.
    fn load_for_reading(&self) -> Result<Option<Entries>, VaultError> {
        match self.load() {
            Err(Unreadable::Broken(_)) => {
                let _lock = lock_file(&self.path)?;
                self.load_or_set_aside()
            }
            Err(Unreadable::Other(error)) => Err(error),
            Ok(entries) => Ok(entries),
        }
    }

    /// Gets a passphrase into the cache before the lock is taken: a person may take long to type it.
    fn prepare(&self) -> Result<(), VaultError> {
        if self.load_for_reading()?.is_some() {
            return Ok(());
        }
        let mut cache = self.cached();
        if cache.is_none() {
            let passphrase = self.ask(PassphrasePurpose::Create)?;
            let key = FileKey::create(&passphrase.secret);
            *cache = Some(key.map_err(|error| VaultError::Internal(error.to_string()))?);
            self.keep_when_saved.store(passphrase.origin == PassphraseOrigin::Prompt, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets `change` alter the entries under the lock, and writes them when it says that it did.
    fn update(&self, change: impl FnOnce(&mut Entries) -> bool) -> Result<bool, VaultError> {
        self.prepare()?;
        let _lock = lock_file(&self.path)?;
        let mut entries = self.load_or_set_aside()?.unwrap_or_default();
        let changed = change(&mut entries);
        if changed && entries.is_empty() {
            disk::remove(&self.path)?;
            // It opens nothing any more; it also expires.
            let _ = self.kept.remove();
        } else if changed {
            self.save(&entries)?;
        }
        Ok(changed)
    }

    fn save(&self, entries: &Entries) -> Result<(), VaultError> {
        let internal = |error: &dyn std::fmt::Display| VaultError::Internal(error.to_string());
        let mut content = Zeroizing::new(Vec::with_capacity(json_bound(entries)));
        serde_json::to_writer(&mut *content, entries).map_err(|error| internal(&error))?;
        let cache = self.cached();
        let key = cache.as_ref().ok_or_else(|| VaultError::NoPassphrase { path: self.path.clone() })?;
        let document = key.encrypt(content).map_err(|error| internal(&error))?;
        let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| internal(&error))?;
        bytes.push(b'\n');
        disk::write_atomic(&self.path, &bytes)?;
        if self.keep_when_saved.swap(false, Ordering::Relaxed) {
            self.kept.keep(key);
        }
        Ok(())
    }

    fn explain(&self, error: CipherError) -> Unreadable {
        match error {
            CipherError::Damaged(reason) => Unreadable::Broken(reason),
            other => Unreadable::Other(VaultError::Internal(other.to_string())),
        }
    }
}

impl Store for EncryptedFile {
    fn probe(&self) -> Result<(), VaultError> {
        // A new file comes with its first secret: until then the key is in the cache.
        self.prepare()?;
        Ok(disk::probe_writable(&self.path)?)
    }

    fn get(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let entries = self.load_for_reading()?.unwrap_or_default();
        Ok(entries.get(&id.to_string()).map(|secret| SecretString::from(secret.expose())))
    }

    fn peek(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let entries = self.load().map_err(|error| error.keep_in_place(&self.path))?.unwrap_or_default();
        Ok(entries.get(&id.to_string()).map(|secret| SecretString::from(secret.expose())))
    }

    fn put(&self, id: &EntryId, secret: &SecretString) -> Result<(), VaultError> {
        self.update(|entries| {
            entries.insert(id.to_string(), Secret::new(secret.expose_secret()));
            true
        })?;
        Ok(())
    }

    fn delete(&self, id: &EntryId) -> Result<bool, VaultError> {
        if !self.path.exists() {
            return Ok(false);
        }
        self.update(|entries| entries.remove(&id.to_string()).is_some())
    }
}
