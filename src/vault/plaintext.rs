//! `secrets.json`: secrets that only the file's mode protects. Used on an explicit `--store plaintext` alone.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secrets_file::{Entries, Secret, Unreadable, check_version, json_bound, json_error, lock_file};
use super::{EntryId, Store, VaultError};
use crate::disk;

pub(super) const FILE: &str = "secrets.json";
const VERSION: u64 = 1;

/// The plaintext file of a data folder.
pub(super) struct PlaintextFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u64,
    entries: Entries,
}

impl PlaintextFile {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE) }
    }

    fn load(&self) -> Result<Entries, Unreadable> {
        let Some(bytes) = disk::read_private(&self.path)? else {
            return Ok(Entries::new());
        };
        let bytes = Zeroizing::new(bytes);
        check_version(&self.path, &bytes, VERSION)?;
        let written: Written = serde_json::from_slice(&bytes).map_err(json_error)?;
        Ok(written.entries)
    }

    /// To be called under the lock: what is moved aside must be what was found broken.
    fn load_or_set_aside(&self) -> Result<Entries, VaultError> {
        self.load().map_err(|error| error.move_aside(&self.path))
    }

    fn load_for_reading(&self) -> Result<Entries, VaultError> {
        match self.load() {
            Err(Unreadable::Broken(_)) => {
                let _lock = lock_file(&self.path)?;
                self.load_or_set_aside()
            }
            Err(Unreadable::Other(error)) => Err(error),
            Ok(entries) => Ok(entries),
        }
    }

    fn save(&self, entries: Entries) -> Result<(), VaultError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(json_bound(&entries)));
        let written = Written { version: VERSION, entries };
        serde_json::to_writer_pretty(&mut *bytes, &written).map_err(|error| VaultError::Internal(error.to_string()))?;
        bytes.push(b'\n');
        Ok(disk::write_atomic(&self.path, &bytes)?)
    }
}

impl Store for PlaintextFile {
    fn probe(&self) -> Result<(), VaultError> {
        self.load_for_reading()?;
        Ok(disk::probe_writable(&self.path)?)
    }

    fn get(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let entries = self.load_for_reading()?;
        Ok(entries.get(&id.to_string()).map(|secret| SecretString::from(secret.expose())))
    }

    fn peek(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let entries = self.load().map_err(|error| error.keep_in_place(&self.path))?;
        Ok(entries.get(&id.to_string()).map(|secret| SecretString::from(secret.expose())))
    }

    fn put(&self, id: &EntryId, secret: &SecretString) -> Result<(), VaultError> {
        let _lock = lock_file(&self.path)?;
        let mut entries = self.load_or_set_aside()?;
        entries.insert(id.to_string(), Secret::new(secret.expose_secret()));
        self.save(entries)
    }

    fn delete(&self, id: &EntryId) -> Result<bool, VaultError> {
        // Nothing is made, not even a lock, for those who never chose this store.
        if self.path.symlink_metadata().is_err() {
            return Ok(false);
        }
        let _lock = lock_file(&self.path)?;
        let mut entries = self.load_or_set_aside()?;
        let found = entries.remove(&id.to_string()).is_some();
        if found && entries.is_empty() {
            disk::remove(&self.path)?;
        } else if found {
            self.save(entries)?;
        }
        Ok(found)
    }
}
