//! A store in memory, for tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use secrecy::SecretString;

use super::{EntryId, Store, VaultError};

/// Entries that end with the process.
#[derive(Default)]
pub(super) struct MemoryStore(Mutex<BTreeMap<EntryId, SecretString>>);

impl MemoryStore {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<EntryId, SecretString>) -> T) -> T {
        work(&mut self.0.lock().expect("no test panics while it holds the store"))
    }
}

impl Store for MemoryStore {
    fn probe(&self) -> Result<(), VaultError> {
        Ok(())
    }

    fn get(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        Ok(self.with(|entries| entries.get(id).cloned()))
    }

    fn put(&self, id: &EntryId, secret: &SecretString) -> Result<(), VaultError> {
        self.with(|entries| entries.insert(id.clone(), secret.clone()));
        Ok(())
    }

    fn delete(&self, id: &EntryId) -> Result<bool, VaultError> {
        Ok(self.with(|entries| entries.remove(id).is_some()))
    }
}
